# SPDX-License-Identifier: GPL-3.0-or-later
"""COCO 2017: train2017/, annotations/instances_train2017.json and captions_train2017.json, either of the two or both.

References:
    Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the formats: cocodataset.org, "Data format".
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gened.errors import ConfigError
from gened.models.data.importing.found import Found, Item, Mask, check_size, need_folder

LAYOUT = "train2017/ and annotations/instances_train2017.json or captions_train2017.json"
FURNITURE = "dining table"
"""A table is annotated together with everything on it, and is never the subject of a picture."""
MIN_OF_PICTURE, MIN_OF_LARGEST = 0.01, 0.15
"""An instance is foreground from these shares of the picture and of the largest instance's area."""
MIN_LARGEST = 0.025
"""Share of the picture; there is no mask if the largest instance has less."""


def find(source: Path) -> Found:
    """The pictures of train2017 that the annotations name, without those that have a crowd in them.

    Args:
        source: Folder with train2017/ and annotations/.

    Raises:
        ConfigError: Another layout, or annotations of another format.
    """
    images = need_folder(source / "train2017", LAYOUT)
    annotations = need_folder(source / "annotations", LAYOUT)
    instances_file, captions_file = (annotations / f"{kind}_train2017.json" for kind in ("instances", "captions"))
    if not instances_file.is_file() and not captions_file.is_file():
        raise ConfigError(f"no annotations in {annotations}; expected {LAYOUT}")
    names: dict[int, str] = {}
    instances: dict[int, list[dict[str, Any]]] = {}
    captions: dict[int, tuple[str, ...]] = {}
    try:
        if instances_file.is_file():
            names, instances = _read_instances(instances_file)
        if captions_file.is_file():
            more_names, captions = _read_captions(captions_file)
            names = more_names | names
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{annotations}: not COCO's annotations ({type(error).__name__}: {error})") from error
    odd = sorted(name for name in names.values() if Path(name).name != name)
    if odd:
        raise ConfigError(f"{annotations} names the picture {odd[0]!r}, which is no plain name")
    return _collect(images, names, instances, captions)


def _collect(
    images: Path,
    names: dict[int, str],
    instances: dict[int, list[dict[str, Any]]],
    captions: dict[int, tuple[str, ...]],
) -> Found:
    items: list[Item] = []
    n_crowds = n_absent = 0
    present = {path.name for path in images.iterdir()}
    for number, name in sorted(names.items(), key=lambda entry: entry[1]):
        objects = instances.get(number, [])
        if name not in present:
            n_absent += 1
        elif any(entry.get("iscrowd") for entry in objects):
            n_crowds += 1
        else:
            mask = partial(foreground, [entry for entry in objects if not entry["is_furniture"]], images / name)
            items.append(
                Item(Path(name).stem, images / name, "COCO 2017", mask if objects else None, captions.get(number, ()))
            )
    left_out = []
    if n_crowds:
        left_out.append(f"pictures with a crowd in them: {n_crowds}")
    if n_absent:
        left_out.append(f"pictures that the annotations name and {images} has not: {n_absent}")
    return Found(items, tuple(left_out))


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON that can be read: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not COCO's: expected an object with images and annotations")
    return value


def _names(value: dict[str, Any]) -> dict[int, str]:
    return {int(image["id"]): str(image["file_name"]) for image in value["images"]}


def _read_instances(path: Path) -> tuple[dict[int, str], dict[int, list[dict[str, Any]]]]:
    """File names and the objects of each picture, by the picture's number."""
    value = _read(path)
    furniture = {category["id"] for category in value["categories"] if category["name"] == FURNITURE}
    instances: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in value["annotations"]:
        kept = {key: entry.get(key) for key in ("id", "iscrowd", "segmentation")}
        instances[int(entry["image_id"])].append({**kept, "is_furniture": entry["category_id"] in furniture})
    return _names(value), dict(instances)


def _read_captions(path: Path) -> tuple[dict[int, str], dict[int, tuple[str, ...]]]:
    """File names and the captions of each picture in the order of their numbers, by the picture's number."""
    value = _read(path)
    captions: dict[int, list[str]] = defaultdict(list)
    for entry in sorted(value["annotations"], key=lambda entry: int(entry["id"])):
        captions[int(entry["image_id"])].append(" ".join(str(entry["caption"]).split()))
    return _names(value), {number: tuple(texts) for number, texts in captions.items()}


def foreground(objects: list[dict[str, Any]], where: Path, height: int, width: int) -> Mask | None:
    """The union of the large objects.

    Args:
        objects: COCO's instance annotations, no crowds.
        where: The picture, for messages.
        height: Of the picture, pixels.
        width: Of the picture, pixels.

    Returns:
        [H, W], or None where no object is large enough.

    Raises:
        ConfigError: A malformed outline.
    """
    masks = [instance_mask(entry, where, height, width) for entry in objects]
    areas = [int(mask.sum()) for mask in masks]
    largest = max(areas, default=0)
    if largest < MIN_LARGEST * height * width:
        return None
    least = max(MIN_OF_PICTURE * height * width, MIN_OF_LARGEST * largest)
    union: Mask = np.any([mask for mask, area in zip(masks, areas, strict=True) if area >= least], axis=0)
    return union


def instance_mask(entry: dict[str, Any], where: Path, height: int, width: int) -> Mask:
    """One object: the union of its polygons, or its run lengths.

    Raises:
        ConfigError: Neither, or for another size than the picture's.
    """
    segmentation = entry["segmentation"]
    where_in_file = f"annotation {entry['id']} of {where}"
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, where_in_file, height, width)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    try:
        polygons = [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in segmentation]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where_in_file}: expected polygons, lists of x and y in turn") from error
    for polygon in polygons:
        # A tolerance of 10 %: annotations exceed the edge by a pixel or two; those of another picture exceed it by far.
        if not np.all((polygon >= -0.1 * max(width, height)) & (polygon <= (1.1 * width, 1.1 * height))):
            raise ConfigError(f"{where_in_file} lies outside its {width}x{height} pixels")
        if len(polygon) >= 3:
            draw.polygon([(float(x), float(y)) for x, y in polygon], fill=1)
    return np.array(canvas)


def _from_runs(segmentation: dict[str, Any], where: str, height: int, width: int) -> Mask:
    """COCO's uncompressed run lengths, column by column, beginning with background."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if isinstance(counts, str):
        raise ConfigError(f"{where} has compressed run lengths; COCO's own files have lists: convert it by pycocotools")
    if not isinstance(counts, list) or not all(isinstance(n, int) and 0 <= n <= height * width for n in counts):
        raise ConfigError(f"{where}: expected run lengths, a list of counts")
    if not isinstance(size, list) or len(size) != 2:
        raise ConfigError(f"{where}: expected a size, [height, width]")
    check_size(tuple(size), height, width, where)
    if sum(counts) != height * width:
        raise ConfigError(f"{where}: run lengths for {sum(counts)} pixels, but the picture has {height * width}")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(width, height).T
