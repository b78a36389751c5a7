# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of an evaluation per picture and noise seed, as entries of its JSON and as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gened.errors import ConfigError
from gened.models.evaluation.metrics.registry import METRICS
from gened.models.evaluation.run.measure import Score

CONDITION = ("codec", "editor", "channel", "rate", "snr_db")
"""Keys of a row that an entry repeats: the conditions under which the picture was sent."""


@dataclass(frozen=True)
class Shown:
    """The scores of one picture."""

    name: str
    """Name of the file."""
    seeds: list[int]
    """Seeds of the noise realisations."""
    scores: list[list[Score]]
    """[SNR][noise realisation]."""


def figure_keys(metrics: Sequence[str]) -> tuple[str, ...]:
    """Keys of the chosen metrics' figures, without the kernel distance, which no single picture has."""
    return tuple(key for name in METRICS if name in metrics for key in METRICS[name].keys if key != "kid")


def entries(row: dict[str, Any], shown: Sequence[Shown], level: int, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The values behind one row.

    Args:
        row: The row.
        shown: The pictures with their scores.
        level: Index of the row's SNR.
        metrics: Names of the chosen metrics.

    Returns:
        One entry per picture and noise seed with the keys `CONDITION`, `picture`, `seed`, the numbers of symbols, the
        keys of `figure_keys`, `lost`, `encode_ms`, `decode_ms` and `editor_ms`; None where unknown. Figures are not
        rounded.
    """
    found = []
    for one in shown:
        for seed, score in zip(one.seeds, one.scores[level], strict=True):
            edited = None if row["editor"] == "none" else score.edited
            figures = score.figures if edited is None else edited["figures"]
            symbols = (score.analog_symbols, score.side_symbols, score.caption_symbols)
            found.append(
                {key: row[key] for key in CONDITION}
                | {"picture": one.name, "seed": seed}
                | dict(zip(("analog_symbols", "side_symbols", "caption_symbols"), symbols, strict=True))
                | {"payload_symbols": sum(symbols)}
                | {key: figures[key] for key in figure_keys(metrics)}
                | {"lost": score.lost, "encode_ms": round(score.encode_ms, 2), "decode_ms": round(score.decode_ms, 2)}
                | {"editor_ms": None if edited is None else edited["editor_ms"]}
            )
    return found


def write_csv(path: Path, pictures: Sequence[dict[str, Any]]) -> None:
    """Write the entries as a table with a heading; unknown values are empty.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(pictures[0]))
            writer.writeheader()
            writer.writerows(pictures)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
