# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation data: what is found in a folder, and that masks keep to their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.evaluation_set import find_pictures, read_captions, read_item
from gened.models.data.reading import NotAnImageError


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """One picture of 96x64 pixels with its left third in white, which is what its mask says."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :32] = 255
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_pictures_of_a_folder_are_found_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_pictures(tmp_path)] == ["a.JPG", "b.png"]
    with pytest.raises(ConfigError, match="no folder"):
        find_pictures(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no pictures in"):
        find_pictures(tmp_path / "empty")


def test_a_bad_line_of_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"file": "a.png", "captions": ["a cat"]}\n{"file": "b.png"}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_captions(tmp_path)


@pytest.mark.parametrize("resize", [None, 64, 192])
def test_a_mask_is_resized_with_its_picture(data_set: Path, resize: int | None) -> None:
    item = read_item(data_set, data_set / "images" / "a.png", resize, {})
    assert item.mask is not None and item.mask.shape == tuple(item.size) == ((resize or 64), (resize or 96))
    column = item.size.width // 3
    assert item.mask[:, : column - 1].all() and not item.mask[:, column + 1 :].any()
    assert (item.x.mean(0)[:, : column - 2] > 0.9).all() and (item.x.mean(0)[:, column + 3 :] < 0.1).all()


def test_a_mask_of_another_size_than_its_picture_is_an_error(data_set: Path) -> None:
    Image.new("L", (60, 64)).save(data_set / "masks" / "a.png")
    with pytest.raises(ConfigError, match=r"a\.png is 60x64, its picture 96x64"):
        read_item(data_set, data_set / "images" / "a.png", None, {})


def test_the_first_caption_of_a_picture_is_its_caption_and_others_have_none(data_set: Path) -> None:
    path = data_set / "images" / "a.png"
    (data_set / "captions.jsonl").write_text(json.dumps({"file": "images/a.png", "captions": ["é" * 10, "other"]}))
    assert read_item(data_set, path, None, read_captions(data_set)).caption == "é" * 10
    assert read_item(data_set, path, None, {}).caption is None


def test_a_broken_picture_is_named(data_set: Path) -> None:
    path = data_set / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(NotAnImageError, match=r"a\.png"):
        read_item(data_set, path, None, {})


def test_the_content_hash_sees_pixels_mask_and_caption_but_not_the_name(data_set: Path) -> None:
    path = data_set / "images" / "a.png"
    before = read_item(data_set, path, None, {}).content_hash()
    for folder in ("images", "masks"):
        (data_set / folder / "a.png").rename(data_set / folder / "b.png")
    renamed = data_set / "images" / "b.png"
    assert read_item(data_set, renamed, None, {}).content_hash() == before
    assert read_item(data_set, renamed, None, {"b.png": "a wall"}).content_hash() != before
    assert read_item(data_set, renamed, 64, {}).content_hash() != before
    (data_set / "masks" / "b.png").unlink()
    assert read_item(data_set, renamed, None, {}).content_hash() != before
