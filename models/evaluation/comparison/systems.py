# SPDX-License-Identifier: GPL-3.0-or-later
"""The systems in results of `gened evaluate --per-picture`: who was measured, and with which values per picture."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from gened.errors import ConfigError
from gened.models.evaluation.metrics.registry import FIGURES
from gened.models.evaluation.plots.lines import read_result

Axis = Literal["snr_db", "payload_symbols"]
"""Abscissa of the curves between which a Bjontegaard delta is computed."""
PAYLOAD = "payload_symbols"


class Condition(NamedTuple):
    """The conditions under which pictures were sent."""

    channel: str
    rate: str
    """Complex symbols per source value, a fraction."""
    snr_db: float

    @property
    def order(self) -> tuple[str, Fraction, float]:
        """Key for sorting."""
        return self.channel, Fraction(self.rate), self.snr_db


@dataclass(frozen=True)
class System:
    """A codec, with or without an editor, as one or several results measured it."""

    label: str
    sources: tuple[str, ...]
    """Names of the files."""
    values: dict[Condition, dict[str, dict[str, float]]]
    """Condition to figure to picture: the mean over the noise seeds; absent where one of the seeds is unknown."""
    n_seeds: dict[Condition, int]
    """Noise seeds per picture."""


@dataclass(frozen=True)
class Source:
    """One file, checked."""

    name: str
    meta: dict[str, Any]
    entries: list[dict[str, Any]]


def read_source(path: Path) -> Source:
    """A file that `gened evaluate --per-picture --out` wrote.

    Raises:
        ConfigError: It is no result, or holds no values per picture, or no hash of its data.
    """
    result = read_result(path)
    entries = result.get("pictures")
    data = result["meta"].get("data")
    if not isinstance(entries, list) or not entries or not isinstance(data, dict) or not data.get("sha256"):
        raise ConfigError(f"{path} holds no values per picture; measure it again with gened evaluate --per-picture")
    needed = ("codec", "editor", "channel", "rate", "snr_db", "picture", "seed", PAYLOAD)
    if not all(isinstance(entry, dict) and all(key in entry for key in needed) for entry in entries):
        raise ConfigError(f"{path} is no result of gened evaluate --per-picture")
    return Source(str(path), result["meta"], entries)


def require_comparable(sources: Sequence[Source], metrics: Sequence[str], axis: Axis) -> None:
    """Check that all results are of the same pictures at the same size, by the same metrics.

    Along the number of symbols, captions must have been counted alike.

    Raises:
        ConfigError: They are not; the message names the first difference.
    """
    first = sources[0]
    for other in sources[1:]:
        for what, one, two in (
            ("other pictures or masks", first.meta["data"]["sha256"], other.meta["data"]["sha256"]),
            ("pictures of another size (--resize)", first.meta.get("resize"), other.meta.get("resize")),
            ("other pictures (--skip-bad)", _pictures(first), _pictures(other)),
        ):
            if one != two:
                raise ConfigError(f"{other.name} was measured on {what} than {first.name}; they cannot be compared")
        if axis == PAYLOAD and first.meta.get("captions") != other.meta.get("captions"):
            raise ConfigError(f"{other.name} counts captions in another way than {first.name} (--captions)")
    for metric in metrics:
        if metric not in FIGURES or metric == "kid":
            known = ", ".join(key for key in FIGURES if key != "kid")
            raise ConfigError(f"'{metric}' is no figure of single pictures; known are {known}")
        versions = {}
        for source in sources:
            if all(entry.get(metric) is None for entry in source.entries):
                raise ConfigError(f"{source.name} holds no values of {metric}; see --metrics of gened evaluate")
            versions[str((source.meta.get("metrics") or {}).get(metric))] = source.name
        if len(versions) > 1:
            (one, here), (two, there) = list(versions.items())[:2]
            raise ConfigError(f"{metric} was measured by '{one}' in {here} and by '{two}' in {there}")


def _pictures(source: Source) -> set[str]:
    return {str(entry["picture"]) for entry in source.entries}


def systems_of(sources: Sequence[Source], metrics: Sequence[str], axis: Axis) -> list[System]:
    """The systems in the order of the files; in each file the received pictures come before the edited ones.

    Along `snr_db`, every file is a system of its own. Along `payload_symbols`, the files of one codec and editor, which
    were measured at several rates, are one system.

    Args:
        sources: The files.
        metrics: Figures to be compared.
        axis: Abscissa of the curves.

    Raises:
        ConfigError: Two files of a system hold the same condition.
    """
    groups: dict[tuple[str, ...], list[tuple[Source, list[dict[str, Any]]]]] = defaultdict(list)
    for source in sources:
        variants: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for entry in source.entries:
            variants[str(entry["codec"]), str(entry["editor"])].append(entry)
        for (codec, editor), entries in variants.items():
            key: tuple[str, ...] = (codec, editor) if axis == PAYLOAD else (codec, editor, source.name)
            groups[key].append((source, entries))
    names = [key[:2] for key in groups]
    found = []
    for key, parts in groups.items():
        label = key[0] + ("" if key[1] == "none" else f" edited by {key[1]}")
        if names.count(key[:2]) > 1:
            label += f" ({Path(key[2]).stem})"
        found.append(_system(label, parts, metrics))
    return found


def _system(label: str, parts: Sequence[tuple[Source, list[dict[str, Any]]]], metrics: Sequence[str]) -> System:
    values: dict[Condition, dict[str, dict[str, float]]] = {}
    n_seeds: dict[Condition, int] = {}
    for source, entries in parts:
        by_condition: dict[Condition, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            condition = Condition(str(entry["channel"]), str(entry["rate"]), float(entry["snr_db"]))
            by_condition[condition][str(entry["picture"])].append(entry)
        for condition, pictures in by_condition.items():
            if condition in values:
                raise ConfigError(
                    f"{source.name} measures {label} at rate {condition.rate} and {condition.snr_db:g} dB once more; "
                    "leave one file out, or compare along the SNR (--x snr_db)"
                )
            values[condition] = {key: _means(pictures, key) for key in (*metrics, PAYLOAD)}
            n_seeds[condition] = max(len(each) for each in pictures.values())
    return System(label, tuple(source.name for source, _ in parts), values, n_seeds)


def _means(pictures: dict[str, list[dict[str, Any]]], key: str) -> dict[str, float]:
    """Mean over the noise seeds of each picture that has the figure at every seed."""
    found = {}
    for picture, entries in pictures.items():
        values = [entry.get(key) for entry in entries]
        numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if len(numbers) == len(values):
            found[picture] = float(np.mean(numbers))
    return found
