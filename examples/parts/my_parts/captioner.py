# SPDX-License-Identifier: GPL-3.0-or-later
"""A captioner: the colours of the upper and of the lower half."""

from __future__ import annotations

import numpy as np

from gened.models.captioning.base import MAX_BYTES, cut_to_bytes
from gened.models.codecs.base import Map, Picture

COLOURS = ("red", "green", "blue")


class Colours:
    """The captioner. An option is a keyword of the constructor: `--captioner-option threshold=0.1`."""

    name = "my-colours"

    def __init__(self, *, device: str = "cpu", threshold: float = 0.05) -> None:
        self.threshold = threshold

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """Such as "blue above, bright grey below"."""
        middle = (x.shape[1] + 1) // 2
        text = f"{self._colour(x[:, :middle])} above, {self._colour(x[:, -middle:])} below"
        return cut_to_bytes(text, max_bytes)

    def _colour(self, x: Picture) -> str:
        mean = x.mean((1, 2))
        strongest = int(np.argmax(mean))
        is_colour = mean[strongest] - np.median(mean) > self.threshold
        return f"{'bright' if mean.mean() > 0.5 else 'dark'} {COLOURS[strongest] if is_colour else 'grey'}"
