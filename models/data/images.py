# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files in and out: any that Pillow opens becomes [H, W, 3] uint8 RGB, upright, of a size that can be sent."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gened.errors import ConfigError, ImageError

MIN_SIDE = 64
MAX_SIDE = 4096
"""Pixels; the header has 12 bits for each side."""
MAX_FILE_PIXELS = 100_000_000
"""Of a file that is to be made smaller; beyond, unpacking it takes more memory than a picture is worth."""

ASPECT_TOLERANCE = 0.02
"""Relative: a mask for a photograph may be of another size, but not of another shape."""

Pixels = npt.NDArray[np.uint8]
"""[H, W, 3] uint8 RGB."""
Mask = npt.NDArray[np.uint8]
"""[H, W] uint8 importance: 255 is important, 0 is not."""
T = TypeVar("T")


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

    def read(image: Image.Image) -> Pixels:
        _check_size(path, image.size, max_side)
        return _reduced(_upright_rgb(image), max_side)

    return _read(path, read)


def load_mask(path: str | Path, height: int, width: int) -> Mask:
    """Importance of each pixel of a photograph, from a picture file: white is important, black and transparent are not.

    Args:
        path: Any picture that Pillow opens; turned as its EXIF data says.
        height: Of the photograph, in pixels.
        width: The same. A mask of another size is brought to it by repeating or leaving out pixels.

    Returns:
        [height, width] uint8.

    Raises:
        MissingImageError: No such file, or it cannot be read.
        NotAnImageError: Not a picture that Pillow knows, or cut short.
        ImageSizeError: A decompression bomb.
        ConfigError: Its shape differs from the photograph's by more than 2 %, or nothing in it is white.
    """
    path = Path(path)

    def read(image: Image.Image) -> Image.Image:
        _check_bomb(path, image.size)
        return Image.fromarray(_upright_rgb(image, background=0)).convert("L")

    grey = _read(path, read)
    if abs(grey.width * height / (grey.height * width) - 1) > ASPECT_TOLERANCE:
        raise ConfigError(
            f"the mask {path} is {grey.width}x{grey.height}, the photograph {width}x{height}; "
            "give a mask of the photograph's shape"
        )
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.NEAREST)
    mask: Mask = np.array(grey, np.uint8)
    if mask.max() < 128:
        raise ConfigError(f"the mask {path} has no white in it; paint white what is important")
    return mask


def upright_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture as `load_image` turns it, before it makes it smaller; raises as it does."""

    def read(image: Image.Image) -> tuple[int, int]:
        is_on_its_side = False
        with contextlib.suppress(Exception):  # as in `_turned`
            is_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (image.width, image.height) if is_on_its_side else (image.height, image.width)

    return _read(Path(path), read)


def _turned(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # broken EXIF data must not cost the picture
        return ImageOps.exif_transpose(image)
    return image


def _read(path: Path, read: Callable[[Image.Image], T]) -> T:
    """What `read` makes of a picture file; whatever may be wrong with the file becomes one of our errors."""
    if not path.exists():
        raise MissingImageError(f"no such file: {path}")
    if path.is_dir():
        raise MissingImageError(f"{path} is a folder; name the picture files in it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata; sizes are checked by `read`
        try:
            with Image.open(path) as image:
                return read(image)
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
    """Writes [H, W, 3] or [H, W] uint8 as PNG, whole or not at all: a reader never sees half a file."""
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
    _check_bomb(path, size)
    if max(size) > MAX_SIDE and max_side is None:
        raise ImageSizeError(
            f"{path} is {width}x{height}; {MAX_SIDE}x{MAX_SIDE} can be sent: reduce it with --max-side {MAX_SIDE}"
        )
    shrunk = min(1.0, (max_side or max(size)) / max(size))
    if min(size) * shrunk < MIN_SIDE:
        raise ImageSizeError(f"{path} is {width}x{height}; pictures from {MIN_SIDE}x{MIN_SIDE} can be sent")


def _check_bomb(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_FILE_PIXELS:
        raise ImageSizeError(
            f"{path} would unpack to {width}x{height} pixels (a decompression bomb?); it was not opened"
        )


def _reduced(pixels: Pixels, max_side: int | None) -> Pixels:
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _upright_rgb(image: Image.Image, background: int = 255) -> Pixels:
    """Transparent parts show the background, a grey from 0 to 255."""
    image.load()
    image = _turned(image)
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _grey8(np.asarray(image), image.mode)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "LAB":
        return np.array(_from_lab(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        behind = Image.new("RGBA", layer.size, (background, background, background, 255))
        image = Image.alpha_composite(behind, layer)
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
