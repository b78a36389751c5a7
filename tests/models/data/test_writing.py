# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files of a run: their names, and that each is encoded once and appears whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.models.data import writing
from gened.models.data.images import load_image
from gened.models.data.writing import PictureFolder, mask_name, picture_name, write_png

PIXELS = np.random.default_rng(1).integers(0, 256, (70, 80, 3), np.uint8)


@pytest.mark.parametrize(
    ("is_numbered", "is_first", "expected"),
    [
        (False, True, ["received.png"]),
        (False, False, ["received.png"]),
        (True, True, ["received.png", "received-00007-0003.png"]),
        (True, False, ["received-00007-0003.png"]),
    ],
)
def test_names_of_a_picture(is_numbered: bool, is_first: bool, expected: list[str]) -> None:
    folder = PictureFolder(Path(), is_numbered)
    assert folder.names("received", "00007", "0003", is_first=is_first) == expected


def test_names_of_masks() -> None:
    assert [mask_name(name) for name in ("received.png", "received-0003.png")] == ["mask.png", "received-0003-mask.png"]
    assert picture_name("edited") == "edited.png"


def test_a_picture_is_encoded_once_and_written_under_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    fromarray = Image.fromarray

    def counted(pixels: np.ndarray) -> Image.Image:
        encoded.append(pixels)
        return fromarray(pixels)

    monkeypatch.setattr(writing.Image, "fromarray", counted)
    write_png(PIXELS, tmp_path / "a.png", tmp_path / "b.png")
    assert len(encoded) == 1
    for name in ("a.png", "b.png"):
        assert np.array_equal(load_image(tmp_path / name), PIXELS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_file_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"earlier")
    with pytest.raises(TypeError):
        write_png(PIXELS.astype(np.complex64), path)
    assert path.read_bytes() == b"earlier"


def test_no_picture_removes_one_of_an_earlier_run(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path, is_numbered=True)
    names = folder.names("received", "0001", is_first=True)
    folder.write(names, PIXELS)
    assert all((tmp_path / name).is_file() for name in names)
    folder.write([*names, "never-there.png"], None)
    assert not list(tmp_path.iterdir())
