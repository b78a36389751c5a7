# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files in and out: any that Pillow opens becomes [H, W, 3] uint8 RGB, upright, of a size that can be sent."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from gened.gr_blocks.phy.errors import ImageError

MIN_SIDE = 64
MAX_SIDE = 4096
"""Pixels; the header has 12 bits for each side."""
MAX_FILE_PIXELS = 100_000_000
"""Of a file that is to be made smaller; beyond, unpacking it takes more memory than a picture is worth."""

Pixels = npt.NDArray[np.uint8]
"""[H, W, 3] uint8 RGB."""


class MissingImageError(ImageError):
    """No such file, or it cannot be read."""


class NotAnImageError(ImageError):
    """A file that is no picture, or a broken one."""


class ImageSizeError(ImageError):
    """A picture too small or too large to be sent, or a decompression bomb."""


def load_image(path: str | Path, *, max_side: int | None = None) -> Pixels:
    """The picture in a file as 8-bit RGB, turned as its EXIF data says; of an animation the first picture.

    Transparent parts are shown on white. 16-bit and floating-point greys are scaled to 8 bits.

    Args:
        path: Of the file.
        max_side: Larger pictures are reduced until no side is longer (Lanczos); None: they are refused.

    Returns:
        [H, W, 3] uint8.

    Raises:
        MissingImageError: No such file, or it cannot be read.
        NotAnImageError: Not a picture that Pillow knows, or cut short.
        ImageSizeError: Under 64 or over 4096 pixels on a side, or a decompression bomb.
    """
    path = Path(path)
    if not path.exists():
        raise MissingImageError(f"no such file: {path}")
    if path.is_dir():
        raise MissingImageError(f"{path} is a folder; name the picture files in it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata; sizes are checked below
        try:
            with Image.open(path) as image:
                _check_size(path, image.size, max_side)
                return _reduced(_upright_rgb(image), max_side)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageSizeError(
                f"{path} would unpack to a huge picture (a decompression bomb?); it was not opened"
            ) from error
        except UnidentifiedImageError as error:
            raise NotAnImageError(
                f"{path} is not a picture that can be read; JPEG, PNG, TIFF, WebP and others can"
            ) from error
        except PermissionError as error:
            raise MissingImageError(f"{path} cannot be read: permission denied") from error
        except (
            OSError,
            SyntaxError,
            ValueError,
            EOFError,
            LookupError,
            TypeError,
            ArithmeticError,
            MemoryError,
        ) as error:
            raise NotAnImageError(
                f"{path} is a broken picture: {' '.join(str(error).split()) or type(error).__name__}"
            ) from error


def save_png(path: str | Path, pixels: Pixels) -> None:
    """Writes [H, W, 3] uint8 as PNG, whole or not at all: a reader never sees half a file."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.part")
    Image.fromarray(pixels).save(partial, format="PNG", compress_level=4)
    partial.replace(path)


def to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    """[H, W, 3] uint8 to what codecs take: [3, H, W] float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)


def to_uint8(x: npt.NDArray[np.floating[Any]]) -> Pixels:
    """[3, H, W] in [0, 1] to [H, W, 3] uint8; what is not a number becomes black."""
    scaled = np.clip(np.nan_to_num(x, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255
    return np.ascontiguousarray(np.round(scaled).transpose(1, 2, 0)).astype(np.uint8)


def _check_size(path: Path, size: tuple[int, int], max_side: int | None) -> None:
    """Looks at what the file says of itself, before a pixel is unpacked."""
    width, height = size
    if width * height > MAX_FILE_PIXELS:
        raise ImageSizeError(
            f"{path} would unpack to {width}x{height} pixels (a decompression bomb?); it was not opened"
        )
    if max(size) > MAX_SIDE and max_side is None:
        raise ImageSizeError(
            f"{path} is {width}x{height}; {MAX_SIDE}x{MAX_SIDE} can be sent: reduce it with --max-side {MAX_SIDE}"
        )
    shrunk = min(1.0, (max_side or max(size)) / max(size))
    if min(size) * shrunk < MIN_SIDE:
        raise ImageSizeError(f"{path} is {width}x{height}; pictures from {MIN_SIDE}x{MIN_SIDE} can be sent")


def _reduced(pixels: Pixels, max_side: int | None) -> Pixels:
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _upright_rgb(image: Image.Image) -> Pixels:
    image.load()
    with contextlib.suppress(Exception):  # broken EXIF data must not cost the picture
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _grey8(np.asarray(image), image.mode)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "LAB":
        return np.array(_from_lab(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"))


def _grey8(values: npt.NDArray[np.generic], mode: str) -> npt.NDArray[np.uint8]:
    """Grey of more than 8 bits to 8.

    Modes of 16 bits span 0 to 65535. Modes "I" (32 bits) and "F" say nothing of their range: it is taken to be
    the smallest usual one that holds the values: 1 (for "F"), 255, 65535, or what the values span.
    """
    grey = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if mode.startswith("I;16"):
        full = 65535.0
    elif low >= 0 and high <= 65535:
        full = 1.0 if mode == "F" and high <= 1 else 255.0 if high <= 255 else 65535.0
    else:
        grey, full = grey - low, max(high - low, 1e-30)
    grey8: npt.NDArray[np.uint8] = np.round(np.clip(grey / full, 0, 1) * 255).astype(np.uint8)
    return grey8


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    result = ImageCms.applyTransform(image, transform)
    if result is None:
        raise NotAnImageError("a LAB picture that could not be turned into RGB")
    return result
