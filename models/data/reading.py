# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader of picture files: photographs and masks for the link, the evaluation, the training and the imports.

    file or bytes -> limits -> decode (first picture of an animation) -> sRGB, 8 bits -> upright (EXIF)

`srgb.py` has the rules for colours, depths and transparency. A mask is any picture: white is foreground, grey values
from `FOREGROUND` on count as white, transparent parts are background, and ICC profiles do not matter. Whatever is
wrong with a file becomes one of the errors below, one line that names the file. Needs NumPy and Pillow alone.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from gened.errors import ConfigError, ImageError
from gened.models.data.srgb import Pixels, to_srgb

Mask = npt.NDArray[np.uint8]
"""[H, W] uint8 importance: 255 is important, 0 is not."""

MAX_FILE_PIXELS = 100_000_000
"""Of one file; beyond, decoding takes more memory than a picture is worth."""
FOREGROUND = 128
"""Grey values of a mask from here on are foreground."""
ASPECT_TOLERANCE = 0.03
"""Relative. A mask may differ from its picture in size, but not in shape."""
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
"""ISO/IEC 23008-12, the major brands of HEIF files with HEVC pictures."""
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what makes the picture upright."""
ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

Source = Path | bytes
SizeCheck = Callable[[int, int], None]
"""Receives width and height as the file states them, before a pixel is decoded; raises `ImageSizeError`."""


class MissingImageError(ImageError):
    """No such file, or no permission to read it."""


class NotAnImageError(ImageError):
    """A file that is not a picture, or a damaged one."""


class ImageSizeError(ImageError):
    """A picture with too few or too many pixels, or a decompression bomb."""


def read_picture(
    source: Source,
    where: str = "",
    *,
    max_pixels: int = MAX_FILE_PIXELS,
    is_upright: bool = True,
    formats: tuple[str, ...] | None = None,
    check_size: SizeCheck | None = None,
) -> Pixels:
    """A photograph as 8-bit sRGB.

    Args:
        source: A file, or its content.
        where: Name of the source in messages; by default its path.
        max_pixels: Larger pictures are refused before they are decoded.
        is_upright: Rotate as the EXIF data say; False: as stored, which is what annotations of data sets refer to.
        formats: Pillow's names of the file formats that are allowed; None: all.
        check_size: Further limits.

    Returns:
        [H, W, 3] uint8. Transparent parts are white.

    Raises:
        MissingImageError: No such file, or no permission to read it.
        NotAnImageError: Not a picture, or a damaged one.
        ImageSizeError: More pixels than `max_pixels`.
    """
    where = where or str(source)
    with _opened(source, where, formats) as image:
        _check_bomb(where, image.size, max_pixels)
        if check_size is not None:
            check_size(*image.size)
        return _decoded(image, where, background=255, is_upright=is_upright)


def read_mask(
    source: Source, where: str = "", *, max_pixels: int = MAX_FILE_PIXELS, formats: tuple[str, ...] | None = None
) -> Mask:
    """The grey values of a mask, [H, W] uint8: 255 is foreground; transparent parts are 0.

    The arguments and the errors are those of `read_picture`.
    """
    where = where or str(source)
    with _opened(source, where, formats) as image:
        _check_bomb(where, image.size, max_pixels)
        image.info.pop("icc_profile", None)
        pixels = _decoded(image, where, background=0)
    return np.array(Image.fromarray(pixels).convert("L"))


def fit_mask(mask: Mask, height: int, width: int, where: str, owner: str = "its picture") -> Mask:
    """A mask at the size of its picture: pixels are repeated or left out, so no grey values arise.

    Args:
        mask: [h, w] uint8.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        where: Name of the mask in the message.
        owner: Name of the picture in the message.

    Returns:
        [height, width] uint8.

    Raises:
        ConfigError: The two differ in shape by more than `ASPECT_TOLERANCE`.
    """
    rows, columns = mask.shape
    if (rows, columns) == (height, width):
        return mask
    if abs(columns * height / (rows * width) - 1) > ASPECT_TOLERANCE:
        raise ConfigError(
            f"{where} is {columns}x{rows}, {owner} {width}x{height}; "
            "a mask may be of another size than its picture, not of another shape"
        )
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def read_labels(source: Source, where: str = "") -> Mask:
    """The numbers of a segmentation map, [H, W] uint8, as stored: the indices of a palette or grey values, PNG.

    Raises:
        ImageError: As `read_picture`; or a picture of colours.
    """
    where = where or str(source)
    with _opened(source, where, ("PNG",)) as image:
        _check_bomb(where, image.size, MAX_FILE_PIXELS)
        if image.mode not in ("P", "L"):
            raise NotAnImageError(f"{where} holds colours ({image.mode}); expected a palette, one number per class")
        return np.array(image)


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as `read_picture` returns it, without decoding it; raises as it does."""
    with _opened(path, str(path), None) as image:
        # Pillow's TIFF reader states the upright size already.
        is_on_its_side = image.format != "TIFF" and _orientation(image) in ON_ITS_SIDE
        return (image.width, image.height) if is_on_its_side else (image.height, image.width)


def _decoded(image: Image.Image, where: str, *, background: int, is_upright: bool = True) -> Pixels:
    image.load()
    orientation = _orientation(image) if is_upright else 1  # after loading: Pillow's TIFF reader rotates by itself
    rgb = to_srgb(image, where, background)
    if orientation in ORIENTATIONS:
        rgb = rgb.transpose(ORIENTATIONS[orientation])
    return np.array(rgb)


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # broken EXIF data must not cost the picture
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _check_bomb(where: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageSizeError(
            f"{where} would unpack to {width}x{height} pixels (a decompression bomb?); at most {max_pixels} are read"
        )


@contextlib.contextmanager
def _opened(source: Source, where: str, formats: tuple[str, ...] | None) -> Iterator[Image.Image]:
    """An open picture; whatever Pillow raises on opening or inside the block becomes one of our errors."""
    if isinstance(source, Path):
        if not source.exists():
            raise MissingImageError(f"no such file: {where}")
        if source.is_dir():
            raise MissingImageError(f"{where} is a folder; name the picture files in it")
    file = source if isinstance(source, Path) else io.BytesIO(source)
    with _without_warnings():
        try:
            is_heic = formats is None and _is_heic(source)
            can_heic = is_heic and _register_heic()
            try:
                image = Image.open(file, formats=formats)
            except UnidentifiedImageError as error:
                kinds = "JPEG, PNG, TIFF, WebP and others" if formats is None else ", ".join(formats)
                hint = f"{kinds} can"
                if is_heic and not can_heic:
                    hint = "it looks like HEIC: pip install 'gr-gened[heic]'"
                raise NotAnImageError(f"{where} is not a picture that can be read; {hint}") from error
            with image:
                yield image
        except ImageError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageSizeError(
                f"{where} would unpack to a huge picture (a decompression bomb?); it was not opened"
            ) from error
        except PermissionError as error:
            raise MissingImageError(f"{where} cannot be read: permission denied") from error
        except (
            OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError,
            MemoryError, struct.error, zlib.error,
        ) as error:  # fmt: skip
            # What Pillow's readers raise on damaged files.
            raise NotAnImageError(
                f"{where} is a broken picture: {' '.join(str(error).split()) or type(error).__name__}"
            ) from error


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large pictures and odd metadata; sizes are checked here.

    In the main thread alone, because `catch_warnings` changes the filters of all threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_heic(source: Source) -> bool:
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def _register_heic() -> bool:
    """Make Pillow read HEIC, where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
