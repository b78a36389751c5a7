# SPDX-License-Identifier: GPL-3.0-or-later
"""Photographs for training: tar shards or folders, decoded once, and crops drawn from them by a counter.

Crop number n of seed s is always the same crop, so a run can stop at any step and go on as if it had not.
"""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.gr_blocks.phy.errors import ConfigError

SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
UInt8Array = npt.NDArray[np.uint8]


class Photograph(NamedTuple):
    """One training picture."""

    key: str
    pixels: UInt8Array
    """[H, W, 3]."""
    mask: UInt8Array | None
    """[H, W], 255 = foreground."""


def _decode(data: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def _decode_mask(data: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("L"))


def _read_shard(path: Path) -> list[Photograph]:
    pictures: dict[str, UInt8Array] = {}
    masks: dict[str, UInt8Array] = {}
    with tarfile.open(path) as shard:
        for member in shard:
            stream = shard.extractfile(member)
            if stream is None:
                continue
            name = member.name.lower()
            if name.endswith(".mask.png"):
                masks[member.name[: -len(".mask.png")]] = _decode_mask(stream.read())
            elif name.endswith(SUFFIXES):
                pictures[member.name.rsplit(".", 1)[0]] = _decode(stream.read())
    return [Photograph(f"{path.stem}/{key}", pixels, masks.get(key)) for key, pixels in sorted(pictures.items())]


def _read_folder(path: Path) -> list[Photograph]:
    files = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.endswith(".mask.png")
    )
    return [Photograph(str(file.relative_to(path)), _decode(file.read_bytes()), None) for file in files]


def load_photographs(data: Path, *, min_side: int, threads: int = 2) -> list[Photograph]:
    """All photographs of a folder of tar shards (WebDataset layout) or of plain pictures, in a fixed order.

    Args:
        data: Folder.
        min_side: Pictures whose shorter side is less are left out, in pixels.
        threads: Shards read at the same time.

    Raises:
        ConfigError: No such folder, or nothing in it that is large enough.
    """
    if not data.is_dir():
        raise ConfigError(f"no folder {data}; give --data a folder of .tar shards or of pictures")
    shards = sorted(data.glob("*.tar"))
    with ThreadPoolExecutor(threads) as pool:
        groups = list(pool.map(_read_shard, shards)) if shards else [_read_folder(data)]
    found = [photograph for group in groups for photograph in group]
    large = [photograph for photograph in found if min(photograph.pixels.shape[:2]) >= min_side]
    if not large:
        raise ConfigError(f"{data} has {len(found)} pictures, none with a shorter side of {min_side} pixels or more")
    return large


class CropSampler:
    """Square crops, reduced by a random factor and squeezed a little, as the evaluation squeezes 3:2 into a square."""

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
        # A large photograph holds more crops than a small one: by the root of its area, a compromise between pictures
        # and pixels.
        weights = np.array([np.sqrt(photo.pixels.shape[0] * photo.pixels.shape[1]) for photo in photographs])
        self.cumulative = np.cumsum(weights / weights.sum())

    def __call__(self, number: int) -> UInt8Array:
        """Crop `number`, uint8 [crop, crop, 3]."""
        rng = np.random.default_rng([self.seed, number])
        index = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.photographs) - 1)
        pixels = self.photographs[index].pixels
        height, width = pixels.shape[:2]
        reduction = rng.uniform(1.0, self.max_reduction)
        squeeze = self.max_aspect ** (0.5 * rng.uniform(-1.0, 1.0))
        crop_w = int(min(width, max(self.crop, round(self.crop * reduction * squeeze))))
        crop_h = int(min(height, max(self.crop, round(self.crop * reduction / squeeze))))
        left, top = int(rng.integers(width - crop_w + 1)), int(rng.integers(height - crop_h + 1))
        patch = pixels[top : top + crop_h, left : left + crop_w]
        if patch.shape[:2] != (self.crop, self.crop):
            patch = np.asarray(Image.fromarray(patch).resize((self.crop, self.crop), Image.Resampling.BICUBIC))
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        return np.ascontiguousarray(patch)

    def batch(self, first: int, count: int) -> UInt8Array:
        """Crops first .. first + count - 1, uint8 [count, 3, crop, crop]."""
        return np.stack([self(first + i) for i in range(count)]).transpose(0, 3, 1, 2)
