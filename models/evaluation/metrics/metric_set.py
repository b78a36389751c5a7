# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of an evaluation, chosen by name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence

from gened.errors import ConfigError
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.registry import DEFAULT, FIGURES, METRICS, names_of_all


def parse_metrics(text: str) -> tuple[str, ...]:
    """Metrics from names with commas between them; "all" is all that need no further model or package.

    Raises:
        ConfigError: An unknown name; the message lists the known ones.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return names_of_all()
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ConfigError(f"metric '{unknown[0] if unknown else text}'; known are {', '.join(METRICS)}, or all")
    return tuple(name for name in METRICS if name in names or name == "psnr")


class MetricSet:
    """The chosen metrics; `psnr` is always one of them.

    Args:
        names: Keys of `METRICS`.
        clip: Folder or name of the CLIP for `clip_score`, which it adds to the chosen ones.

    Raises:
        ConfigError: An unknown name, or a package or model that is missing.
    """

    def __init__(self, names: Sequence[str] = DEFAULT, *, clip: str | None = None) -> None:
        chosen = set(parse_metrics(",".join(names)))
        if clip is not None:
            chosen.add("clip_score")
        if "clip_score" in chosen and clip is None:
            raise ConfigError("clip_score needs a CLIP: name one with --clip NAME_OR_FOLDER")
        resources = Resources(clip)
        self._metrics = {name: _make(name, resources) for name in METRICS if name in chosen}

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """Every key of `FIGURES` with its value for one received picture; None where unknown or not finite.

        Args:
            item: The original.
            x_hat: [3, H, W] in [0, 1], as received.
            mask: [H, W], importance as the receiver knows it; None: it knows none.
        """
        found: Figures = dict.fromkeys(FIGURES)
        for metric in self._metrics.values():
            found |= metric.figures(item, x_hat, mask)
        return {key: value if value is None or math.isfinite(value) else None for key, value in found.items()}

    def patches(self, item: Item, x_hat: Picture) -> tuple[str, str] | None:
        """Features of original and received picture for the metric of the whole set; None without one."""
        known = (metric.patches(item, x_hat) for metric in self._metrics.values())
        return next((pair for pair in known if pair is not None), None)

    def versions(self) -> dict[str, str | None]:
        """Each key of a row with the library and version behind it; None where it is not computed."""
        named = {key: metric.version for name, metric in self._metrics.items() for key in METRICS[name].keys}
        return {key: named.get(key) for key in (*FIGURES, "lpips")}


def _make(name: str, resources: Resources) -> Metric:
    module, _, kind = METRICS[name].make.partition(":")
    try:
        metric: Metric = getattr(importlib.import_module(module), kind)(resources)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("gened"):
            raise
        raise ConfigError(
            f"{name} needs {error.name}, which is not installed: pip install 'gr-gened[metrics]'"
        ) from error
    return metric
