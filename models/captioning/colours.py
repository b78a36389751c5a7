# SPDX-License-Identifier: GPL-3.0-or-later
"""Everyday names of colours from pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NAMES = (
    "black", "grey", "white", "red", "orange", "brown", "yellow", "green", "turquoise", "blue", "purple", "pink",
    "beige",
)  # fmt: skip
BLACK, GREY, WHITE, RED, ORANGE, BROWN, YELLOW, GREEN, TURQUOISE, BLUE, PURPLE, PINK, BEIGE = range(len(NAMES))
HUES = ((15, RED), (40, ORANGE), (68, YELLOW), (165, GREEN), (195, TURQUOISE), (260, BLUE), (300, PURPLE), (345, PINK))
"""Upper limit of each hue, degrees."""
MIN_SHARE = 0.42
"""Smallest share of a region for its colour to be named."""


def colour_indices(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The index into `NAMES` of each pixel's colour.

    Args:
        pixels: [..., 3] in [0, 1].
    """
    high, low = pixels.max(-1), pixels.min(-1)
    chroma = high - low
    safe = np.maximum(chroma, 1e-6)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    hue = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue * 60
    saturation = chroma / np.maximum(high, 1e-6)
    found = np.full(hue.shape, RED)  # from 345 degrees on, red again
    for end, name in reversed(HUES):
        found = np.where(hue < end, name, found)
    warm = (hue >= 10) & (hue < 50)
    found = np.where(warm & (high < 0.65), BROWN, found)
    found = np.where(warm & (high >= 0.65) & (saturation < 0.4), BEIGE, found)
    is_grey = (saturation < 0.18) | (chroma < 0.08)
    found = np.where(is_grey, np.where(high > 0.78, WHITE, GREY), found)
    return np.where(high < 0.2, BLACK, found).astype(np.int64)


def main_colour(indices: npt.NDArray[np.int64], weights: npt.NDArray[np.float32] | None = None) -> str | None:
    """The name of the prevailing colour of a region; None where no colour reaches `MIN_SHARE`.

    Args:
        indices: Result of `colour_indices`, any shape.
        weights: Weight of each pixel, same shape; None: equal.
    """
    counts = np.bincount(indices.ravel(), None if weights is None else weights.ravel(), len(NAMES))
    best = int(counts.argmax())
    return NAMES[best] if counts[best] >= MIN_SHARE * max(counts.sum(), 1e-9) else None
