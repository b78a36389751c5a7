# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of pictures: what is used, and what the user is told of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from gened.models.data.folders import find_pictures, left_out


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_of_pictures_alone_leaves_nothing_out(tmp_path: Path) -> None:
    filled(tmp_path, "a.png", "b.JPG", ".hidden", "captions.jsonl", "masks/a.png", "masks/notes.txt", "c.mask.png")
    assert left_out(tmp_path) == left_out(tmp_path, is_nested=False) == ()


@pytest.mark.parametrize("is_nested", [True, False])
def test_other_files_and_folders_below_are_told(tmp_path: Path, is_nested: bool) -> None:
    filled(tmp_path, "a.png", "raw.dng", "notes.txt", "more/b.png", "more/c.png")
    told = left_out(tmp_path, is_nested=is_nested)
    assert told[0] == "2 files that are no pictures by their names (notes.txt, ...)"
    assert told[1:] == (() if is_nested else ("2 pictures in folders below (more/b.png, ...)",))
    assert len(find_pictures(tmp_path, is_nested=is_nested)) == (3 if is_nested else 1)


def test_pictures_beside_images_are_told(tmp_path: Path) -> None:
    filled(tmp_path, "images/a.png", "forgotten.png", "README.md")
    assert left_out(tmp_path) == ("1 picture beside images/ (forgotten.png)",)


def test_a_folder_that_does_not_exist_leaves_nothing_out(tmp_path: Path) -> None:
    assert left_out(tmp_path / "absent") == ()
