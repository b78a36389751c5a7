# SPDX-License-Identifier: GPL-3.0-or-later
"""What a data set's reader hands over, and the rules for masks that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.models.data.folders import read_file
from gened.models.data.shards import decode

Mask = npt.NDArray[np.bool_]
"""[H, W], True on the foreground, as large as the picture before it is reduced."""

THRESHOLD = 128
"""Of 8-bit masks: at least so bright is foreground."""


class Item(NamedTuple):
    """One picture of a data set; nothing of it has been read."""

    name: str
    """Tells it from the others; becomes its key."""
    picture: Path
    source: str
    """For people: which data set, which part of it."""
    mask: Callable[[int, int], Mask | None] | None = None
    """Given the picture's height and width; None where the data set's annotation makes no usable mask."""
    captions: tuple[str, ...] = ()
    is_upright: bool = False
    """Whether the picture is to be turned as its EXIF data says; annotations mostly go by the picture as stored."""


class Found(NamedTuple):
    """A data set."""

    items: list[Item]
    left_out: tuple[str, ...] = ()
    """What is there and was not taken, each reason with its number of pictures."""


def need_folder(path: Path, layout: str) -> Path:
    """The folder, if it is there.

    Args:
        path: Of the folder.
        layout: What the data set looks like as one downloads it, for the message.

    Raises:
        ConfigError: It is not.
    """
    if not path.is_dir():
        raise ConfigError(f"no folder {path}; expected {layout}")
    return path


def files_by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a folder with that suffix (in small letters), by their names without it, in the order of the names."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == suffix and path.is_file()}


def grey_mask(path: Path, height: int, width: int) -> Mask:
    """A mask from a picture of grey values.

    Raises:
        ConfigError: It is no picture, or of another size.
    """
    mask = decode(read_file(path), str(path), "L") >= THRESHOLD
    check_size(mask.shape, height, width, str(path))
    return mask


def check_size(shape: tuple[int, ...], height: int, width: int, where: str) -> None:
    """Looks whether a mask fits its picture.

    Raises:
        ConfigError: It does not.
    """
    if shape != (height, width):
        raise ConfigError(f"{where} is for {shape[1]}x{shape[0]} pixels, but its picture has {width}x{height}")
