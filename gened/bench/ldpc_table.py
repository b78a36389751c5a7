# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the results of the bench of the digital path, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

CURVE_COLUMNS = (
    ("mode", "mode", ""), ("path", "path", ""), ("snr_db", "Es/N0 dB", ".2f"), ("frames", "frames", "d"),
    ("headers", "headers", "d"), ("fer", "text lost", ".2%"),
)  # fmt: skip
DISTANCE_COLUMNS = (
    ("mode", "mode", ""), ("fer", "lost", ".0%"), ("direct_db", "direct dB", ".2f"),
    ("peaks_kept_db", "peaks kept", ".2f"), ("receiver_db", "receiver", ".2f"),
    ("synchronisation_loss_db", "by sync.", ".2f"), ("loss_db", "in all dB", ".2f"),
)  # fmt: skip
SPEED_COLUMNS = (
    ("code_rate", "rate", ""), ("n_coded", "n", "d"), ("es_n0_db", "Es/N0 dB", ".2f"), ("decoder", "decoder", ""),
    ("frames", "blocks", "d"), ("fer", "lost", ".1%"), ("kbps", "kbit/s", ",.0f"),
)  # fmt: skip
PARTIAL_COLUMNS = (
    ("n_bytes", "bytes", "d"), ("snr_db", "Es/N0 dB", ".2f"), ("texts", "texts", "d"), ("lost", "lost", "d"),
    ("sure", "of these sure", ".1%"), ("wrong", "of this wrong", ".2%"),
)  # fmt: skip


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Tables of the parts of a result of `ldpc.run` that are not empty."""
    columns = {
        "rows": CURVE_COLUMNS, "distances": DISTANCE_COLUMNS, "speed": SPEED_COLUMNS, "partial": PARTIAL_COLUMNS,
    }  # fmt: skip
    return [_table(result[key], shown) for key, shown in columns.items() if result[key]]


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for _, title, form in columns:
        table.add_column(title, justify="right" if form else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("-" if row[key] is None else format(row[key], form) for key, _, form in columns))
    return table
