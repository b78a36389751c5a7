# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain folder: images/, masks/ and captions.jsonl as far as they exist, or nothing but pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gened.models.data.folders import find_mask, find_pictures, left_out, pictures_folder, read_caption_lines
from gened.models.data.importing.found import Found, Item, Mask, need_folder
from gened.models.data.reading import FOREGROUND, fit_mask, read_mask
from gened.models.data.shards import image_errors_as_config

LAYOUT = "a folder of pictures, or one with images/, masks/ (same names) and captions.jsonl"


def find(source: Path) -> Found:
    """All pictures of a folder and of those below it.

    Raises:
        ConfigError: No such folder, or a line of captions.jsonl that is not a caption's.
    """
    root = pictures_folder(need_folder(source, LAYOUT))
    captions = read_caption_lines(source)
    items = []
    for picture in find_pictures(source):
        mask = find_mask(source, picture)
        items.append(
            Item(
                str(picture.relative_to(root).with_suffix("")),
                picture,
                source.resolve().name,
                None if mask is None else partial(_mask, mask),
                captions.get(picture.name, ()),
                is_upright=True,
            )
        )
    return Found(items, left_out(source))


def _mask(path: Path, height: int, width: int) -> Mask:
    with image_errors_as_config():
        return fit_mask(read_mask(path), height, width, str(path)) >= FOREGROUND
