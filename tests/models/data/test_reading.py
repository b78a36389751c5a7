# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of picture files, by way of its users: every kind of picture gives link, transmitter, evaluation, sheets,
training and imports the same pixels, and these are the right ones."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from gened.errors import ConfigError, GenedError
from gened.link.config import TransmitConfig
from gened.link.photographs import Photographs
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.data import reading, srgb
from gened.models.data.evaluation_set import read_item
from gened.models.data.images import load_image, load_mask, to_uint8
from gened.models.data.importing.make import import_data
from gened.models.data.reading import ImageSizeError, NotAnImageError, fit_mask, read_mask, read_picture
from gened.models.data.training_set import load_photographs
from gened.models.evaluation.plots.sheet import make_rows
from gened.models.evaluation.run.measure import Setting
from tests.support.icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    cmyk_profile,
    grey_profile,
    rgb_profile,
    rgb_to_xyz_d50,
)

Load = Callable[[Path], np.ndarray]
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def by_evaluation(path: Path) -> np.ndarray:
    return to_uint8(read_item(path.parent, path, None, {}).x)


def by_training(path: Path) -> np.ndarray:
    (photograph,) = load_photographs(path.parent, min_side=1)
    return photograph.pixels


def by_transmitter(path: Path) -> np.ndarray:
    return Photographs(TransmitConfig(photos=(path,))).frame(0, None).image


def by_sheet(path: Path) -> np.ndarray:
    (row,) = make_rows([SoftCast()], path.parent, snrs_db=(20.0,), setting=Setting())
    pixels = row.cells[0].pixels
    assert pixels is not None
    return pixels


USERS = pytest.mark.parametrize(
    "load",
    [load_image, by_evaluation, by_training, by_transmitter, by_sheet],
    ids=["link", "evaluation", "training", "transmitter", "sheet"],
)


def grey_ramp() -> np.ndarray:
    """[64, 80] uint8, darkest at the left."""
    return np.repeat(np.linspace(0, 255, 80).round().astype(np.uint8)[None], 64, axis=0)


def colors() -> np.ndarray:
    """[64, 80, 3] uint8: mid-saturated colours that the gamuts of the tests share."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(90, 200, (8, 10, 3)).astype(np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def distance(pixels: np.ndarray, expected: np.ndarray) -> int:
    assert pixels.shape == expected.shape and pixels.dtype == np.uint8
    return int(np.abs(pixels.astype(int) - expected.astype(int)).max())


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@USERS
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_is_upright(tmp_path: Path, load: Load, orientation: int, suffix: str) -> None:
    """The stored picture is made by the inverse of what EXIF 2.32, 4.6.4, says of each orientation."""
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48], upright[:32, 48:], upright[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert np.array_equal(load(path), upright)
    assert reading.upright_size(path) == (64, 96)


@USERS
def test_broken_exif_data_do_not_cost_the_picture(tmp_path: Path, load: Load) -> None:
    Image.fromarray(colors()).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(load(tmp_path / "a.png"), colors())


@USERS
@pytest.mark.parametrize(
    ("name", "primaries"), [("Display P3", DISPLAY_P3), ("Adobe RGB (1998)", ADOBE_RGB)], ids=["P3", "Adobe RGB"]
)
def test_a_profile_is_converted_to_srgb_and_said_once(
    tmp_path: Path,
    load: Load,
    name: str,
    primaries: tuple[tuple[float, float], ...],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Expected by hand: sRGB -> linear -> XYZ -> linear of the space -> its gamma; the reader must bring it back."""
    gamma = 563 / 256  # Adobe RGB (1998), section 4.3.1.2; here also for P3, whose curve is sRGB's
    linear = np.where(colors() / 255 <= 0.04045, colors() / 255 / 12.92, ((colors() / 255 + 0.055) / 1.055) ** 2.4)
    theirs = linear @ (np.linalg.inv(rgb_to_xyz_d50(primaries)) @ rgb_to_xyz_d50(SRGB)).T
    assert theirs.min() >= 0 and theirs.max() <= 1  # inside both gamuts
    stored = np.round(255 * theirs ** (1 / gamma)).astype(np.uint8)
    assert distance(stored, colors()) > 7
    profile = rgb_profile(name, primaries, gamma)
    monkeypatch.setattr(srgb, "_said", set())
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        Image.fromarray(stored).save(tmp_path / folder / "a.png", icc_profile=profile)
        with caplog.at_level(logging.WARNING):
            assert distance(load(tmp_path / folder / "a.png"), colors()) <= 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'one' / 'a.png'} has the colour profile '{name}'; its colours are converted to sRGB"
    ]


@USERS
def test_the_profile_of_srgb_changes_nothing(tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colors()).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(load(tmp_path / "a.png"), colors())
    assert not caplog.records


@USERS
def test_a_grey_profile_is_converted(tmp_path: Path, load: Load) -> None:
    Image.fromarray(grey_ramp()).save(tmp_path / "a.png", icc_profile=grey_profile("Gamma 1.8", 1.8))
    linear = (grey_ramp() / 255) ** 1.8
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert distance(load(tmp_path / "a.png"), rgb(np.round(255 * expected).astype(np.uint8))) <= 2


@USERS
def test_cmyk_goes_by_its_profile(tmp_path: Path, load: Load) -> None:
    """The profile makes every ink a neutral grey: one at full is L = 75 %, which is sRGB 185; four are black."""
    inks = np.zeros((64, 80, 4), np.uint8)
    inks[:, 40:, 0] = 255
    inks[32:] = 255
    profile = cmyk_profile("neutral inks", (100, 75, 50, 25, 0))
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    pixels = load(tmp_path / "a.tif")
    assert pixels[0, 0].min() >= 253 and distance(pixels[0, -1], np.full(3, 185, np.uint8)) <= 2
    assert pixels[-1].max() <= 3


@USERS
def test_cmyk_without_a_profile_goes_by_the_inks(tmp_path: Path, load: Load) -> None:
    inks = np.zeros((64, 80, 4), np.uint8)
    inks[:, 40:, 0] = 255  # cyan
    inks[32:, :, 3] = 255  # black
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    pixels = load(tmp_path / "a.jpg")
    for place, color in (((0, 0), (255, 255, 255)), ((0, -1), (0, 255, 255)), ((-1, 0), (0, 0, 0))):
        assert distance(pixels[place], np.array(color, np.uint8)) <= 3


@USERS
@pytest.mark.parametrize(
    "profile",
    [b"not a profile", rgb_profile("cut", DISPLAY_P3, 2.2)[:200], grey_profile("of grey", 1.0)],
    ids=["rubbish", "cut short", "of another colour space"],
)
def test_a_profile_that_cannot_be_meant_is_ignored(tmp_path: Path, load: Load, profile: bytes) -> None:
    Image.fromarray(colors()).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(load(tmp_path / "a.png"), colors())


@USERS
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P with one clear color", "P with an alpha table", "16-bit grey"])
def test_transparent_parts_are_white(tmp_path: Path, load: Load, mode: str) -> None:
    grey = grey_ramp() // 2 + 1  # no zeros
    grey[:, :40] = 0
    alpha = np.where(np.arange(80) < 40, 0, 255).astype(np.uint8) * np.ones((64, 1), np.uint8)
    path = tmp_path / "a.png"
    if mode == "RGBA":
        Image.fromarray(np.dstack([rgb(grey), alpha])).save(path)
    elif mode == "LA":
        Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha))).save(path)
    elif mode == "16-bit grey":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path, transparency=0)
    else:
        indexed = Image.fromarray(grey).convert("P")
        first = int(np.asarray(indexed)[0, 0])
        table = bytes(0 if index == first else 255 for index in range(256))
        indexed.save(path, transparency=first if "one" in mode else table)
    pixels = load(path)
    assert (pixels[:, :40] == 255).all()
    assert distance(pixels[:, 40:], rgb(grey)[:, 40:]) <= 1


@USERS
def test_half_transparent_parts_are_mixed_with_white(tmp_path: Path, load: Load) -> None:
    Image.new("RGBA", (64, 64), (0, 100, 200, 128)).save(tmp_path / "a.png")
    assert distance(load(tmp_path / "a.png")[0, 0], np.array([127, 177, 227], np.uint8)) <= 1


DEEP = {
    "16 bits": grey_ramp().astype(np.uint16) * 257,
    "12 bits in 16": np.round(grey_ramp() / 255 * 4095).astype(np.uint16),
    "8 bits in 16": grey_ramp().astype(np.uint16),
    "32 bits": grey_ramp().astype(np.int32) * 257,
    "32 bits, all of them": (grey_ramp().astype(np.int64) * 16843009 - 2**31).astype(np.int32),
    "float from 0 to 1": (grey_ramp() / 255).astype(np.float32),
    "float with overshoot": np.clip(grey_ramp() / 255 * 1.2 - 0.1, -0.1, 1.1).astype(np.float32),
    "float from 0 to 255": grey_ramp().astype(np.float32),
    "float with NaN": np.where(grey_ramp() == 0, np.nan, grey_ramp() / 255).astype(np.float32),
}


@USERS
@pytest.mark.parametrize("kind", list(DEEP))
def test_grey_of_any_depth_keeps_its_tones(tmp_path: Path, load: Load, kind: str) -> None:
    Image.fromarray(DEEP[kind]).save(tmp_path / "a.tif")
    expected = grey_ramp()
    if kind == "float with overshoot":
        expected = np.round(255 * np.clip(grey_ramp() / 255 * 1.2 - 0.1, 0, 1)).astype(np.uint8)
    assert distance(load(tmp_path / "a.tif"), rgb(expected)) <= 1


@USERS
@pytest.mark.parametrize("kind", ["16 bits", "12 bits in 16"])
def test_deep_grey_in_png_keeps_its_tones(tmp_path: Path, load: Load, kind: str) -> None:
    Image.fromarray(DEEP[kind]).save(tmp_path / "a.png")
    assert distance(load(tmp_path / "a.png"), rgb(grey_ramp())) <= 1


def test_a_16_bit_negative_is_inverted(tmp_path: Path) -> None:
    """TIFF's PhotometricInterpretation 0, white is zero, which Pillow applies to 8 bits alone."""
    Image.fromarray(DEEP["16 bits"]).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert distance(read_picture(tmp_path / "a.tif"), rgb(255 - grey_ramp())) <= 1


@USERS
def test_palettes_and_1_bit_are_expanded(tmp_path: Path, load: Load) -> None:
    for folder, picture, expected in (
        ("p", Image.fromarray(rgb(grey_ramp())).quantize(256), rgb(grey_ramp())),
        ("1", Image.fromarray(grey_ramp() > 127), rgb(np.where(grey_ramp() > 127, 255, 0).astype(np.uint8))),
    ):
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "a.png")
        assert distance(load(tmp_path / folder / "a.png"), expected) <= 2


@USERS
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_of_an_animation_the_first_picture_counts(tmp_path: Path, load: Load, suffix: str) -> None:
    first, second = Image.fromarray(colors()), Image.new("RGB", (80, 64), (255, 0, 255))
    options = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=[second], **options)
    assert np.array_equal(load(tmp_path / f"a{suffix}"), colors())


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {"quality": 90}),
        (".jpg", {"quality": 75, "progressive": True}),
        (".png", {}),
        (".webp", {"quality": 80}),
        (".webp", {"lossless": True}),
        (".bmp", {}),
    ],
)
@USERS
def test_ordinary_files_give_the_pixels_of_pillow(
    tmp_path: Path, load: Load, suffix: str, options: dict[str, object]
) -> None:
    """The published figures were measured on `Image.open(path).convert("RGB")`; for sRGB files nothing changes."""
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    with Image.open(path) as image:
        assert np.array_equal(load(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("resize", [None, 64])
def test_evaluation_computes_as_it_did(tmp_path: Path, resize: int | None) -> None:
    Image.fromarray(colors()).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        picture = image.convert("RGB")
    if resize:
        picture = picture.resize((resize, resize), Image.Resampling.BICUBIC)
    expected = np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255)
    assert np.array_equal(read_item(tmp_path, tmp_path / "a.jpg", resize, {}).x, expected)


@pytest.mark.parametrize("kind", [*DEEP, "P3", "CMYK", "alpha"])
def test_an_import_reads_every_kind_as_the_link_does(tmp_path: Path, kind: str) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    path = source / ("a.tif" if kind in DEEP or kind == "CMYK" else "a.png")
    if kind in DEEP:
        Image.fromarray(DEEP[kind]).save(path)
    elif kind == "P3":
        Image.fromarray(colors()).save(path, icc_profile=rgb_profile("Display P3", DISPLAY_P3, 2.2))
    elif kind == "CMYK":
        inks = np.zeros((64, 80, 4), np.uint8)
        inks[..., 0] = grey_ramp()
        Image.fromarray(inks, "CMYK").save(path, icc_profile=cmyk_profile("neutral inks", (100, 75, 50, 25, 0)))
    else:
        Image.fromarray(np.dstack([rgb(grey_ramp()), 255 - grey_ramp()])).save(path)
    import_data("folder", source, out)
    (photograph,) = load_photographs(out, min_side=1)
    difference = np.abs(photograph.pixels.astype(int) - load_image(path).astype(int))
    assert difference.mean() < 3 and difference.max() <= 40  # JPEG, quality 92, of blocks with sharp edges


def test_an_import_tells_what_it_leaves_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "more").mkdir(parents=True)
    Image.fromarray(colors()).save(source / "more" / "a.png")
    (source / "notes.txt").touch()
    done = import_data("folder", source, tmp_path / "out")
    assert done.pictures == 1
    assert done.left_out == ("1 file that is no picture by its name (notes.txt)",)


def test_an_import_reads_as_the_link_does(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(grey_ramp()).astype(np.uint16) * 257).save(source / "deep.png", exif=exif)
    import_data("folder", source, out)
    (photograph,) = load_photographs(out, min_side=1)
    assert distance(photograph.pixels, rgb(grey_ramp())) <= 6  # JPEG, quality 92


# Errors


def _truncated(path: Path) -> None:
    Image.fromarray(colors()).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-200])


def _text(path: Path) -> None:
    path.write_text("not a picture")


def _empty(path: Path) -> None:
    path.touch()


def _heic(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))


@USERS
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated, r"a\.jpg is a broken picture"),
        (_text, r"a\.jpg is not a picture that can be read"),
        (_empty, r"a\.jpg is not a picture that can be read"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(
    tmp_path: Path, load: Load, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(tmp_path / "a.jpg")
    with pytest.raises(GenedError, match=message) as caught:
        load(tmp_path / "a.jpg")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigError if load is by_training else NotAnImageError)


@USERS
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (10_001, 10_000)).save(tmp_path / "a.png")

    def decoded(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "convert", decoded)
    with pytest.raises(GenedError, match=r"a\.png would unpack to 10001x10000 pixels") as caught:
        load(tmp_path / "a.png")
    assert isinstance(caught.value, ConfigError if load is by_training else ImageSizeError)


def test_content_of_other_formats_than_those_allowed_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(colors()).save(buffer, "TIFF")
    assert np.array_equal(read_picture(buffer.getvalue(), "a"), colors())
    with pytest.raises(NotAnImageError, match="a is not a picture that can be read; JPEG, PNG can"):
        read_picture(buffer.getvalue(), "a", formats=("JPEG", "PNG"))


@USERS
def test_heic_is_read_where_its_package_is_installed(tmp_path: Path, load: Load) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC is an extra: pillow-heif is not installed")
    photo = np.full((64, 96, 3), (200, 120, 40), np.uint8)
    pillow_heif.from_pillow(Image.fromarray(photo)).save(tmp_path / "a.heic", quality=90)
    assert distance(load(tmp_path / "a.heic"), photo) <= 4


@USERS
def test_heic_without_its_package_says_what_to_install(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    _heic(tmp_path / "a.heic")
    with pytest.raises(GenedError, match=r"a\.heic is not a picture .*pip install 'gr-gened\[heic\]'"):
        load(tmp_path / "a.heic")


# Masks


def mask_by_link(data: Path) -> np.ndarray:
    return load_mask(data / "masks" / "a.png", 64, 80) >= 128


def mask_by_evaluation(data: Path) -> np.ndarray:
    mask = read_item(data, data / "images" / "a.png", None, {}).mask
    assert mask is not None
    return mask


def mask_by_training(data: Path) -> np.ndarray:
    mask = load_photographs(data, min_side=1)[0].mask
    assert mask is not None
    return mask >= 128


@pytest.mark.parametrize(
    "load", [mask_by_link, mask_by_evaluation, mask_by_training], ids=["link", "evaluation", "training"]
)
@pytest.mark.parametrize("kind", ["1", "L", "P", "RGB", "I;16", "RGBA", "half the size", "grey at the threshold"])
def test_masks_follow_one_rule(tmp_path: Path, load: Load, kind: str) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(colors()).save(tmp_path / "images" / "a.png")
    white = np.zeros((64, 80), np.uint8)
    white[10:30, 20:60] = 255
    mask = Image.fromarray(white)
    if kind == "I;16":
        mask = Image.fromarray(white.astype(np.uint16) * 257)
    elif kind == "RGBA":  # white everywhere, and painted where it counts
        mask = Image.fromarray(np.dstack([np.full((64, 80, 3), 255, np.uint8), white]))
    elif kind == "half the size":
        mask = mask.resize((40, 32), Image.Resampling.NEAREST)
    elif kind == "grey at the threshold":
        mask = Image.fromarray(np.where(white > 0, 128, 127).astype(np.uint8))
    else:
        mask = mask.convert(kind)
    mask.save(tmp_path / "masks" / "a.png")
    assert np.array_equal(load(tmp_path), white > 0)


def test_a_mask_is_found_by_its_stem_whatever_its_suffix(tmp_path: Path) -> None:
    for folder in ("images/deep", "masks/deep"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(colors()).save(tmp_path / "images/deep/a.jpg")
    Image.new("L", (80, 64), 255).save(tmp_path / "masks/deep/a.tif")
    (photograph,) = load_photographs(tmp_path, min_side=1)
    assert photograph.mask is not None and photograph.mask.min() == 255


@pytest.mark.parametrize(("rows", "is_fit"), [(100, True), (103, True), (104, False), (97, False)])
def test_a_mask_of_another_shape_is_refused(rows: int, is_fit: bool) -> None:
    mask = np.zeros((rows, 100), np.uint8)
    if is_fit:
        assert fit_mask(mask, 50, 50, "mask").shape == (50, 50)
        return
    with pytest.raises(ConfigError, match=f"mask is 100x{rows}, its picture 50x50"):
        fit_mask(mask, 50, 50, "mask")


def test_a_mask_has_no_colours_to_convert(tmp_path: Path) -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None], 2, axis=0)
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=grey_profile("Gamma 1.0", 1.0))
    assert np.array_equal(read_mask(tmp_path / "a.png"), grey)
