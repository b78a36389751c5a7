# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sender marks as important: a mask, boxes, both, on a photograph that may have been made smaller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.link.config import Box, TransmitConfig
from gened.link.importance import importance
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.images import load_image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """128 wide, 96 high once its EXIF data have turned it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 128), "teal").save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def marked(
    photo: Path, mask: Path | None = None, boxes: tuple[Box, ...] = (), max_side: int | None = None
) -> np.ndarray:
    found = importance(photo, load_image(photo, max_side=max_side), mask, boxes)
    assert found is not None and set(np.unique(found)) <= {0, 255}
    return found == 255


def test_without_mask_and_boxes_nothing_is_said(photo: Path) -> None:
    assert importance(photo, load_image(photo), None, ()) is None


def test_a_box_counts_pixels_as_a_viewer_shows_them(photo: Path) -> None:
    expected = np.zeros((96, 128), bool)
    expected[20:26, 100:128] = True
    assert np.array_equal(marked(photo, boxes=((100, 20, 28, 6),)), expected)


def test_a_box_follows_a_photograph_that_is_made_smaller(photo: Path) -> None:
    Image.new("RGB", (400, 200)).save(photo.with_suffix(".png"))
    found = marked(photo.with_suffix(".png"), boxes=((100, 50, 100, 1),), max_side=200)
    rows, columns = np.nonzero(found)
    assert found.shape == (100, 200)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 25, 50, 99)  # never nothing at all


def test_mask_and_boxes_add_up(photo: Path, tmp_path: Path) -> None:
    white_left = np.zeros((96, 128), np.uint8)
    white_left[:, :10] = 255
    Image.fromarray(white_left).save(tmp_path / "mask.png")
    found = marked(photo, tmp_path / "mask.png", ((20, 0, 1, 96), (30, 0, 1, 96)))
    assert np.array_equal(np.nonzero(found.any(0))[0], [*range(10), 20, 30]) and found.all(0)[20]


@pytest.mark.parametrize("box", [(120, 0, 9, 5), (0, 90, 5, 7), (128, 0, 1, 1), (-1, 0, 5, 5), (0, 0, 0, 5)])
def test_a_box_outside_is_told_with_the_size_of_the_photograph(photo: Path, box: Box) -> None:
    with pytest.raises(ConfigError, match=r"does not lie inside .*photo.jpg, which is 128x96"):
        marked(photo, boxes=(box,))


@pytest.mark.parametrize(
    ("change", "text"),
    [({"focus": 0.0}, "focus of 0"), ({"focus": float("nan")}, "focus"), ({"refine_steps": 501}, "from 0 to 500")],
)
def test_focus_and_steps_out_of_range_are_refused(photo: Path, change: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        TransmitConfig(photos=(photo,), encode=EncodeOptions(**change))  # type: ignore[arg-type]
