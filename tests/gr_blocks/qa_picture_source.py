# SPDX-License-Identifier: GPL-3.0-or-later
"""picture_source: photographs as PDUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError, ImageError
from gened.gr_blocks.pdu.frame_pdus import picture_from_pdu
from gened.gr_blocks.picture_source import picture_source


def test_a_file_is_sent_as_often_as_asked(bench: Any, tmp_path: Path, picture: Any) -> None:
    Image.fromarray(picture).save(tmp_path / "slopes.png")
    block = picture_source(str(tmp_path / "slopes.png"), 0.02, 3, "slopes")
    pictures = bench.sink_of(block, "pictures")
    bench.start()
    assert len(pictures.wait(4, 0.5)) == 3
    image, meta = picture_from_pdu(pictures.messages[0])
    assert np.array_equal(image, picture)
    assert (meta["name"], meta["caption"]) == ("slopes.png", "slopes")


def test_a_mask_goes_with_each_picture(bench: Any, tmp_path: Path) -> None:
    Image.new("L", (16, 16), 255).save(tmp_path / "white.png")
    block = picture_source(period_s=60, max_side=64, mask=tmp_path / "white.png")
    pictures = bench.sink_of(block, "pictures")
    bench.start()
    _, meta = picture_from_pdu(pictures.wait(1)[0])
    assert meta["mask"].shape == (64, 64) and meta["mask"].min() == 255


def test_without_a_path_there_is_a_photograph(bench: Any) -> None:
    block = picture_source(period_s=60, max_side=128)
    pictures = bench.sink_of(block, "pictures")
    bench.start()
    image, meta = picture_from_pdu(pictures.wait(1)[0])
    assert image.shape == (128, 128, 3)
    assert image.std() > 30
    assert "caption" not in meta


def test_it_stops_at_once_however_long_the_period(bench: Any) -> None:
    block = picture_source(period_s=3600, max_side=64)
    bench.sink_of(block, "pictures").wait(0)
    bench.start()
    bench.stop()
    assert not block._thread.is_alive()


@pytest.mark.parametrize("period_s", [0.0, -1.0, float("nan")])
def test_a_period_that_is_not_positive_is_an_error(period_s: float) -> None:
    with pytest.raises(ConfigError, match="period_s"):
        picture_source(period_s=period_s)


def test_a_missing_file_is_an_error_when_the_flowgraph_is_made(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        picture_source(tmp_path / "nothing.jpg")
