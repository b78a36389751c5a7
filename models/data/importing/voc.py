# SPDX-License-Identifier: GPL-3.0-or-later
"""Pascal VOC 2012: JPEGImages, and SegmentationClass or SegmentationObject with ImageSets/Segmentation.

References:
    Everingham et al., "The PASCAL Visual Object Classes challenge: a retrospective", IJCV 111, 2015.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from gened.errors import ConfigError
from gened.models.data.folders import read_file
from gened.models.data.importing.found import Found, Item, Mask, check_size, need_folder

LAYOUT = "VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and ImageSets, as the archive VOCtrainval unpacks"
FURNITURE = (9, 11, 16, 18)
"""Chair, dining table, potted plant, sofa: what stands around, of VOC's 20 classes."""
UNDECIDED = 255
"""The band along outlines that VOC leaves open."""
MIN_PART_OF_PICTURE, MIN_PART_OF_LARGEST = 0.005, 0.08
"""Smaller connected parts of the foreground are dropped."""


def find(source: Path) -> Found:
    """The pictures that have a segmentation.

    Where the class maps are absent the object maps are used; they do not say which object is furniture, so all count.

    Args:
        source: The folder that holds VOCdevkit, or VOCdevkit, or VOC2012 itself.

    Raises:
        ConfigError: Not laid out so, or a picture or map of the lists is missing.
    """
    candidates = (source / "VOCdevkit" / "VOC2012", source / "VOC2012", source)
    root = next((path for path in candidates if (path / "JPEGImages").is_dir()), None)
    if root is None:
        raise ConfigError(f"no VOC 2012 in {source}; expected {LAYOUT}")
    is_class = (root / "SegmentationClass").is_dir()
    maps = root / "SegmentationClass" if is_class else need_folder(root / "SegmentationObject", LAYOUT)
    items = []
    for name in _names(root):
        picture, map_ = root / "JPEGImages" / f"{name}.jpg", maps / f"{name}.png"
        for path in (picture, map_):
            if not path.is_file():
                raise ConfigError(f"no file {path}, which ImageSets/Segmentation names; expected {LAYOUT}")
        skip = FURNITURE if is_class else ()
        items.append(Item(name, picture, "PASCAL VOC 2012", partial(_mask, map_, skip)))
    return Found(items)


def _names(root: Path) -> list[str]:
    """Of all lists but that of the test pictures, whose maps are not published."""
    lists = sorted(need_folder(root / "ImageSets" / "Segmentation", LAYOUT).glob("*.txt"))
    names = {name for path in lists if path.stem != "test" for name in path.read_text(errors="replace").split()}
    odd = sorted(name for name in names if Path(name).name != name)
    if odd:
        raise ConfigError(f"{root / 'ImageSets' / 'Segmentation'} names {odd[0]!r}, which is no plain name")
    return sorted(names)


def _mask(path: Path, skip: tuple[int, ...], height: int, width: int) -> Mask | None:
    labels = read_labels(path)
    check_size(labels.shape, height, width, str(path))
    return foreground(labels, skip)


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """The numbers in a picture with a palette, [H, W]; its colours mean nothing.

    Raises:
        ConfigError: It is no PNG, or one of colours.
    """
    try:
        with Image.open(io.BytesIO(read_file(path)), formats=["PNG"]) as picture:
            if picture.mode not in ("P", "L"):
                raise ConfigError(f"{path} holds colours ({picture.mode}); expected a palette, one number a class")
            return np.array(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(f"{path} is no PNG that can be read: {error}") from error


def foreground(labels: npt.NDArray[np.uint8], skip: tuple[int, ...] = FURNITURE) -> Mask | None:
    """What is foreground in a map of classes: the undecided band goes to the nearer side, small parts are dropped.

    Args:
        labels: [H, W]; 0 is background, 255 undecided.
        skip: Classes that count as background.

    Returns:
        [H, W], or None where there is no foreground.
    """
    is_open = labels == UNDECIDED
    if is_open.all():
        return None
    mask = (labels != 0) & ~np.isin(labels, skip)
    # Of each undecided pixel the nearest decided one, [2, H, W].
    nearest = ndimage.distance_transform_edt(is_open, return_distances=False, return_indices=True)
    mask = mask[tuple(nearest)]
    parts, n_parts = ndimage.label(mask, structure=np.ones((3, 3)))
    if not n_parts:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    is_kept = (sizes >= MIN_PART_OF_PICTURE * mask.size) & (sizes >= MIN_PART_OF_LARGEST * sizes.max())
    kept: Mask = is_kept[parts]
    return kept if kept.any() else None
