# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions without a language model: objects with counts, colours and places, regions of colour, tone.

    photograph -> detector -> objects ---------------+
               -> names of colours -> regions, tone  +-> clauses, the most important first -> as many as fit
    mask ------> where no object is known -----------+

It omits what is uncertain: it names an object only with a high score, a colour only where one prevails, and "sky" only
for a bright, smooth region at the top.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.models.captioning.base import MAX_BYTES, fitted
from gened.models.captioning.colours import colour_indices, main_colour
from gened.models.captioning.detector import Detection, Detector, MissingDetectorError, overlap
from gened.models.codecs.base import Map, Picture

SIDE = 96
"""Side of the reduced picture on which colours are named, pixels."""
LARGE_AREA, MIN_AREA = 0.5, 0.002
LARGE = "large"
MAX_KINDS = 4
NUMBERS = ("no", "a", "two", "three", "four", "five", "six")
PLURALS = {
    "person": "people", "sheep": "sheep", "knife": "knives", "mouse": "mice", "bus": "buses", "bench": "benches",
    "couch": "couches", "sandwich": "sandwiches", "wine glass": "wine glasses", "toothbrush": "toothbrushes",
    "pair of skis": "pairs of skis", "pair of scissors": "pairs of scissors",
    "piece of broccoli": "pieces of broccoli",
}  # fmt: skip
SINGULARS = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "television", "skis": "pair of skis", "scissors": "pair of scissors",
    "broccoli": "piece of broccoli",
}  # fmt: skip
COLOURLESS = ("person", "zebra")
"""Objects without a colour word: the colour of clothes is not the person's, and a zebra is not grey."""
SAME_OVERLAP = 0.7
"""Boxes with different names and a larger intersection over union are the same object."""
MARGIN, RING = 0.2, 0.25
"""Width of the edge that is left out inside a box, and of the ring around it, relative to the box."""


class _Group(NamedTuple):
    """Detected objects of one class."""

    name: str
    members: list[Detection]

    @property
    def weight(self) -> float:
        """Importance for the order of the clauses: root of the area times the best score."""
        return float(np.sqrt(sum(member.area for member in self.members))) * max(
            member.score for member in self.members
        )

    @property
    def box(self) -> Detection:
        """Bounding box of all members."""
        edges = np.array([member[2:] for member in self.members])
        low, high = edges.min(0), edges.max(0)
        return Detection(self.name, 1.0, float(low[0]), float(low[1]), float(high[2]), float(high[3]))


class LayoutCaptioner:
    """Describes objects, their places and the main colours.

    Args:
        device: PyTorch device of the detector.
        detects: False: colours and mask alone; None: with the detector if its weights are installed.

    Raises:
        MissingDetectorError: `detects` is True and the weights are not installed.
    """

    name = "layout"

    def __init__(self, device: str = "cpu", *, detects: bool | None = None) -> None:
        self.detector: Detector | None = None
        if detects is not False:
            try:
                self.detector = Detector(device)
            except MissingDetectorError:
                if detects:
                    raise

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """A caption such as "two dogs, left, brown; green below; blue sky above"; see `Captioner.describe`."""
        pixels = _small(x)
        indices = colour_indices(pixels)
        found = [] if self.detector is None else _distinct([d for d in self.detector(x) if d.area >= MIN_AREA])
        groups = _groups(found)
        clauses = [_clause(group, indices) for group in groups[:MAX_KINDS]]
        if not groups and mask is not None:
            clauses += _masked_clause(mask, indices)
        if len(groups) > 1:
            clauses[2:2] = _relation(groups[0], groups[1])
        clauses += _regions(pixels, indices, found)
        tone = _tone(pixels)
        place = 1 if clauses else 0
        clauses[place:place] = tone
        return fitted(clauses, max_bytes)


def _small(x: Picture) -> npt.NDArray[np.float32]:
    """The picture reduced to [96, 96, 3], in [0, 1]."""
    pixels = np.rint(255 * x.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255


def _distinct(found: list[Detection]) -> list[Detection]:
    """One name per object: of overlapping boxes with different names the one with the highest score."""
    kept: list[Detection] = []
    for new in found:
        if all(old.name == new.name or overlap(old, new) < SAME_OVERLAP for old in kept):
            kept.append(new)
    return kept


def _groups(found: list[Detection]) -> list[_Group]:
    by_name: dict[str, list[Detection]] = {}
    for detection in found:
        by_name.setdefault(SINGULARS.get(detection.name, detection.name), []).append(detection)
    return sorted((_Group(name, members) for name, members in by_name.items()), key=lambda group: -group.weight)


def _clause(group: _Group, indices: npt.NDArray[np.int64]) -> str:
    """Such as "two dogs, left, brown"."""
    count = len(group.members)
    if count == 1:
        noun = f"{'an' if group.name[0] in 'aeiou' else 'a'} {group.name}"
    else:
        number = NUMBERS[count] if count < len(NUMBERS) else "many"
        noun = f"{number} {PLURALS.get(group.name, group.name + 's')}"
    parts = [noun]
    place = _place(group.box)
    if place and (count == 1 or place != LARGE):  # the box of several objects also holds the room between them
        parts.append(place)
    if group.name not in COLOURLESS:
        colours = {_colour(member, indices) for member in group.members}
        if len(colours) == 1 and (colour := colours.pop()):
            parts.append(colour)
    return ", ".join(parts)


def _place(box: Detection) -> str:
    if box.area > LARGE_AREA:
        return LARGE
    across, down = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    vertical = "top" if down < 0.33 else "bottom" if down > 0.67 else ""
    horizontal = "left" if across < 0.38 else "right" if across > 0.62 else ""
    return " ".join(part for part in (vertical, horizontal) if part) or "centre"


def _cells(low: float, high: float) -> slice:
    """Rows or columns of the small picture between two shares of its side, at least one."""
    first = min(max(0, int(low * SIDE)), SIDE - 1)
    return slice(first, max(first + 1, int(np.ceil(high * SIDE))))


def _colour(box: Detection, indices: npt.NDArray[np.int64]) -> str | None:
    """The prevailing colour inside a box; None if it prevails around the box too, as around a kite in the sky."""
    width, height = box.right - box.left, box.bottom - box.top

    def part(wider: float) -> tuple[slice, slice]:
        across, down = wider * width, wider * height
        return _cells(box.top - down, box.bottom + down), _cells(box.left - across, box.right + across)

    around = np.zeros(indices.shape, np.float32)
    around[part(RING)] = 1
    around[part(0)] = 0
    colour = main_colour(indices[part(-MARGIN)])
    return None if around.any() and main_colour(indices, around) == colour else colour


def _relation(one: _Group, two: _Group) -> list[str]:
    """Position of one group relative to another, if their boxes are disjoint."""
    a, b = one.box, two.box
    first, second = (
        group.name if len(group.members) == 1 else PLURALS.get(group.name, group.name + "s") for group in (one, two)
    )
    if a.right < b.left:
        return [f"{first} left of {second}"]
    if b.right < a.left:
        return [f"{first} right of {second}"]
    if a.bottom < b.top:
        return [f"{first} above {second}"]
    if b.bottom < a.top:
        return [f"{first} below {second}"]
    return []


def _masked_clause(mask: Map, indices: npt.NDArray[np.int64]) -> list[str]:
    """The important region of the mask as an unnamed object, with its colour and place."""
    grey = Image.fromarray(np.rint(255 * np.asarray(mask, np.float32).clip(0, 1)).astype(np.uint8))
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
    share = float(small.mean())
    if not 0.01 < share < 0.7:
        return []
    rows, columns = (np.average(np.arange(SIDE), weights=small.sum(axis) + 1e-9) / SIDE for axis in (1, 0))
    half = 0.5 * share**0.5
    box = Detection("object", 1.0, *(float(v) for v in (columns - half, rows - half, columns + half, rows + half)))
    colour = main_colour(indices, small)
    return [f"{colour} object, {_place(box)}"] if colour else [f"an object, {_place(box)}"]


def _regions(pixels: npt.NDArray[np.float32], indices: npt.NDArray[np.int64], found: list[Detection]) -> list[str]:
    """The prevailing colours of the top and the bottom third, outside of the objects."""
    outside = np.ones((SIDE, SIDE), np.float32)
    for box in found:
        outside[_cells(box.top, box.bottom), _cells(box.left, box.right)] = 0
    third = SIDE // 3
    parts = []
    names: dict[str, str | None] = {}
    for where, rows in (("above", slice(0, third)), ("below", slice(SIDE - third, SIDE))):
        weights = outside[rows]
        names[where] = main_colour(indices[rows], weights) if weights.mean() > 0.3 else None
    if names["above"] and names["above"] == names["below"]:
        return [f"{names['above']} background"]
    for where, name in names.items():
        if name is not None:
            is_sky = where == "above" and _is_sky(pixels[:third], name)
            parts.append(f"{name} sky" if is_sky else f"{name} {where}")
    return parts


def _is_sky(top: npt.NDArray[np.float32], colour: str) -> bool:
    """Whether the top third is sky: blue or turquoise, bright and smooth."""
    if colour not in ("blue", "turquoise"):
        return False
    grey = top.mean(-1)
    slope = float(np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=0)).mean())
    return float(grey.mean()) > 0.4 and slope < 0.03


def _tone(pixels: npt.NDArray[np.float32]) -> list[str]:
    """Brightness and saturation of the whole picture, where they are unusual."""
    brightness = float(pixels.mean())
    chroma = float((pixels.max(-1) - pixels.min(-1)).mean())
    words = []
    if brightness < 0.25:
        words.append("dark")
    elif brightness > 0.68:
        words.append("bright")
    if chroma < 0.02:
        words.append("black and white")
    elif chroma > 0.4:
        words.append("vivid")
    return [f"{' '.join(words)} scene"] if words else []
