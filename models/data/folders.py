# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of pictures, with masks and captions as far as they exist, as `--data` means them.

    images/ and below, or the folder itself    photographs
    masks/                                     PNG of the same relative name, white = foreground
    captions.jsonl                             {"file": NAME, "captions": [TEXT, ...]}, one line a picture

Needs NumPy and Pillow alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.shards import MAX_MEMBER_BYTES, UInt8Array, captions_of, decode, is_picture

MAX_ASPECT_ERROR = 0.03
"""Masks may be of another size than their picture, but not of another shape."""


def pictures_folder(data: Path) -> Path:
    """Where the photographs are: `images/` if there is one, else the folder itself."""
    return data / "images" if (data / "images").is_dir() else data


def find_pictures(data: Path) -> list[Path]:
    """All photographs, also in folders below, in the order of their paths."""
    masks = data / "masks"
    return sorted(
        file
        for file in pictures_folder(data).rglob("*")
        if is_picture(file.name) and masks not in file.parents and file.is_file()
    )


def read_file(path: Path) -> bytes:
    """The content of a picture file.

    Raises:
        ConfigError: It cannot be read, or has more than 64 MiB.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MEMBER_BYTES:
            raise ConfigError(f"{path} has {size} bytes; at most {MAX_MEMBER_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def find_mask(data: Path, picture: Path) -> Path | None:
    """The mask of a photograph, if it has one."""
    path = data / "masks" / picture.relative_to(pictures_folder(data)).with_suffix(".png")
    return path if path.is_file() else None


def read_mask(path: Path, height: int, width: int) -> UInt8Array:
    """A mask at the size of its photograph, [H, W], 255 = foreground.

    Raises:
        ConfigError: Not a picture, or one of another shape.
    """
    mask = decode(read_file(path), str(path), "L")
    if mask.shape != (height, width):
        if abs(mask.shape[1] * height / (mask.shape[0] * width) - 1) > MAX_ASPECT_ERROR:
            raise ConfigError(
                f"{path} has {mask.shape[1]}x{mask.shape[0]} pixels, another shape than its picture, {width}x{height}"
            )
        mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))
    return mask


def read_caption_lines(data: Path) -> dict[str, tuple[str, ...]]:
    """Captions by file name, of `captions.jsonl`; empty where there is no such file.

    Raises:
        ConfigError: A line is not {"file": ..., "captions": [...]}.
    """
    path = data / "captions.jsonl"
    found: dict[str, tuple[str, ...]] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where} is not JSON: {error}") from error
        captions = captions_of(value, where)
        if not isinstance(value.get("file"), str):
            raise ConfigError(f'{where}: expected {{"file": NAME, "captions": [TEXT, ...]}}')
        found[Path(value["file"]).name] = captions
    return found
