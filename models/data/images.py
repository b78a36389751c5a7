# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the link: files in and out within the sizes that can be sent, and the conversions to and from float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.reading import FOREGROUND, ImageSizeError, Mask, fit_mask, read_mask, read_picture
from gened.models.data.srgb import Pixels

__all__ = [
    "MAX_SIDE", "MIN_SIDE", "Mask", "Pixels", "load_image", "load_mask", "require_sendable", "to_float", "to_uint8",
]  # fmt: skip

MIN_SIDE = 64
MAX_SIDE = 4096
"""Pixels; the header has 12 bits for each side."""


def load_image(path: str | Path, *, max_side: int | None = None) -> Pixels:
    """A photograph to send, as 8-bit sRGB, upright; of an animation the first picture. See `reading.read_picture`.

    Args:
        path: Any file that Pillow opens.
        max_side: Larger pictures are reduced until no side is longer (Lanczos); None: they are refused.

    Returns:
        [H, W, 3] uint8. Transparent parts are white.

    Raises:
        MissingImageError: No such file, or no permission to read it.
        NotAnImageError: Not a picture, or a damaged one.
        ImageSizeError: Under 64 or over 4096 pixels on a side, or a decompression bomb.
    """
    path = Path(path)

    def check_size(width: int, height: int) -> None:
        require_sendable(str(path), width, height, max_side=max_side)

    return _reduced(read_picture(path, check_size=check_size), max_side)


def require_sendable(
    where: str, width: int, height: int, *, max_side: int | None = None, advice: str = f"--max-side {MAX_SIDE}"
) -> None:
    """Check that a picture can be sent, as it is or reduced.

    Args:
        where: Name of the picture in messages.
        width: Of the file, pixels.
        height: Of the file, pixels.
        max_side: The picture is reduced until no side is longer; None: it is not reduced.
        advice: The option of the command that reduces pictures.

    Raises:
        ImageSizeError: Under 64 or over 4096 pixels on a side, as it is or after the reduction.
    """
    shorter, longer = sorted((width, height))
    what = f"{where} is {width}x{height}"
    if shorter < MIN_SIDE:
        raise ImageSizeError(f"{what}; pictures from {MIN_SIDE}x{MIN_SIDE} can be sent")
    if shorter * MAX_SIDE < MIN_SIDE * longer:
        raise ImageSizeError(
            f"{what}, too narrow to be sent: with {MAX_SIDE} pixels on the longer side, the shorter one keeps "
            f"{shorter * MAX_SIDE // longer}, and {MIN_SIDE} are needed; crop it"
        )
    if max_side is None and longer > MAX_SIDE:
        raise ImageSizeError(f"{what}; {MAX_SIDE}x{MAX_SIDE} can be sent: reduce it with {advice}")
    if max_side is not None and longer > max_side and shorter * max_side < MIN_SIDE * longer:
        least = -(-MIN_SIDE * longer // shorter)
        raise ImageSizeError(
            f"{what}; with {max_side} pixels on the longer side, the shorter one keeps {shorter * max_side // longer}, "
            f"and {MIN_SIDE} are needed: use --max-side {least} or more"
        )


def load_mask(path: str | Path, height: int, width: int) -> Mask:
    """The importance of each pixel of a photograph, from a picture file: white is important, black is not.

    Args:
        path: Any file that Pillow opens; see `reading.read_mask`.
        height: Of the photograph, pixels.
        width: Of the photograph, pixels. A mask of another size is brought to it by repeating or leaving out pixels.

    Returns:
        [height, width] uint8.

    Raises:
        MissingImageError: No such file, or no permission to read it.
        NotAnImageError: Not a picture, or a damaged one.
        ImageSizeError: A decompression bomb.
        ConfigError: Its shape differs from the photograph's by more than 3 %, or nothing in it is white.
    """
    mask = fit_mask(read_mask(Path(path)), height, width, f"the mask {path}", "the photograph")
    if mask.max() < FOREGROUND:
        raise ConfigError(f"the mask {path} has no white in it; paint white what is important")
    return mask


def to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    """[H, W, 3] uint8 as the input of a codec: [3, H, W] float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)


def to_uint8(x: npt.NDArray[np.floating[Any]]) -> Pixels:
    """[3, H, W] in [0, 1] as [H, W, 3] uint8; NaN becomes black, values out of range are clipped."""
    scaled = np.clip(np.nan_to_num(x, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255
    return np.ascontiguousarray(np.round(scaled).transpose(1, 2, 0)).astype(np.uint8)


def _reduced(pixels: Pixels, max_side: int | None) -> Pixels:
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
