# SPDX-License-Identifier: GPL-3.0-or-later
"""Files to pictures: every mode, every orientation, and one clear line for what is no picture."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.images import (
    load_image,
    load_mask,
    to_float,
    to_uint8,
)
from gened.models.data.reading import ImageSizeError, MissingImageError, NotAnImageError
from gened.models.data.writing import write_png

RAMP = np.linspace(0, 255, 80).round().astype(np.uint8)


def ramp_rgb(height: int = 64) -> Image.Image:
    """Red rises from left to right, green falls, blue is constant."""
    row = np.stack([RAMP, RAMP[::-1], np.full(80, 99, np.uint8)], axis=1)
    return Image.fromarray(np.repeat(row[None], height, axis=0))


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("RGB", ".png", 0),
        ("RGBA", ".png", 0),
        ("P", ".png", 51),
        ("CMYK", ".tif", 1),
        ("YCbCr", ".tif", 3),
        ("RGBX", ".tif", 0),
    ],
)
def test_colour_modes_give_the_same_picture(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
    path = tmp_path / f"picture{suffix}"
    ramp_rgb().convert(mode).save(path)
    pixels = load_image(path)
    assert pixels.shape == (64, 80, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.asarray(ramp_rgb()).astype(int)).max() <= tolerance


def test_lab_is_turned_into_rgb(tmp_path: Path) -> None:
    lab = np.zeros((64, 64, 3), np.uint8)
    lab[..., 0], lab[..., 1:] = 255, 0  # white: L = 100, a = b = 0
    Image.fromarray(lab, "LAB").save(tmp_path / "lab.tif")
    assert load_image(tmp_path / "lab.tif").min() > 250


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "I", "F"])
def test_grey_modes_keep_their_tones(tmp_path: Path, mode: str) -> None:
    grey = np.repeat(RAMP[None], 64, axis=0)
    image = {
        "1": lambda: Image.fromarray(grey).convert("1", dither=Image.Dither.NONE),
        "L": lambda: Image.fromarray(grey),
        "I;16": lambda: Image.fromarray(grey.astype(np.uint16) * 257),
        "I": lambda: Image.fromarray(grey.astype(np.int32) * 257),
        "F": lambda: Image.fromarray(grey.astype(np.float32) / 255),
    }[mode]()
    image.save(tmp_path / "grey.tif")
    pixels = load_image(tmp_path / "grey.tif")
    expected = np.where(grey > 127, 255, 0) if mode == "1" else grey
    assert np.abs(pixels[..., 0].astype(int) - expected).max() <= 1
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()


def test_a_16_bit_grey_png_is_not_all_white(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(RAMP[None], 64, axis=0).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert abs(float(load_image(tmp_path / "deep.png").mean()) - float(RAMP.mean())) < 1


def test_transparency_shows_white(tmp_path: Path) -> None:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, 32:] = [10, 20, 30, 255]
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    pixels = load_image(tmp_path / "clear.png")
    assert (pixels[:, :32] == 255).all() and (pixels[:, 32:] == [10, 20, 30]).all()


def test_exif_rotation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    ramp_rgb().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    pixels = load_image(tmp_path / "turned.jpg")
    assert pixels.shape == (80, 64, 3)
    assert pixels[0, :, 0].mean() < 10 and pixels[-1, :, 0].mean() > 245  # left became top


def test_smallest_and_largest_sizes_are_taken(tmp_path: Path) -> None:
    for size in ((64, 64), (4096, 64), (4096, 4096)):
        Image.new("RGB", size, (1, 2, 3)).save(tmp_path / "size.png", compress_level=1)
        assert load_image(tmp_path / "size.png").shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("size", "remedy"),
    [
        ((63, 64), "from 64x64"), ((64, 63), "from 64x64"), ((1, 1), "from 64x64"), ((3, 5000), "from 64x64"),
        ((4097, 64), "keeps 63, and 64 are needed; crop it"), ((64, 5000), "keeps 52, and 64 are needed; crop it"),
        ((5000, 100), "--max-side 4096"), ((5000, 4500), "--max-side 4096"),
    ],
)  # fmt: skip
def test_sizes_beyond_are_refused_with_the_remedy(tmp_path: Path, size: tuple[int, int], remedy: str) -> None:
    Image.new("RGB", size).save(tmp_path / "size.png")
    with pytest.raises(ImageSizeError, match=remedy) as refused:
        load_image(tmp_path / "size.png")
    assert f"size.png is {size[0]}x{size[1]}" in str(refused.value)
    if "--max-side" in remedy:
        assert max(load_image(tmp_path / "size.png", max_side=4096).shape) == 4096  # the advice holds


def test_max_side_reduces_and_keeps_the_shape(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 2500), (9, 9, 9)).save(tmp_path / "large.png")
    assert load_image(tmp_path / "large.png", max_side=1000).shape == (500, 1000, 3)
    assert load_image(tmp_path / "large.png", max_side=9000).shape == (2500, 5000, 3)


def test_a_picture_too_narrow_once_reduced_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 100)).save(tmp_path / "narrow.png")
    with pytest.raises(ImageSizeError, match=r"keeps 25, and 64 are needed: use --max-side 2560 or more"):
        load_image(tmp_path / "narrow.png", max_side=1000)
    assert load_image(tmp_path / "narrow.png", max_side=2560).shape == (64, 2560, 3)


def bomb_png(width: int, height: int) -> bytes:
    """A small PNG that says it is enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60000, 60000), (12000, 12000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb_png(*size))
    with pytest.raises(ImageSizeError, match="bomb"):
        load_image(tmp_path / "bomb.png", max_side=4096)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_white_of_a_mask_in_any_mode_is_important(tmp_path: Path, mode: str) -> None:
    grey = np.zeros((96, 128), np.uint8)
    grey[10:20, 30:50] = 255
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "mask.png")
    assert np.array_equal(load_mask(tmp_path / "mask.png", 96, 128), grey)


def test_a_smaller_mask_of_nearly_the_same_shape_is_enlarged_without_grey(tmp_path: Path) -> None:
    small = np.zeros((20, 30), np.uint8)
    small[:10] = 255
    Image.fromarray(small).save(tmp_path / "mask.png")
    mask = load_mask(tmp_path / "mask.png", 201, 299)
    assert mask.shape == (201, 299)
    assert set(np.unique(mask)) == {0, 255}
    assert 100 <= np.count_nonzero(mask[:, 0]) <= 101


def test_transparent_parts_of_a_mask_are_not_important(tmp_path: Path) -> None:
    layer = np.full((64, 64, 4), 255, np.uint8)
    layer[:, 32:, 3] = 0  # white, but not painted
    Image.fromarray(layer).save(tmp_path / "mask.png")
    mask = load_mask(tmp_path / "mask.png", 64, 64)
    assert mask[:, :32].min() == 255 and mask[:, 32:].max() == 0


@pytest.mark.parametrize(
    ("size", "color", "text"),
    [((100, 97), "white", "100x97, the photograph 640x640"), ((64, 64), "#7f7f7f", "no white in it")],
)
def test_a_mask_that_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, size: tuple[int, int], color: str, text: str
) -> None:
    Image.new("RGB", size, color).save(tmp_path / "mask.png")
    with pytest.raises(ConfigError, match=text) as caught:
        load_mask(tmp_path / "mask.png", 640, 640)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_pictures_say_so(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    ramp_rgb().save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:150])
    for name in ("text.jpg", "empty.png", "cut.png"):
        with pytest.raises(NotAnImageError, match=name):
            load_image(tmp_path / name)


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(MissingImageError, match="no such file: .*absent.png"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(MissingImageError, match="folder"):
        load_image(tmp_path)


def test_png_round_trip_and_conversions_are_exact(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 70, 3)).astype(np.uint8)
    write_png(pixels, tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == pixels).all()
    assert (to_uint8(to_float(pixels)) == pixels).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (to_uint8(np.array([np.nan, np.inf, -1.0], np.float32).reshape(3, 1, 1)) == [0, 255, 0]).all()
