# SPDX-License-Identifier: GPL-3.0-or-later
"""Pascal VOC 2012: JPEGImages, and SegmentationClass or SegmentationObject with ImageSets/Segmentation.

References:
    Everingham et al., "The PASCAL Visual Object Classes challenge: a retrospective", IJCV 111, 2015.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gened.errors import ConfigError
from gened.models.data.importing.found import Found, Item, Mask, check_size, need_folder
from gened.models.data.reading import read_labels
from gened.models.data.shards import image_errors_as_config

LAYOUT = "VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and ImageSets, as the archive VOCtrainval unpacks"
FURNITURE = (9, 11, 16, 18)
"""Chair, dining table, potted plant and sofa of VOC's 20 classes; they count as background."""
UNDECIDED = 255
"""Label of the undecided band along outlines."""
MIN_PART_OF_PICTURE, MIN_PART_OF_LARGEST = 0.005, 0.08
"""Smaller connected parts of the foreground are dropped."""


def find(source: Path) -> Found:
    """The pictures that have a segmentation.

    Where the class maps are absent the object maps are used; they do not name the classes, so furniture
    counts as foreground.

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
    """Names in all lists but that of the test pictures, whose maps are not published."""
    lists = sorted(need_folder(root / "ImageSets" / "Segmentation", LAYOUT).glob("*.txt"))
    names = {name for path in lists if path.stem != "test" for name in path.read_text(errors="replace").split()}
    odd = sorted(name for name in names if Path(name).name != name)
    if odd:
        raise ConfigError(f"{root / 'ImageSets' / 'Segmentation'} names {odd[0]!r}, which is no plain name")
    return sorted(names)


def _mask(path: Path, skip: tuple[int, ...], height: int, width: int) -> Mask | None:
    with image_errors_as_config():
        labels = read_labels(path)
    check_size(labels.shape, height, width, str(path))
    return foreground(labels, skip)


def foreground(labels: npt.NDArray[np.uint8], skip: tuple[int, ...] = FURNITURE) -> Mask | None:
    """Foreground of a class map: the undecided band joins the nearer side, small parts are dropped.

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
    # Row and column of the nearest decided pixel, [2, H, W].
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
