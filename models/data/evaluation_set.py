# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation data: a folder of pictures, or one with `images/`, `masks/` and `captions.jsonl` as far as they exist."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.modes import n_symbols
from gened.gr_blocks.phy.types import ImageSize
from gened.models.codecs.base import Picture
from gened.models.data.images import NotAnImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MASK_THRESHOLD = 128
"""Grey values from here on are foreground."""
CAPTION_BYTES = 106
"""Where a data set has no captions, one of this length counts, as the 426 16-QAM symbols of the GenED-SC paper
imply."""
CAPTION_SYMBOLS = CAPTION_BYTES * 8 * 2 // 4 + 2
"""106 bytes at rate 1/2 in 16-QAM, and a padding symbol either side: the papers' 426."""
CAPTION_MODE = "16qam-1/2"

Mask = npt.NDArray[np.bool_]
"""[H, W], True on the foreground."""


@dataclass(frozen=True)
class Item:
    """One picture of a data set with what is known of it."""

    name: str
    """Of the file."""
    x: Picture
    mask: Mask | None
    caption: str | None

    @property
    def size(self) -> ImageSize:
        """Of the picture, in pixels."""
        return ImageSize(self.x.shape[1], self.x.shape[2])

    @property
    def caption_symbols(self) -> int:
        """What the caption costs; the papers' caption where there is none."""
        return CAPTION_SYMBOLS if self.caption is None else n_symbols(len(self.caption.encode()), CAPTION_MODE)

    def content_hash(self) -> str:
        """Of pixels, mask and caption, whatever the file is called."""
        found = hashlib.sha256(repr((self.x.shape, self.caption, self.mask is None)).encode())
        found.update(np.ascontiguousarray(self.x).tobytes())
        if self.mask is not None:
            found.update(np.packbits(self.mask).tobytes())
        return found.hexdigest()


def find_pictures(data: Path) -> list[Path]:
    """Pictures of a folder, or of its `images/`, sorted by name.

    Raises:
        ConfigError: No such folder, or no picture in it.
    """
    folder = data / "images" if (data / "images").is_dir() else data
    if not folder.is_dir():
        raise ConfigError(f"no folder {data}; give --data a folder of pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ConfigError(f"no pictures in {folder}; looked for {', '.join(SUFFIXES)}")
    return found


def find_mask(data: Path, stem: str) -> Path | None:
    """The file of that stem in `masks/`; None where there is none."""
    candidates = (data / "masks" / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def read_captions(data: Path) -> dict[str, str]:
    """First caption of each file of `captions.jsonl` by file name; none where there is no such file.

    Raises:
        ConfigError: A line is not {"file": ..., "captions": [...]}.
    """
    path = data / "captions.jsonl"
    captions: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        try:
            entry = json.loads(line)
            captions[Path(str(entry["file"])).name] = str(entry["captions"][0])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ConfigError(f'{path}, line {number}: expected {{"file": NAME, "captions": [TEXT, ...]}}') from error
    return captions


def read_item(data: Path, path: Path, resize: int | None, captions: dict[str, str]) -> Item:
    """A picture with its mask and its caption.

    Args:
        data: The data set's folder.
        path: Of the picture.
        resize: Stretch picture and mask to a square of this side; None: as they are.
        captions: See `read_captions`.

    Raises:
        NotAnImageError: The file cannot be read.
        ConfigError: The mask has another size than its picture.
    """
    picture = _opened(path, "RGB")
    mask_path = find_mask(data, path.stem)
    mask = None if mask_path is None else _opened(mask_path, "L")
    if mask is not None and mask.size != picture.size:
        raise ConfigError(f"{mask_path} is {_size_text(mask)}, its picture {_size_text(picture)}; they must be equal")
    if resize is not None:
        picture = picture.resize((resize, resize), Image.Resampling.BICUBIC)
    x = np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255)
    return Item(path.name, x, None if mask is None else _foreground(mask, picture.size), captions.get(path.name))


def _foreground(mask: Image.Image, size: tuple[int, int]) -> Mask:
    """True where at least half of a pixel's area is white."""
    white = mask.point(lambda value: 255 if value >= MASK_THRESHOLD else 0)
    return np.asarray(white.resize(size, Image.Resampling.BOX)) >= MASK_THRESHOLD


def _opened(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as file:
            return file.convert(mode)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NotAnImageError(f"{path} is not a picture that can be read: {' '.join(str(error).split())}") from error


def _size_text(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"
