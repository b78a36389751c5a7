# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of results of `gened evaluate`: one line per codec, with its 95 % interval as a band where it is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from gened.errors import ConfigError
from gened.models.evaluation.metrics.registry import FIGURES
from gened.models.evaluation.run.evaluate import ROW_KEYS
from gened.models.evaluation.run.files import require_writable

LABELS = {
    "snr_db": "SNR (Es/N0), dB",
    **{figure.key: figure.axis for figure in FIGURES.values()},
    "lpips": "LPIPS (lower is better)",
    "lost_fraction": "lost pictures, fraction",
    "rate": "rate, complex symbols per source value",
    "analog_symbols": "analogue symbols per picture",
    "side_symbols": "side symbols per picture",
    "caption_symbols": "caption symbols per picture",
    "payload_symbols": "transmitted symbols per picture",
    "encode_ms": "encoding, ms",
    "decode_ms": "decoding, ms",
    "editor_ms": "editing, ms",
}
"""Keys of a row that an axis may show, with their names."""
REQUIRED_KEYS = (
    "codec", "editor", "channel", "rate", "snr_db", "n", "analog_symbols", "side_symbols", "caption_symbols",
    "payload_symbols", "psnr_db", "psnr_db_ci95", "lost_fraction", "encode_ms", "decode_ms", "editor_ms",
)  # fmt: skip
"""Keys that every result has. Figures of metrics that were registered later are unknown in older results."""
COUNTS = ("rate", "analog_symbols", "side_symbols", "payload_symbols")
"""Abscissas along which a line joins several rates; along any other, its rate is constant."""
COLORS = ("#0b6e99", "#c4511d", "#3f7d3a", "#7a4ea3", "#a5243d", "#8a6d00", "#16181d", "#5b7f8c")
MARKERS = "osD^vPX*"
MANY_LINES = 6
SIZE_INCHES, DPI = (7.0, 4.6), 160


@dataclass(frozen=True)
class Line:
    """One line of a figure."""

    label: str
    x: list[float]
    y: list[float]
    low: list[float] | None
    """Lower end of the interval at each point; None where a point has none."""
    high: list[float] | None


def read_result(path: Path) -> dict[str, Any]:
    """A file that `gened evaluate --out` wrote.

    Raises:
        ConfigError: It is none.
    """
    try:
        result = json.loads(path.read_text())
        rows = result["rows"]
        if not isinstance(result["meta"], dict) or not rows or not all(set(REQUIRED_KEYS) <= set(row) for row in rows):
            raise KeyError
        result["rows"] = [{**dict.fromkeys(ROW_KEYS), **row} for row in rows]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no result of gened evaluate; make one with --out") from error
    return dict(result)


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row[key]
    return None if value is None else float(Fraction(value)) if key == "rate" else float(value)


def _size(meta: dict[str, Any]) -> str:
    return f"{meta['resize']}x{meta['resize']}" if meta.get("resize") else "full size"


def _traits(result: dict[str, Any], row: dict[str, Any], x: str) -> dict[str, str]:
    """The properties that are constant along a line, most important first; labels name those that differ."""
    meta = result["meta"]
    traits = {
        "codec": str(row["codec"]),
        "editor": "" if row["editor"] == "none" else f"edited by {row['editor']}",
        "rate": f"rate {row['rate']}",
        "snr_db": f"{row['snr_db']:g} dB",
        "channel": str(row["channel"]),
        "size": _size(meta),
        "data": str((meta.get("data") or {}).get("name", "")),
        "mask": {"none": "no mask", "truth": "true mask"}.get(str(meta.get("mask")), "codec's mask"),
        "focus": "" if meta.get("focus") is None else f"focus {meta['focus']:g}",
    }
    for key in COUNTS if x in COUNTS else (x,):
        traits.pop(key, None)
    if x not in COUNTS and x != "snr_db":
        traits.pop("snr_db")
    return traits


def lines(results: Sequence[tuple[str, dict[str, Any]]], *, x: str, y: str) -> list[Line]:
    """The lines of a figure, in the order in which the results name them.

    Args:
        results: Name of the file and what it holds.
        x: Key along the abscissa.
        y: Key along the ordinate.

    Raises:
        ConfigError: A key that cannot be shown, or one that no row has a value for.
    """
    for key in (x, y):
        if key not in LABELS:
            raise ConfigError(f"'{key}' cannot be an axis; known are {', '.join(LABELS)}")
    groups: dict[tuple[tuple[str, str], ...], list[tuple[str, dict[str, Any]]]] = {}
    for source, result in results:
        for row in result["rows"]:
            if _number(row, x) is not None and _number(row, y) is not None:
                groups.setdefault(tuple(_traits(result, row, x).items()), []).append((source, row))
    if not groups:
        raise ConfigError(f"no row holds both {x} and {y}; see --metrics of gened evaluate for what it can measure")
    found = [part for traits, rows in groups.items() for part in _parts(dict(traits), rows, x)]
    labels = _labels([traits for traits, _ in found])
    return [
        _line(label, sorted(rows, key=lambda row: _number(row, x) or 0.0), x, y)
        for label, (_, rows) in zip(labels, found, strict=True)
    ]


def _parts(
    traits: dict[str, str], rows: list[tuple[str, dict[str, Any]]], x: str
) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """One line if each abscissa occurs once; one line per file if several files hold the same point."""
    if len({_number(row, x) for _, row in rows}) == len(rows):
        return [({**traits, "source": ""}, [row for _, row in rows])]
    return [
        ({**traits, "source": name}, [row for source, row in rows if source == name])
        for name in dict.fromkeys(source for source, _ in rows)
    ]


def _labels(traits: list[dict[str, str]]) -> list[str]:
    """The codec, and as many further traits as distinguish the lines."""
    chosen = [[trait["codec"]] for trait in traits]
    for key in traits[0]:
        counts = Counter(map(tuple, chosen))
        if key == "codec" or max(counts.values()) == 1 or len({trait[key] for trait in traits}) == 1:
            continue
        for texts, trait in zip(chosen, traits, strict=True):
            if trait[key]:
                texts.append(trait[key])
    return [", ".join(texts) for texts in chosen]


def _line(label: str, rows: list[dict[str, Any]], x: str, y: str) -> Line:
    intervals = [row.get(f"{y}_ci95") for row in rows]
    known = [interval for interval in intervals if interval is not None]
    has_band = len(known) == len(rows)
    return Line(
        label,
        [_number(row, x) or 0.0 for row in rows],
        [_number(row, y) or 0.0 for row in rows],
        [float(low) for low, _ in known] if has_band else None,
        [float(high) for _, high in known] if has_band else None,
    )


def _subtitle(results: Sequence[tuple[str, dict[str, Any]]], x: str) -> str:
    """The properties that all lines share: data, size, channel, rate or SNR."""
    parts: list[set[str]] = [set(), set(), set(), set()]
    for _, result in results:
        meta, data = result["meta"], result["meta"].get("data")
        parts[0].add(f"{data['pictures']} pictures of {data['name']}" if data else f"{result['rows'][0]['n']} pictures")
        parts[1].add(_size(meta))
        for row in result["rows"]:
            parts[2].add(str(row["channel"]))
            parts[3].add(f"{row['snr_db']:g} dB" if x in COUNTS else f"rate {row['rate']}")
    return ", ".join(next(iter(part)) for part in parts if len(part) == 1)


def plot(results: Sequence[tuple[str, dict[str, Any]]], out: Path, *, x: str = "snr_db", y: str = "psnr_db") -> None:
    """Write a plot; the suffix of the file selects the format (png, pdf, svg).

    Args:
        results: Name of the file and what `read_result` gave.
        out: The picture file.
        x: Key along the abscissa.
        y: Key along the ordinate.

    Raises:
        ConfigError: See `lines`; or a suffix that matplotlib does not know.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = lines(results, x=x, y=y)
    require_writable(out)
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    kinds = figure.canvas.get_supported_filetypes()
    if out.suffix[1:].lower() not in kinds:
        raise ConfigError(f"'{out.name}' is no kind of picture; end it in one of .{', .'.join(sorted(kinds))}")
    axes = figure.add_subplot()
    for index, line in enumerate(found):
        color = COLORS[index % len(COLORS)]
        axes.plot(line.x, line.y, color=color, marker=MARKERS[index % len(MARKERS)], markersize=5, label=line.label)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.13, linewidth=0)
    axes.set_xlabel(LABELS[x])
    axes.set_ylabel(LABELS[y])
    axes.set_title(_subtitle(results, x), fontsize="small", color="#666c78", loc="left")
    axes.grid(color="#d9dce2", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if y in FIGURES and (note := FIGURES[y].note):
        figure.supxlabel(note, fontsize="x-small", color="#666c78")
    axes.legend(frameon=False, fontsize="medium" if len(found) <= MANY_LINES else "x-small")
    figure.savefig(out)
