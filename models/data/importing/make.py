# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the pictures of a data set as shards: reduce, check the mask, encode, pack.

Pictures are in the order of their names, and nothing depends on the clock or on threads, so the same data set gives
the same shards. A shard appears whole or not at all.
"""

from __future__ import annotations

import importlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.importing.found import Found, Item, Mask
from gened.models.data.reading import FOREGROUND, read_picture
from gened.models.data.shards import (
    JSON_SUFFIX,
    MASK_SUFFIX,
    MAX_PIXELS,
    UInt8Array,
    encode,
    image_errors_as_config,
    make_folder,
    write_shard,
)

KINDS = ("duts", "voc", "coco", "folder")
"""Data sets, each a module in this folder."""
JPEG_QUALITY = 92
MIN_FOREGROUND, MAX_FOREGROUND = 0.03, 0.8
"""Share of the picture; with less or more foreground the picture is kept without its mask."""

Progress = Callable[[int, int], None]
"""Receives the number of pictures done and their total number."""
Members = list[tuple[str, bytes]]


class Imported(NamedTuple):
    """Counts of an import, and the reasons for what was left out."""

    shards: int
    pictures: int
    masks: int
    captioned: int
    left_out: tuple[str, ...]


def import_data(
    kind: str,
    source: Path,
    out: Path,
    *,
    max_side: int = 360,
    shard_mib: int = 19,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Write a data set as shards, KIND-000.tar and so on.

    Args:
        kind: One of `KINDS`.
        source: The data set as downloaded.
        out: Folder for the shards; made if absent.
        max_side: Larger pictures are reduced until no side is longer, pixels.
        shard_mib: Largest shard, MiB; a shard holds at least one picture.
        progress: Called after each picture.

    Raises:
        ConfigError: Unknown kind, nothing found, a damaged file, or shards of this kind in `out` already.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown data set '{kind}'; known are {', '.join(KINDS)}")
    if not source.is_dir():
        raise ConfigError(f"no folder {source}")
    module = importlib.import_module(f"gened.models.data.importing.{kind}")
    found: Found = module.find(source)
    if not found.items:
        raise ConfigError("; ".join((f"no pictures in {source}, expected {module.LAYOUT}", *found.left_out)))
    keys = _keys(kind, found.items)
    if any(out.glob(f"{kind}-*.tar")):
        raise ConfigError(f"{out} has shards {kind}-*.tar already; remove them or name another folder")
    make_folder(out)

    counts = {"pictures": 0, "masks": 0, "captioned": 0, "dropped": 0}

    def samples() -> Iterator[Members]:
        progress(0, len(keys))
        for key, item in keys.items():
            members, had_mask = sample(key, item, max_side)
            counts["pictures"] += 1
            counts["captioned"] += bool(item.captions)
            counts["masks"] += had_mask
            counts["dropped"] += item.mask is not None and not had_mask
            yield members
            progress(counts["pictures"], len(keys))

    n_shards = 0
    for members in _packed(samples(), shard_mib << 20):
        write_shard(out / f"{kind}-{n_shards:03}.tar", members)
        n_shards += 1
    left_out = found.left_out
    if counts["dropped"]:
        left_out += (f"masks with too small, too large or no foreground: {counts['dropped']}",)
    return Imported(n_shards, counts["pictures"], counts["masks"], counts["captioned"], left_out)


def _keys(kind: str, items: list[Item]) -> dict[str, Item]:
    """Items by key, in the order of the keys; a key has no dot, which ends the key in WebDataset."""
    keys: dict[str, Item] = {}
    for item in items:
        key = f"{kind}-" + re.sub(r"[^\w-]", "_", item.name)
        if key in keys:
            raise ConfigError(f"{keys[key].picture} and {item.picture} would both be {key}; rename one of them")
        keys[key] = item
    return dict(sorted(keys.items()))


def sample(key: str, item: Item, max_side: int) -> tuple[Members, bool]:
    """The members of one picture, and whether a mask is among them.

    Raises:
        ConfigError: The picture or its mask is damaged, or their sizes differ.
    """
    with image_errors_as_config():
        pixels = read_picture(item.picture, max_pixels=MAX_PIXELS, is_upright=item.is_upright)
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = None if item.mask is None else _reduced_mask(item.mask(height, width), size)
    text: dict[str, object] = {"source": item.source}
    if item.captions:
        text["captions"] = list(item.captions)
    members = [(f"{key}.jpg", encode(_reduced(pixels, size), "JPEG", quality=JPEG_QUALITY, subsampling=0))]
    if mask is not None:
        members.append((key + MASK_SUFFIX, encode(Image.fromarray(mask))))
    members.append((key + JSON_SUFFIX, json.dumps(text, ensure_ascii=False).encode()))
    return members, mask is not None


def _reduced(pixels: UInt8Array, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(pixels)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _reduced_mask(mask: Mask | None, size: tuple[int, int]) -> Mask | None:
    """The mask at the new size; None with too little or too much foreground."""
    if mask is None:
        return None
    grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    reduced: Mask = np.asarray(grey) >= FOREGROUND
    return reduced if MIN_FOREGROUND <= reduced.mean() <= MAX_FOREGROUND else None


def _packed(samples: Iterator[Members], limit: int) -> Iterator[Members]:
    """The members of each shard in turn; a shard exceeds the limit only where one picture alone does."""
    shard: Members = []
    size = 0
    for members in samples:
        more = sum(_tar_bytes(name, content) for name, content in members)
        if shard and size + more + tarfile.RECORDSIZE > limit:  # the end of the archive takes at most one record
            yield shard
            shard, size = [], 0
        shard += members
        size += more
    if shard:
        yield shard


def _tar_bytes(name: str, content: bytes) -> int:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return len(info.tobuf()) + -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
