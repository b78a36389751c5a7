# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a plot: which rows of results belong to one line, how a line is named, and what lines do not share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from gened.errors import ConfigError
from gened.models.evaluation.metrics.registry import FIGURES
from gened.models.evaluation.run.evaluate import ROW_KEYS

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
CONDITIONS = {
    "rate": "rate", "snr_db": "SNR", "channel": "channel", "size": "picture size", "data": "data set",
    "n_pictures": "data set", "content": "data set", "mask": "mask", "erasure": "lost symbols",
    "snr_error": "SNR mismatch", "captions": "captions",
}  # fmt: skip
"""Traits that two lines must share to be compared, with their names in messages."""
CAPTIONS = {"sent": "captions sent", "none": "no captions", "paper": "426 caption symbols each"}
"""Values of `--captions` in labels; unknown in older results."""
ALWAYS_MARKED = ("size", "data", "n_pictures", "content")
"""Conditions whose difference is marked even where each codec was measured under all of them."""

Results = Sequence[tuple[str, dict[str, Any]]]
"""Name of each file, and what `read_result` returned."""
Traits = dict[str, str]
"""Properties that are constant along a line; empty where a result does not say."""


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    x: list[float]
    y: list[float]
    low: list[float] | None
    """Lower end of the interval at each point; None where a point has none."""
    high: list[float] | None
    traits: Traits = field(default_factory=dict)


class _Row(NamedTuple):
    """A row of a result, and the name of its file."""

    source: str
    values: dict[str, Any]


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


def read_results(paths: Iterable[Path]) -> Results:
    """The results in some files, each once, named by its stem and as many folders as tell it from the others.

    Raises:
        ConfigError: See `read_result`.
    """
    found = {path.resolve(): path for path in paths}
    names = {path: path.with_suffix("").parts for path in found}
    depth = 1
    while depth < max(map(len, names.values()), default=0) and len({n[-depth:] for n in names.values()}) < len(names):
        depth += 1
    return [("/".join(names[whole][-depth:]), read_result(path)) for whole, path in found.items()]


def lines(results: Results, *, x: str, y: str, by: str | None = None) -> list[Line]:
    """The lines of a plot, in the order in which the results name them.

    Args:
        results: See `Results`.
        x: Key along the abscissa.
        y: Key along the ordinate.
        by: A further key of a row; each of its values is a line of its own.

    Raises:
        ConfigError: A key that cannot be shown, or one that no row has a value for; or rows that one line cannot join.
    """
    for key in (x, y):
        if key not in LABELS:
            raise ConfigError(f"'{key}' cannot be an axis; known are {', '.join(LABELS)}")
    groups: dict[tuple[tuple[str, str], ...], list[_Row]] = {}
    for source, result in results:
        for row in result["rows"]:
            if number(row, x) is not None and number(row, y) is not None:
                groups.setdefault(tuple(_traits(result, row, x, by).items()), []).append(_Row(source, row))
    if not groups:
        raise ConfigError(f"no row holds both {x} and {y}; see --metrics of gened evaluate for what it can measure")
    if by is not None and not any(by in row.values for rows in groups.values() for row in rows):
        raise ConfigError(f"--by {by}: no row has a key of this name")
    found = [part for traits, rows in groups.items() for part in _parts(dict(traits), rows)]
    for _, rows in found:
        _refuse_zigzag(rows)
    labels = _labels([traits for traits, _ in found])
    return [
        _line(label, traits, sorted((row.values for row in rows), key=lambda row: number(row, x) or 0.0), x, y)
        for label, (traits, rows) in zip(labels, found, strict=True)
    ]


def number(row: Mapping[str, Any], key: str) -> float | None:
    """The value of a row's key as a number; None where it is unknown."""
    value = row[key]
    return None if value is None else float(Fraction(value)) if key == "rate" else float(value)


def picture_size(meta: Mapping[str, Any]) -> str:
    """The size of the pictures of a result, for labels."""
    return f"{meta['resize']}x{meta['resize']}" if meta.get("resize") else "full size"


def _traits(result: dict[str, Any], row: dict[str, Any], x: str, by: str | None) -> Traits:
    """The properties that are constant along a line, most important first."""
    meta = result["meta"]
    data = meta.get("data") or {}
    erasure, mismatch_db = meta.get("erasure") or 0.0, meta.get("snr_error_db") or 0.0
    traits = {
        "codec": str(row["codec"]),
        "editor": "" if row["editor"] == "none" else f"edited by {row['editor']}",
        "by": "" if by is None or row.get(by) is None else f"{row[by]}",
        "rate": f"rate {row['rate']}",
        "snr_db": f"{row['snr_db']:g} dB",
        "channel": str(row["channel"]),
        "size": picture_size(meta),
        "data": str(data.get("name", "")),
        "n_pictures": f"{data['pictures']} pictures" if "pictures" in data else "",
        "content": f"files {data['sha256'][:8]}" if data.get("sha256") else "",
        "mask": {"none": "no mask", "truth": "true mask"}.get(str(meta.get("mask")), "codec's mask"),
        "erasure": f"{erasure:.3g} of the symbols lost" if erasure else "no symbol lost",
        "snr_error": f"SNR mismatch {mismatch_db:+g} dB" if mismatch_db else "no SNR mismatch",
        "captions": CAPTIONS.get(str(meta.get("captions")), ""),
        "focus": "" if meta.get("focus") is None else f"focus {meta['focus']:g}",
    }
    for key in COUNTS if x in COUNTS else (x,):
        traits.pop(key, None)
    if x not in COUNTS and x != "snr_db":
        traits.pop("snr_db")
    return traits


def _point(row: Mapping[str, Any]) -> tuple[str, float]:
    """What tells the points of one line apart."""
    return str(row["rate"]), float(row["snr_db"])


def _parts(traits: Traits, rows: list[_Row]) -> list[tuple[Traits, list[_Row]]]:
    """One line if each point occurs once; one line per file if several files hold the same point."""
    sources = dict.fromkeys(row.source for row in rows)
    if len({_point(row.values) for row in rows}) == len(rows) or len(sources) == 1:
        return [({**traits, "source": ""}, rows)]
    return [({**traits, "source": name}, [row for row in rows if row.source == name]) for name in sources]


def _refuse_zigzag(rows: list[_Row]) -> None:
    """Raises an error if one file holds several rows for one point, which a line would join in a zigzag."""
    (point, n), *_ = Counter(_point(row.values) for row in rows).most_common(1)
    if n == 1:
        return
    same = [row.values for row in rows if _point(row.values) == point]
    further = [key for key in same[0] if key not in ROW_KEYS]
    differing = [key for key in further if len({str(row.get(key)) for row in same}) == n]
    differing = differing or [key for key in further if len({str(row.get(key)) for row in same}) > 1]
    remedy = "give each variant a file of its own"
    if differing:
        remedy = f"draw one line for each '{differing[0]}' with --by {differing[0]}"
    rate, snr_db = point
    raise ConfigError(
        f"{rows[0].source} holds {n} rows of {same[0]['codec']} at {snr_db:g} dB and rate {rate}, which no single line "
        f"can join; {remedy}"
    )


def _labels(traits: Sequence[Traits]) -> list[str]:
    """The codec, the conditions that differ, and as many further traits as distinguish the lines."""
    chosen = [[trait["codec"]] for trait in traits]
    for key in traits[0]:
        values = {trait[key] for trait in traits}
        is_unique = len(set(map(tuple, chosen))) == len(chosen)
        is_unequal = key in CONDITIONS and "" not in values
        if key == "codec" or len(values) == 1 or (is_unique and not is_unequal):
            continue
        for texts, trait in zip(chosen, traits, strict=True):
            if trait[key]:
                texts.append(trait[key])
    return [", ".join(texts) for texts in chosen]


def unequal(found: Sequence[Line]) -> dict[str, list[str]]:
    """The conditions that lines which invite a comparison do not share.

    Different pictures or sizes are never alike. Any other condition may vary if each codec and editor was measured
    under the same ones, as in a plot of each codec over two channels.

    Returns:
        Name of a condition to its values, as the labels name them.
    """
    differing = {
        key: values
        for key in CONDITIONS
        if len(values := list(dict.fromkeys(line.traits.get(key, "") for line in found))) > 1 and "" not in values
    }
    subjects: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for line in found:
        subject = line.traits["codec"], line.traits["editor"]
        subjects.setdefault(subject, set()).add(tuple(line.traits[key] for key in differing))
    is_balanced = len(set(map(frozenset, subjects.values()))) == 1
    marked: dict[str, list[str]] = {}
    for key, values in differing.items():
        if key in ALWAYS_MARKED or not is_balanced:
            marked.setdefault(CONDITIONS[key], []).extend(values)
    return marked


def _line(label: str, traits: Traits, rows: list[dict[str, Any]], x: str, y: str) -> Line:
    intervals = [row.get(f"{y}_ci95") for row in rows]
    known = [interval for interval in intervals if interval is not None]
    has_band = len(known) == len(rows)
    return Line(
        label,
        [number(row, x) or 0.0 for row in rows],
        [number(row, y) or 0.0 for row in rows],
        [float(low) for low, _ in known] if has_band else None,
        [float(high) for _, high in known] if has_band else None,
        traits,
    )
