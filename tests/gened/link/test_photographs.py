# SPDX-License-Identifier: GPL-3.0-or-later
"""All photographs of a transmitter are checked before the first is sent, and an error names the file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from gened.errors import FrameError
from gened.link.config import TransmitConfig
from gened.link.photographs import Photographs
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.reading import ImageSizeError


def config(folder: Path, *names: str, max_side: int | None = None, rate: Fraction = Fraction(1, 24)) -> TransmitConfig:
    photos = tuple(folder / name for name in names)
    return TransmitConfig(photos=photos, codec="softcast", max_side=max_side, encode=EncodeOptions(rate=rate))


def test_a_frame_of_too_many_bursts_names_its_photograph(tmp_path: Path) -> None:
    Image.new("RGB", (96, 64)).save(tmp_path / "small.png")
    Image.new("RGB", (4096, 4096)).save(tmp_path / "large.png", compress_level=1)
    with pytest.raises(FrameError, match=r"large\.png: 4096x4096 at rate 1/4 needs 768 bursts"):
        Photographs(config(tmp_path, "small.png", "large.png", rate=Fraction(1, 4)))
    assert Photographs(config(tmp_path, "large.png", max_side=256, rate=Fraction(1, 4))).frame(0, None).photo == 0


@pytest.mark.parametrize(
    ("size", "max_side", "words"),
    [
        ((1, 1), None, "from 64x64"),
        ((3, 5000), 4096, "from 64x64"),
        ((63, 100), None, "from 64x64"),
        ((20000, 1000), None, "--max-side 4096"),
        ((20000, 1000), 1024, "--max-side 1280 or more"),
        ((9000, 6000), None, "--max-side 4096"),
    ],
)
def test_sizes_that_cannot_be_sent_name_their_file(
    tmp_path: Path, size: tuple[int, int], max_side: int | None, words: str
) -> None:
    Image.new("RGB", (96, 64)).save(tmp_path / "good.png")
    Image.new("RGB", size).save(tmp_path / "bad.png", compress_level=1)
    with pytest.raises(ImageSizeError, match=rf"bad\.png is {size[0]}x{size[1]}.*{words}"):
        Photographs(config(tmp_path, "good.png", "bad.png", max_side=max_side))
