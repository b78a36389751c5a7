# SPDX-License-Identifier: GPL-3.0-or-later
"""What matters in a photograph, as its sender says: a mask from a file, boxes, or both together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gened.errors import ConfigError
from gened.link.config import Box
from gened.models.data.images import Mask, Pixels, load_mask
from gened.models.data.reading import upright_size


def importance(photo: Path, pixels: Pixels, mask: Path | None, boxes: Sequence[Box]) -> Mask | None:
    """What is white in the mask or inside one of the boxes.

    Args:
        photo: The photograph's file, whose pixels the boxes count.
        pixels: [H, W, 3], the photograph as it will be sent; it may have been made smaller.
        mask: A picture file; see `load_mask`.
        boxes: See `Box`.

    Returns:
        [H, W] uint8, 255 is important; None without mask and boxes.

    Raises:
        ImageError: The mask cannot be used.
        ConfigError: It has another shape than the photograph or no white in it, or a box reaches outside.
    """
    height, width = pixels.shape[:2]
    if mask is None and not boxes:
        return None
    important = np.zeros((height, width), np.uint8) if mask is None else load_mask(mask, height, width)
    full_height, full_width = upright_size(photo)
    for left, top, box_width, box_height in boxes:
        right, bottom = left + box_width, top + box_height
        if not (0 <= left < right <= full_width and 0 <= top < bottom <= full_height):
            raise ConfigError(
                f"the box {left},{top},{box_width},{box_height} does not lie inside {photo}, "
                f"which is {full_width}x{full_height}; a box is LEFT,TOP,WIDTH,HEIGHT in its pixels"
            )
        rows = slice(top * height // full_height, -(-bottom * height // full_height))
        columns = slice(left * width // full_width, -(-right * width // full_width))
        important[rows, columns] = 255
    return important
