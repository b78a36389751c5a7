# SPDX-License-Identifier: GPL-3.0-or-later
"""Photographs for training: tar shards or folders, decoded once, and random crops of them, numbered.

Crop n of seed s is always the same crop, so a run that was stopped continues at any step with the same data.

This module and those it imports need NumPy (1.26 or 2) and Pillow alone: it also runs on machines that have nothing
but PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.folders import find_mask, find_pictures, read_caption_lines
from gened.models.data.reading import fit_mask, read_mask, read_picture
from gened.models.data.shards import (
    JSON_SUFFIX,
    MASK_SUFFIX,
    MAX_PIXELS,
    SALIENCY_SUFFIX,
    UInt8Array,
    decode,
    decode_mask,
    image_errors_as_config,
    is_picture,
    list_shards,
    picture_key,
    read_captions,
    read_members,
)

SALIENCY_SIDE = 64


class Photograph(NamedTuple):
    """One training picture, with its mask, captions and saliency map where they exist."""

    key: str
    pixels: UInt8Array
    """[H, W, 3]."""
    mask: UInt8Array | None
    """[H, W], 255 = foreground; the data set's own annotation."""
    captions: tuple[str, ...] = ()
    saliency: UInt8Array | None = None
    """[64, 64] over the whole picture, 255 = salient; a teacher network's, see `training/saliency.py`."""


def _read_shard(path: Path) -> list[Photograph]:
    pictures: dict[str, UInt8Array] = {}
    masks: dict[str, UInt8Array] = {}
    captions: dict[str, tuple[str, ...]] = {}
    for name, content in read_members(path, _is_used):
        where = f"{path}: {name}"
        lower = name.lower()
        if lower.endswith(MASK_SUFFIX):
            masks[name[: -len(MASK_SUFFIX)]] = decode_mask(content, where)
        elif lower.endswith(JSON_SUFFIX):
            captions[name[: -len(JSON_SUFFIX)]] = read_captions(content, where)
        elif (key := picture_key(name)) in pictures:
            raise ConfigError(f"{where} is a second picture of that name")
        else:
            pictures[key] = decode(content, where)
    for key, mask in masks.items():
        if key not in pictures:
            raise ConfigError(f"{path}: {key}{MASK_SUFFIX} is a mask without a picture")
        if mask.shape != pictures[key].shape[:2]:
            raise ConfigError(
                f"{path}: {key}{MASK_SUFFIX} has {_size(mask)} pixels, but its picture has {_size(pictures[key])}"
            )
    return [
        Photograph(f"{path.stem}/{key}", pixels, masks.get(key), captions.get(key, ()))
        for key, pixels in sorted(pictures.items())
    ]


def _is_used(name: str) -> bool:
    return is_picture(name) or name.lower().endswith((MASK_SUFFIX, JSON_SUFFIX))


def _size(pixels: UInt8Array) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _read_maps(path: Path) -> dict[str, UInt8Array]:
    """The saliency maps of one shard, by the key of the photograph."""
    if not path.is_file():
        raise ConfigError(f"no maps {path}; gened data saliency makes them, and goes on where it stopped")
    maps: dict[str, UInt8Array] = {}
    for name, content in read_members(path, lambda name: name.lower().endswith(SALIENCY_SUFFIX)):
        found = decode_mask(content, f"{path}: {name}")
        if found.shape != (SALIENCY_SIDE, SALIENCY_SIDE):
            raise ConfigError(f"{path}: {name} has {_size(found)} pixels; expected {SALIENCY_SIDE}x{SALIENCY_SIDE}")
        maps[f"{path.stem}/{name[: -len(SALIENCY_SUFFIX)]}"] = found
    return maps


def _read_folder(path: Path, report: Callable[[int, int], None]) -> list[Photograph]:
    captions = read_caption_lines(path)
    found = []
    files = find_pictures(path)
    for index, file in enumerate(files):
        report(index, len(files))
        with image_errors_as_config():
            pixels = read_picture(file, max_pixels=MAX_PIXELS)
            mask_file = find_mask(path, file)
            mask = None
            if mask_file is not None:
                mask = fit_mask(read_mask(mask_file), pixels.shape[0], pixels.shape[1], str(mask_file))
        found.append(Photograph(str(file.relative_to(path)), pixels, mask, captions.get(file.name, ())))
    report(len(files), len(files))
    return found


def load_photographs(
    data: Path,
    *,
    min_side: int,
    saliency: Path | None = None,
    threads: int = 2,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Photograph]:
    """All photographs of a folder of tar shards (WebDataset layout) or of plain pictures, in a fixed order.

    Args:
        data: Folder.
        min_side: Pictures whose shorter side is less are left out, in pixels.
        saliency: Folder of saliency maps for these shards, written by `gened data saliency`.
        threads: Shards that are read at the same time.
        report: Receives the number of files (shards or pictures) that have been read, and of all.

    Raises:
        ConfigError: No such folder, nothing in it that is large enough, or a file in it that is damaged.
    """
    if not data.is_dir():
        raise ConfigError(f"no folder {data}; give --data a folder of .tar shards or of pictures")
    shards = list_shards(data)
    if saliency is not None and not shards:
        raise ConfigError(f"maps belong to shards, and {data} has none; make some with gened data import folder")
    found: list[Photograph] = []
    with ThreadPoolExecutor(threads) as pool:
        for index, group in enumerate(pool.map(_read_shard, shards)):
            found += group
            report(index + 1, len(shards))
    if not shards:
        found = _read_folder(data, report)
    if saliency is not None:
        maps: dict[str, UInt8Array] = {}
        for shard in shards:
            maps |= _read_maps(saliency / shard.name)
        found = [photograph._replace(saliency=maps.get(photograph.key)) for photograph in found]
    large = [photograph for photograph in found if min(photograph.pixels.shape[:2]) >= min_side]
    if not large:
        raise ConfigError(f"{data} has {len(found)} pictures, none with a shorter side of {min_side} pixels or more")
    return large


class _Cut(NamedTuple):
    """Position and size of a crop in its photograph, pixels."""

    photograph: Photograph
    left: int
    top: int
    width: int
    height: int
    is_flipped: bool


class CropSampler:
    """Square crops, reduced by a random factor and of a random aspect ratio.

    The evaluation stretches pictures of 3:2 to squares, so the training has to cover aspect ratios up to 3:2.

    Args:
        photographs: From `load_photographs`.
        crop: Side of a crop, pixels.
        seed: Of all random numbers.
        max_reduction: A crop is cut up to this factor larger and reduced.
        max_aspect: Largest ratio of the two sides of the cut.
    """

    def __init__(
        self,
        photographs: list[Photograph],
        *,
        crop: int,
        seed: int,
        max_reduction: float = 2.5,
        max_aspect: float = 1.5,
    ) -> None:
        self.photographs = photographs
        self.crop = crop
        self.seed = seed
        self.max_reduction = max_reduction
        self.max_aspect = max_aspect
        # Photographs are drawn with the square root of their area as weight, a compromise between equal weights for
        # pictures and for pixels.
        weights = np.array([np.sqrt(photo.pixels.shape[0] * photo.pixels.shape[1]) for photo in photographs])
        self.cumulative = np.cumsum(weights / weights.sum())

    def _cut(self, number: int) -> _Cut:
        """Position of crop `number`. The order of the random numbers must not change: stopped runs rely on it."""
        rng = np.random.default_rng([self.seed, number])
        index = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.photographs) - 1)
        height, width = self.photographs[index].pixels.shape[:2]
        reduction = rng.uniform(1.0, self.max_reduction)
        squeeze = self.max_aspect ** (0.5 * rng.uniform(-1.0, 1.0))
        crop_w = int(min(width, max(self.crop, round(self.crop * reduction * squeeze))))
        crop_h = int(min(height, max(self.crop, round(self.crop * reduction / squeeze))))
        left, top = int(rng.integers(width - crop_w + 1)), int(rng.integers(height - crop_h + 1))
        return _Cut(self.photographs[index], left, top, crop_w, crop_h, is_flipped=bool(rng.random() < 0.5))

    def __call__(self, number: int) -> UInt8Array:
        """Crop `number`, uint8 [crop, crop, 3]."""
        cut = self._cut(number)
        return self._part(cut, cut.photograph.pixels, Image.Resampling.BICUBIC)

    def with_mask(self, number: int) -> tuple[UInt8Array, UInt8Array | None]:
        """Crop `number` and its foreground.

        Returns:
            The crop, uint8 [crop, crop, 3], and its foreground, uint8 [crop, crop], 255 = foreground: from the
            annotated mask (resized edges are soft), else from the saliency map; None where there is neither.
        """
        cut = self._cut(number)
        crop = self._part(cut, cut.photograph.pixels, Image.Resampling.BICUBIC)
        if cut.photograph.mask is not None:
            return crop, self._part(cut, cut.photograph.mask, Image.Resampling.BILINEAR)
        if cut.photograph.saliency is not None:
            return crop, self._part_of_map(cut, cut.photograph.saliency)
        return crop, None

    def key(self, number: int) -> str:
        """Key of the photograph that crop `number` is cut from."""
        return self._cut(number).photograph.key

    def captions(self, number: int) -> tuple[str, ...]:
        """Captions of the photograph that crop `number` is cut from; may be empty."""
        return self._cut(number).photograph.captions

    def _part(self, cut: _Cut, whole: UInt8Array, resampling: Image.Resampling) -> UInt8Array:
        """The crop of pixels or of a mask, resized and flipped."""
        patch = whole[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        if patch.shape[:2] != (self.crop, self.crop):
            patch = np.asarray(Image.fromarray(patch).resize((self.crop, self.crop), resampling))
        return _flipped(patch, cut)

    def _part_of_map(self, cut: _Cut, saliency: UInt8Array) -> UInt8Array:
        height, width = cut.photograph.pixels.shape[:2]
        rows, columns = saliency.shape
        left, top = cut.left * columns / width, cut.top * rows / height
        # Rounding must not carry the far edges beyond the map.
        right = min(columns, (cut.left + cut.width) * columns / width)
        bottom = min(rows, (cut.top + cut.height) * rows / height)
        box = (left, top, right, bottom)
        part = Image.fromarray(saliency).resize((self.crop, self.crop), Image.Resampling.BILINEAR, box=box)
        return _flipped(np.asarray(part), cut)

    def batch(self, first: int, count: int) -> UInt8Array:
        """Crops first .. first + count - 1, uint8 [count, 3, crop, crop]."""
        return np.stack([self(first + i) for i in range(count)]).transpose(0, 3, 1, 2)


def _flipped(patch: UInt8Array, cut: _Cut) -> UInt8Array:
    return np.ascontiguousarray(patch[:, ::-1] if cut.is_flipped else patch)
