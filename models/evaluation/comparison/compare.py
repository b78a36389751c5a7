# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of systems picture by picture: the same pictures, SNR, channel and rate, and the differences between them.

    files -> systems.py -> paired differences per condition, with an interval over the pictures
                       `-> curves of the means -> delta.py: BD-PSNR and BD-rate, with an interval over the pictures

An interval of a paired difference is narrower than the intervals of the two means suggest, because pictures that are
hard for one codec are hard for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from gened.errors import ConfigError
from gened.models.evaluation.comparison.delta import MIN_POINTS, Delta, horizontal, vertical, with_interval
from gened.models.evaluation.comparison.systems import (
    PAYLOAD,
    Axis,
    Condition,
    System,
    read_source,
    require_comparable,
    systems_of,
)
from gened.models.evaluation.metrics.pixel_metrics import bootstrap_interval
from gened.models.evaluation.metrics.registry import FIGURES


def compare(paths: Sequence[Path], *, metrics: Sequence[str] = ("psnr_db",), axis: Axis = "snr_db") -> dict[str, Any]:
    """Compare every system of some results with the first one.

    Args:
        paths: Files of `gened evaluate --per-picture --out`. The first system of the first file is the reference.
        metrics: Keys of the figures.
        axis: Abscissa of the curves for the Bjontegaard deltas: "snr_db" (one rate, several SNRs) or "payload_symbols"
            (one SNR, several rates).

    Returns:
        `reference`, the label of the first system; `rows`, the paired differences (other minus reference), one per
        system, figure and condition; `bd`, the Bjontegaard deltas, one per system, figure and pair of curves.

    Raises:
        ConfigError: A file without values per picture, unequal pictures, sizes or metrics, or nothing to compare.
    """
    sources = [read_source(path) for path in paths]
    require_comparable(sources, metrics, axis)
    reference, *others = systems_of(sources, metrics, axis)
    if not others:
        raise ConfigError("there is one system only; name a second file, or one with an editor")
    rows: list[dict[str, Any]] = []
    bd: list[dict[str, Any]] = []
    for other in others:
        for metric in metrics:
            found = _paired(reference, other, metric)
            if not found and axis == "snr_db":
                raise ConfigError(
                    f"{other.label} and {reference.label} have no SNR, rate and channel in common: "
                    f"{_text(other)} against {_text(reference)}"
                )
            rows += found
            bd += _deltas(reference, other, metric, axis)
    if not rows and not bd:
        raise ConfigError(f"nothing can be compared with {reference.label}: neither conditions nor curves in common")
    return {"reference": reference.label, "rows": rows, "bd": bd}


def _text(system: System) -> str:
    first = min(system.values, key=lambda condition: condition.order)
    snrs = ", ".join(f"{one.snr_db:g}" for one in sorted(system.values, key=lambda each: each.order)[:6])
    return f"{first.channel}, rate {first.rate}, {snrs} dB"


def _paired(reference: System, other: System, metric: str) -> list[dict[str, Any]]:
    """Paired differences under each condition that both systems have."""
    rows = []
    for condition in sorted(reference.values.keys() & other.values.keys(), key=lambda each: each.order):
        one, two = (system.values[condition] for system in (reference, other))
        pictures = sorted(one[metric].keys() & two[metric].keys())
        if not pictures:
            continue
        before, after = (np.array([values[metric][name] for name in pictures]) for values in (one, two))
        rows.append(
            {
                "reference": reference.label, "system": other.label, "metric": metric, **condition._asdict(),
                "n_pictures": len(pictures), "n_left_out": len(one[PAYLOAD]) - len(pictures),
                "n_seeds": [reference.n_seeds[condition], other.n_seeds[condition]],
                "payload_symbols": [round(float(np.mean(list(each[PAYLOAD].values()))), 1) for each in (one, two)],
                "means": [_rounded(before.mean()), _rounded(after.mean())],
                "difference": _rounded((after - before).mean()),
                "difference_ci95": _interval(bootstrap_interval(after - before)),
            }
        )  # fmt: skip
    return rows


def _deltas(reference: System, other: System, metric: str, axis: Axis) -> list[dict[str, Any]]:
    """Bjontegaard deltas of the curves that agree in everything but the abscissa."""
    found = []
    for curve in sorted({_curve(one, axis) for one in reference.values} & {_curve(one, axis) for one in other.values}):
        points = [
            sorted((one for one in system.values if _curve(one, axis) == curve), key=lambda each: each.order)
            for system in (reference, other)
        ]
        if min(map(len, points)) < MIN_POINTS:
            continue
        known = [set(system.values[one][metric]) for system, ones in _both(reference, other, points) for one in ones]
        pictures = sorted(known[0].intersection(*known[1:]))
        if not pictures:
            continue
        curves: list[npt.NDArray[np.float64]] = []
        for system, ones in _both(reference, other, points):
            curves += [_abscissas(system, ones, pictures, axis), _values(system, ones, pictures, metric)]
        is_percent = axis == PAYLOAD
        gain, rate = with_interval(vertical, curves), with_interval(horizontal, curves)
        found.append(
            {
                "reference": reference.label, "system": other.label, "metric": metric, "x": axis,
                "channel": curve[0], "rate": None if is_percent else curve[1],
                "snr_db": float(curve[1]) if is_percent else None,
                "n_points": [len(ones) for ones in points], "n_pictures": len(pictures),
                "bd": None if gain.value is None else _rounded(gain.value), "bd_ci95": _interval(gain.ci95),
                "bd_x": _horizontal(rate.value, is_percent), "bd_x_ci95": _ends(rate, is_percent),
                "bd_x_unit": "%" if is_percent else "dB",
            }
        )  # fmt: skip
    return found


def _both(
    reference: System, other: System, points: list[list[Condition]]
) -> tuple[tuple[System, list[Condition]], tuple[System, list[Condition]]]:
    return (reference, points[0]), (other, points[1])


def _curve(condition: Condition, axis: Axis) -> tuple[str, str]:
    """The property that is constant along a curve, beside the channel."""
    return condition.channel, f"{condition.snr_db:g}" if axis == PAYLOAD else condition.rate


def _values(system: System, points: Sequence[Condition], pictures: Sequence[str], key: str) -> npt.NDArray[np.float64]:
    """[points, pictures]."""
    return np.array([[system.values[one][key][name] for name in pictures] for one in points], np.float64)


def _abscissas(
    system: System, points: Sequence[Condition], pictures: Sequence[str], axis: Axis
) -> npt.NDArray[np.float64]:
    """[points, pictures]: the SNR in dB, or the logarithm of the mean number of symbols, which is not resampled."""
    column: npt.NDArray[np.float64] = np.array([one.snr_db for one in points], np.float64)
    if axis == PAYLOAD:
        column = np.log10(_values(system, points, pictures, PAYLOAD).mean(1))
    repeated: npt.NDArray[np.float64] = np.repeat(column[:, None], len(pictures), axis=1)
    return repeated


def _horizontal(value: float | None, is_percent: bool) -> float | None:
    if value is None:
        return None
    return _rounded(100 * (10**value - 1) if is_percent else value)


def _ends(delta: Delta, is_percent: bool) -> list[float | None] | None:
    return None if delta.ci95 is None else [_horizontal(end, is_percent) for end in delta.ci95]


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [_rounded(end) for end in interval]


def _rounded(value: float) -> float:
    return round(float(value), 4)


def report(result: dict[str, Any]) -> list[Table | str]:
    """The comparison for a terminal: a table per system, figure, channel and rate, then the Bjontegaard deltas."""
    found: list[Table | str] = []
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in result["rows"]:
        groups.setdefault(tuple(row[key] for key in ("system", "metric", "channel", "rate")), []).append(row)
    for (system, metric, channel, rate), rows in groups.items():
        figure = FIGURES[metric]
        table = Table(title=f"{figure.title}, {channel}, rate {rate}: {system} against {result['reference']}")
        for name in ("SNR dB", "reference", "system", "difference", "95 % from", "95 % to", "pictures"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            ends = row["difference_ci95"] or (None, None)
            table.add_row(
                f"{row['snr_db']:g}", *(f"{mean:{figure.pattern}}" for mean in row["means"]),
                *("-" if value is None else f"{value:+{figure.pattern}}" for value in (row["difference"], *ends)),
                str(row["n_pictures"]),
            )  # fmt: skip
        found.append(table)
    return found + [_sentence(row, result["reference"]) for row in result["bd"]]


def _sentence(row: dict[str, Any], reference: str) -> str:
    """A Bjontegaard delta in words."""
    metric, pattern = row["metric"], FIGURES[row["metric"]].pattern
    at = f"{row['snr_db']:g} dB" if row["rate"] is None else f"rate {row['rate']}"
    what = "symbols" if row["bd_x_unit"] == "%" else "SNR"
    across = "unknown" if row["bd_x"] is None else f"{row['bd_x']:+.2f} {row['bd_x_unit']}"
    along = "unknown" if row["bd"] is None else f"{row['bd']:+{pattern}}"
    return (
        f"{row['system']} against {reference}, {row['channel']}, {at}: Bjontegaard delta of {metric} {along}"
        f"{_range(row['bd_ci95'], pattern)}; {what} for the same {metric} {across}{_range(row['bd_x_ci95'], '.2f')}"
    )


def _range(interval: Sequence[float] | None, pattern: str) -> str:
    return "" if interval is None else f" (95 %: {interval[0]:+{pattern}} to {interval[1]:+{pattern}})"
