# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the results of the bench of the link, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

PERCENT = "%"
"""Format of fractions in percent without the sign, since the columns are narrow."""
COLUMNS = (
    ("condition", "condition", ""), ("snr_db", "SNR", "g"), ("snr_loss_db", "loss dB", ".2f"),
    ("snr_loss_p95_db", "95 %", ".2f"), ("snr_loss_symbol_db", "sym. dB", ".2f"),
    ("detection_rate", "fnd %", PERCENT),
    ("header_error_rate", "hdr lost %", PERCENT), ("caption_error_rate", "text lost %", PERCENT),
    ("noise_var_bias_db", "claim dB", "+.2f"), ("noise_var_quartiles_db", "claim worst", "+.1f"),
    ("snr_est_rms_db", "SNR err", ".2f"), ("cfo_error_rms_hz", "Hz err", ".1f"),
    ("sfo_error_rms_ppm", "ppm err", ".1f"),
)  # fmt: skip
"""Key, heading and format of each column. Of a list the entry of largest magnitude is shown."""
FALSE_COLUMNS = (
    ("signal", "no frame in", ""), ("samples", "samples", ","), ("candidates", "candidates", ","),
    ("preambles", "preambles", ","), ("frames", "frames", ","),
)  # fmt: skip
GNURADIO_COLUMNS = (
    ("cfo_cps", "offset, % of the rate", PERCENT), ("snr_db", "SNR dB", "g"), ("packets", "packets", "d"),
    ("gened_detection_rate", "found % ours", PERCENT), ("gnuradio_detection_rate", "GNU Radio's", PERCENT),
    ("gened_packet_error_rate", "lost % ours", PERCENT), ("gnuradio_packet_error_rate", "GNU Radio's", PERCENT),
)  # fmt: skip


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Tables of the parts of a result of `link.run` that are not empty."""
    found = [_table(result["rows"], COLUMNS)] if result["rows"] else []
    if result["false_frames"]:
        found.append(_table(result["false_frames"], FALSE_COLUMNS))
    if result["gnuradio"]:
        found.append(_table(result["gnuradio"], GNURADIO_COLUMNS))
    for name in ("speed", "overhead", "peaks"):
        if result[name]:
            rows = [{"what": key, "value": value} for key, value in result[name].items()]
            found.append(_table(rows, (("what", name, ""), ("value", "", ".4g"))))
    return found


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, (_, title, _) in enumerate(columns):
        table.add_column(title, justify="right" if index else "left", no_wrap=not index)
    for row in rows:
        table.add_row(*(_text(row[key], form) for key, _, form in columns))
    return table


def _text(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        value = max(value, key=abs)
    return f"{100 * value:.3g}" if form == PERCENT else format(value, form)
