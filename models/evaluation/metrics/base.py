# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item

if TYPE_CHECKING:
    from gened.models.evaluation.metrics.classifier import Classifier

Figures = dict[str, float | None]
"""Key of a row to value; None where unknown."""


@dataclass(frozen=True)
class Resources:
    """What metrics are made from; large networks that several metrics use are loaded once."""

    clip: str | None = None
    """Folder or name of the CLIP for `clip_score`."""

    @cached_property
    def classifier(self) -> Classifier:
        """The ImageNet classifier."""
        from gened.models.evaluation.metrics.classifier import Classifier

        return Classifier()


class Metric(ABC):
    """One metric of a pair of pictures.

    Args:
        resources: See `Resources`.

    Raises:
        ConfigError: A package or a model is missing.
    """

    version: str | None
    """Library and version behind it; None: unknown."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    @abstractmethod
    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """The figures of one received picture, by the keys of the registry; absent or None where unknown.

        Args:
            item: The original, with its mask and caption as far as they exist.
            x_hat: [3, H, W] in [0, 1], as received.
            mask: [H, W], importance as the receiver knows it; None: it knows none.
        """

    def patches(self, item: Item, x_hat: Picture) -> tuple[str, str] | None:
        """Features of original and received picture, for a metric of the whole set; None for any other."""
        return None
