# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache returns what was computed from the same data and configuration, and nothing that is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gened.models.training.cache import Arrays, cache_folder, cached

KEY = {"data": "1a", "crop": 64}


class Counted:
    """Makes the same arrays every time, and counts."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> Arrays:
        self.n += 1
        return {"basis": np.arange(12, dtype=np.float32).reshape(3, 4), "mean": np.ones(4, np.float32)}


def test_the_same_key_is_computed_once_and_another_anew(cache: Path) -> None:
    make = Counted()
    first, second = cached("linear", KEY, make), cached("linear", dict(reversed(KEY.items())), make)
    assert make.n == 1 and cache_folder().is_relative_to(cache)
    for name, value in first.items():
        assert np.array_equal(second[name], value) and second[name].dtype == value.dtype
    cached("linear", {**KEY, "crop": 128}, make)
    cached("linear", {**KEY, "data": "2b"}, make)
    cached("other", KEY, make)
    assert make.n == 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def not_a_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, empty, one_bit, not_a_file], ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_made_again(damage: Callable[[Path], None]) -> None:
    make = Counted()
    expected = cached("linear", KEY, make)
    damage(next(cache_folder().iterdir()))
    found = cached("linear", KEY, make)
    assert make.n == 2 and all(np.array_equal(found[name], value) for name, value in expected.items())
    if damage is not not_a_file:
        cached("linear", KEY, make)
        assert make.n == 2


def test_a_cache_that_cannot_be_written_to_is_no_error(cache: Path) -> None:
    cache.write_text("a file where the folder would be")
    assert list(cached("linear", KEY, Counted())) == ["basis", "mean"]
