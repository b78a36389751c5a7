# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation data: the pictures of a folder (see `folders.py`) with masks and captions, as the codecs take them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ImageSize
from gened.models.codecs.base import Picture
from gened.models.data import folders
from gened.models.data.images import require_sendable, to_float
from gened.models.data.reading import FOREGROUND, fit_mask, read_mask, read_picture, upright_size

RESIZE = "--resize 1024, or make it smaller"
"""Advice for pictures that are too large to be sent."""

Mask = npt.NDArray[np.bool_]
"""[H, W], True on the foreground."""


@dataclass(frozen=True)
class Item:
    """One picture of a data set, with its mask and its caption where the data set has them."""

    name: str
    """Name of the file."""
    x: Picture
    """[3, H, W] float32 in [0, 1]."""
    mask: Mask | None
    caption: str | None

    @property
    def size(self) -> ImageSize:
        """Height and width of the picture, pixels."""
        return ImageSize(self.x.shape[1], self.x.shape[2])

    def content_hash(self) -> str:
        """SHA-256 of pixels, mask and caption; the name of the file does not count."""
        found = hashlib.sha256(repr((self.x.shape, self.caption, self.mask is None)).encode())
        found.update(np.ascontiguousarray(self.x).tobytes())
        if self.mask is not None:
            found.update(np.packbits(self.mask).tobytes())
        return found.hexdigest()


def find_pictures(data: Path) -> list[Path]:
    """Pictures of a folder, or of its `images/`, sorted by name; folders below are not searched.

    Raises:
        ConfigError: No such folder, or no picture in it.
    """
    folder = folders.pictures_folder(data)
    if not folder.is_dir():
        raise ConfigError(f"no folder {data}; give --data a folder of pictures")
    found = folders.find_pictures(data, is_nested=False)
    if not found:
        raise ConfigError(f"no pictures in {folder}; looked for {', '.join(folders.SUFFIXES)}")
    return found


def data_hash(data: Path, paths: Sequence[Path]) -> str:
    """SHA-256 of the names and bytes of pictures and their masks.

    Args:
        data: The data set's folder.
        paths: The pictures, in order.

    Raises:
        ConfigError: A file cannot be read.
    """
    found = hashlib.sha256()
    for picture in paths:
        for kind, path in (("picture", picture), ("mask", folders.find_mask(data, picture))):
            if path is not None:
                try:
                    content = path.read_bytes()
                except OSError as error:
                    raise ConfigError(f"cannot read {path}: {error.strerror}") from error
                found.update(repr((kind, path.name, len(content))).encode())
                found.update(content)
    return found.hexdigest()


def read_captions(data: Path) -> dict[str, str]:
    """First caption of each file of `captions.jsonl`, by file name; empty where there is no such file.

    Raises:
        ConfigError: A line is not {"file": ..., "captions": [...]}, or has no caption.
    """
    return {name: captions[0] for name, captions in folders.read_caption_lines(data, n_least=1).items()}


def check_item(data: Path, path: Path, resize: int | None) -> ImageSize:
    """Check the headers of a picture and of its mask, without decoding them.

    Args:
        data: The data set's folder.
        path: The picture's file.
        resize: Side of the square that the picture will be stretched to, pixels; None: its own size.

    Returns:
        The size at which the picture will be evaluated.

    Raises:
        ImageError: A file that is missing, no picture, or of a size that cannot be sent.
    """
    height, width = upright_size(path)
    mask = folders.find_mask(data, path)
    if mask is not None:
        upright_size(mask)
    if resize is not None:
        return ImageSize(resize, resize)
    require_sendable(str(path), width, height, advice=RESIZE)
    return ImageSize(height, width)


def read_item(data: Path, path: Path, resize: int | None, captions: dict[str, str]) -> Item:
    """A picture with its mask and its caption.

    Args:
        data: The data set's folder.
        path: The picture's file.
        resize: Side of the square that picture and mask are stretched to, pixels; None: their own size.
        captions: The result of `read_captions`.

    Raises:
        ImageError: A file that cannot be read, or a size that cannot be sent.
        ConfigError: The mask has another shape than its picture.
    """

    def check_size(width: int, height: int) -> None:
        if resize is None:
            require_sendable(str(path), width, height, advice=RESIZE)

    pixels = read_picture(path, check_size=check_size)
    height, width = pixels.shape[:2]
    mask_path = folders.find_mask(data, path)
    mask = None if mask_path is None else fit_mask(read_mask(mask_path), height, width, str(mask_path))
    if resize is not None:
        height = width = resize
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    foreground = None if mask is None else _foreground(mask, height, width)
    return Item(path.name, to_float(pixels), foreground, captions.get(path.name))


def _foreground(mask: npt.NDArray[np.uint8], height: int, width: int) -> Mask:
    """True where at least half of a pixel's area is white."""
    white = Image.fromarray(np.where(mask >= FOREGROUND, 255, 0).astype(np.uint8))
    return np.asarray(white.resize((width, height), Image.Resampling.BOX)) >= FOREGROUND
