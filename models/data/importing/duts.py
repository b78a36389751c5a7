# SPDX-License-Identifier: GPL-3.0-or-later
"""DUTS, the part for training: DUTS-TR/DUTS-TR-Image/*.jpg and DUTS-TR/DUTS-TR-Mask/*.png.

References:
    Wang et al., "Learning to detect salient objects with image-level supervision", CVPR 2017.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gened.errors import ConfigError
from gened.models.data.importing.found import Found, Item, files_by_stem, grey_mask, need_folder

LAYOUT = "DUTS-TR/DUTS-TR-Image and DUTS-TR/DUTS-TR-Mask, as the archive DUTS-TR.zip unpacks"


def find(source: Path) -> Found:
    """The pictures of DUTS-TR, each with its mask.

    Args:
        source: The folder that holds DUTS-TR, or DUTS-TR itself.

    Raises:
        ConfigError: Another layout, or a picture without a mask.
    """
    root = source / "DUTS-TR" if (source / "DUTS-TR").is_dir() else source
    images = files_by_stem(need_folder(root / "DUTS-TR-Image", LAYOUT), ".jpg")
    masks = files_by_stem(need_folder(root / "DUTS-TR-Mask", LAYOUT), ".png")
    bare = [stem for stem in images if stem not in masks]
    if bare:
        raise ConfigError(f"{images[bare[0]]} has no mask {root / 'DUTS-TR-Mask' / bare[0]}.png; unpack DUTS-TR again")
    return Found([Item(stem, path, "DUTS-TR", partial(grey_mask, masks[stem])) for stem, path in images.items()])
