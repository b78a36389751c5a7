# SPDX-License-Identifier: GPL-3.0-or-later
"""Processing of large pictures in overlapping tiles, blended without seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of evenly spaced tiles that overlap by at least `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _ramp(length: int, start: int, whole: int, overlap: int) -> FloatArray:
    """Blending weights of a tile along one axis: ramps at inner edges, 1 at the picture's border."""
    position = np.arange(length) + 0.5
    rise = np.minimum(1.0, position / overlap) if start > 0 else np.ones(length)
    fall = np.minimum(1.0, (length - position) / overlap) if start + length < whole else np.ones(length)
    return np.minimum(rise, fall).astype(np.float32)


def in_tiles(x: FloatArray, apply: Callable[[FloatArray], FloatArray], *, tile: int, overlap: int) -> FloatArray:
    """Apply a function that preserves the size to a picture, tile by tile.

    Args:
        x: [C, H, W]; the function receives [C, h, w] with h and w up to `tile`.
        apply: To [D, h, w].
        tile: Longest side of a tile.
        overlap: Pixels that two neighbours have in common at least, over which they are blended.

    Returns:
        [D, H, W].
    """
    height, width = x.shape[1:]
    rows, columns = _starts(height, tile, overlap), _starts(width, tile, overlap)
    if len(rows) == len(columns) == 1:
        return apply(x)
    total: FloatArray | None = None
    weights = np.zeros((height, width), np.float32)
    for top in rows:
        for left in columns:
            part = x[:, top : top + tile, left : left + tile]
            found = apply(np.ascontiguousarray(part))
            if total is None:
                total = np.zeros((found.shape[0], height, width), np.float32)
            h, w = part.shape[1:]
            weight = np.outer(_ramp(h, top, height, overlap), _ramp(w, left, width, overlap))
            total[:, top : top + h, left : left + w] += found * weight
            weights[top : top + h, left : left + w] += weight
    assert total is not None
    return total / weights
