# SPDX-License-Identifier: GPL-3.0-or-later
"""What a learned sentence is made from: numbers of a picture, and the objects that it may name.

    detector -> features, sureness of each class, boxes -> [n] numbers of the whole picture
                                                        -> objects, each with its numbers, people left out

A sentence names an object by its place in that list, not by a word of its own, so one learnt from dogs does for a
giraffe too. People go by plain words, as they are men, girls or crowds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.models.captioning.detector import N_FEATURES, Detection, Look

Vector = npt.NDArray[np.float32]

PERSON = "person"
WORDS = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "television", "hair drier": "hair dryer",
}  # fmt: skip
"""What people call the detector's classes, where that is something else."""
N_CLASSES = 80
KIND_ENDS = (1, 9, 14, 24, 29, 39, 46, 56, 62, 68, 73, 80)
"""Past the last class of each kind: people, vehicles, street, animals, things worn, sports, kitchen, food, furniture,
electronics, appliances, things indoors."""
N_KINDS = len(KIND_ENDS)
MAX_NAMED = 4
MIN_AREA = 0.002
N_OBJECT = N_KINDS + MAX_NAMED + 8
"""Numbers of an object: kind, rank, sureness, size, place, one or two or more, and that it is there."""
N_PEOPLE = 8
N_SCENE = N_FEATURES + N_CLASSES + N_KINDS + N_PEOPLE
SCALE = 2.0
"""Of what the detector says, against its features."""


class Scene(NamedTuple):
    """A picture as the network of sentences sees it."""

    numbers: Vector
    """[N_SCENE]."""
    objects: Vector
    """[MAX_NAMED, N_OBJECT], zero where there are fewer."""
    names: list[str]
    """Of the objects."""
    sureness: Vector
    """[N_CLASSES]: how sure the detector is that there is one."""


def kind(index: int) -> int:
    """Which kind a class is of."""
    return int(np.searchsorted(KIND_ENDS, index, "right"))


def scene_of(look: Look, names: Sequence[str]) -> Scene:
    """From what the detector says of a picture.

    Args:
        look: Of the picture.
        names: Of the detector's classes.
    """
    by_name: dict[str, list[Detection]] = {}
    for one in look.objects:
        if one.area >= MIN_AREA:
            by_name.setdefault(one.name, []).append(one)
    groups = sorted(by_name.values(), key=lambda group: -_weight(group))
    index = {name: number for number, name in enumerate(names)}
    numbers = [np.sqrt(look.features.clip(0)), SCALE * _of_classes(look, groups, index), SCALE * _of_people(by_name)]
    named = [group for group in groups if group[0].name != PERSON][:MAX_NAMED]
    objects = np.zeros((MAX_NAMED, N_OBJECT), np.float32)
    for rank, group in enumerate(named):
        objects[rank] = _of_object(group, rank, kind(index[group[0].name]))
    words = [WORDS.get(group[0].name, group[0].name) for group in named]
    return Scene(np.concatenate(numbers).astype(np.float32), objects, words, look.sureness)


def _weight(group: list[Detection]) -> float:
    """What it counts among the others: by area, and by how sure its best member is."""
    return _size(group) * max(one.score for one in group)


def _size(group: list[Detection]) -> float:
    return float(np.sqrt(sum(one.area for one in group)))


def _of_classes(look: Look, groups: list[list[Detection]], index: dict[str, int]) -> Vector:
    kinds = np.zeros(N_KINDS, np.float32)
    sureness = np.sqrt(look.sureness)
    for group in groups:
        kinds[kind(index[group[0].name])] += _size(group)
    return np.concatenate([sureness, kinds])


def _of_people(by_name: dict[str, list[Detection]]) -> Vector:
    """How many, how large, and where the largest stands."""
    numbers = np.zeros(N_PEOPLE, np.float32)
    if people := by_name.get(PERSON):
        largest = max(people, key=lambda one: one.area)
        across, down = (largest.left + largest.right) / 2, (largest.top + largest.bottom) / 2
        numbers[min(len(people), 4) - 1] = 1
        numbers[4:] = _size(people), across - 0.5, down - 0.5, largest.bottom - largest.top
    return numbers


def _of_object(group: list[Detection], rank: int, of_kind: int) -> Vector:
    numbers = np.zeros(N_OBJECT, np.float32)
    numbers[of_kind] = numbers[N_KINDS + rank] = 1
    edges = np.array([one[2:] for one in group])
    low, high = edges.min(0), edges.max(0)
    across, down = (low[0] + high[2]) / 2, (low[1] + high[3]) / 2
    count = [float(len(group) == 1), float(len(group) == 2), float(len(group) > 2)]
    surest = max(one.score for one in group)
    numbers[N_KINDS + MAX_NAMED :] = surest, _size(group), across - 0.5, down - 0.5, *count, 1
    return numbers
