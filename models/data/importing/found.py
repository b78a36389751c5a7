# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a data set's `find`, and helpers that several data sets share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.models.data.reading import FOREGROUND, read_mask
from gened.models.data.shards import image_errors_as_config

Mask = npt.NDArray[np.bool_]
"""[H, W], True on the foreground, at the size of the picture before it is reduced."""


class Item(NamedTuple):
    """One picture of a data set; its files have not been read yet."""

    name: str
    """Unique in the data set; becomes the key in the shard."""
    picture: Path
    source: str
    """Name of the data set and its part, for people."""
    mask: Callable[[int, int], Mask | None] | None = None
    """Returns the mask from the picture's height and width, or None where the annotation gives no usable mask."""
    captions: tuple[str, ...] = ()
    is_upright: bool = False
    """Whether the picture is rotated as its EXIF data say. Annotations mostly refer to the picture as stored."""


class Found(NamedTuple):
    """The pictures of a data set."""

    items: list[Item]
    left_out: tuple[str, ...] = ()
    """Reasons for which pictures were left out, each with its number of pictures."""


def need_folder(path: Path, layout: str) -> Path:
    """The folder, if it exists.

    Args:
        path: The folder.
        layout: Layout of the data set as it is downloaded, for the message.

    Raises:
        ConfigError: It does not exist.
    """
    if not path.is_dir():
        raise ConfigError(f"no folder {path}; expected {layout}")
    return path


def files_by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a folder with this suffix (lower case) by their stems, in the order of their names."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == suffix and path.is_file()}


def grey_mask(path: Path, height: int, width: int) -> Mask:
    """A mask from a picture of grey values.

    Raises:
        ConfigError: Not a picture, or one of another size.
    """
    with image_errors_as_config():
        mask = read_mask(path) >= FOREGROUND
    check_size(mask.shape, height, width, str(path))
    return mask


def check_size(shape: tuple[int, ...], height: int, width: int, where: str) -> None:
    """Check that a mask has the size of its picture.

    Raises:
        ConfigError: It has not.
    """
    if shape != (height, width):
        raise ConfigError(f"{where} is for {shape[1]}x{shape[0]} pixels, but its picture has {width}x{height}")
