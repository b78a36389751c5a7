# SPDX-License-Identifier: GPL-3.0-or-later
"""Training pictures: what is read with them, a crop's mask that lies where the crop lies, and damage that is named."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.models.data.shards import MAX_MEMBER_BYTES, encode, read_members, write_shard
from gened.models.data.training_set import CropSampler, Photograph, load_photographs

N_CROPS = 12
EARLIER_CROPS = "df8c284245d7a7b02c1fb3ec2107713b9dbd4042732225ba365f6fbf8d2eddae"
"""SHA-256 of the crops below, by the version before masks were drawn."""


def disc(height: int = 150, width: int = 190) -> np.ndarray:
    """A white disc, right of the middle and above it, [H, W]: not its own mirror image either way."""
    y, x = np.mgrid[:height, :width]
    return np.where((y - 0.4 * height) ** 2 + (x - 0.6 * width) ** 2 < (0.3 * height) ** 2, 255, 0).astype(np.uint8)


def as_picture(mask: np.ndarray) -> np.ndarray:
    """The mask itself as a photograph, so that a crop says where its own foreground is."""
    return np.repeat(mask[:, :, None], 3, axis=2)


def noise(seed: int, height: int = 100, width: int = 140) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """One shard: a picture with mask and captions, one without either."""
    folder = tmp_path / "shards"
    folder.mkdir()
    members = [
        ("both.png", encode(as_picture(disc()))),
        ("both.mask.png", encode(Image.fromarray(disc()).convert("1"))),
        ("both.json", json.dumps({"source": "a test", "captions": ["a disc", "a ball"]}).encode()),
        ("bare.png", encode(noise(1))),
    ]
    write_shard(folder / "small-000.tar", members)
    return folder


def test_captions_and_maps_come_with_the_pictures(shards: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    teacher = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    write_shard(maps / "small-000.tar", [("bare.saliency.png", encode(teacher))])
    bare, both = load_photographs(shards, min_side=64, saliency=maps)
    assert (bare.key, both.key) == ("small-000/bare", "small-000/both")
    assert both.captions == ("a disc", "a ball") and bare.captions == ()
    assert both.saliency is None and bare.saliency is not None
    assert np.array_equal(bare.saliency, teacher)
    assert both.mask is not None and np.array_equal(both.mask, disc())


def test_maps_that_are_not_made_yet_are_missed(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no maps .*small-000\.tar; gened data saliency"):
        load_photographs(shards, min_side=64, saliency=tmp_path)


def test_a_folder_gives_masks_and_captions(tmp_path: Path) -> None:
    for name in ("images/deep", "masks/deep"):
        (tmp_path / name).mkdir(parents=True)
    Image.fromarray(as_picture(disc())).save(tmp_path / "images/deep/a.png")
    Image.fromarray(disc()).save(tmp_path / "masks/deep/a.png")
    Image.fromarray(noise(1)).save(tmp_path / "images/b.jpg")
    (tmp_path / "captions.jsonl").write_text('{"file": "b.jpg", "captions": ["noise"]}\n\n')
    b, a = load_photographs(tmp_path, min_side=64)
    assert (a.key, b.key) == ("images/deep/a.png", "images/b.jpg")
    assert a.mask is not None and np.array_equal(a.mask, disc()) and a.captions == ()
    assert b.mask is None and b.captions == ("noise",)
    (tmp_path / "captions.jsonl").write_text('{"file": "b.jpg"}\n{"captions": ["whose?"]}\n')
    with pytest.raises(ConfigError, match="line 2: expected"):
        load_photographs(tmp_path, min_side=64)


@pytest.mark.parametrize("max_reduction", [1.0, 2.0], ids=["cut", "cut and resized"])
def test_the_mask_lies_where_the_crop_lies(max_reduction: float) -> None:
    """The photograph is its own mask: mirrored, shifted or wrongly scaled, the two would differ."""
    sampler = CropSampler(
        [Photograph("disc", as_picture(disc()), disc())], crop=64, seed=2, max_reduction=max_reduction
    )
    for number in range(N_CROPS):
        crop, mask = sampler.with_mask(number)
        assert mask is not None and mask.shape == (64, 64) and mask.dtype == np.uint8
        differ = (crop[:, :, 0] >= 128) != (mask >= 128)
        assert differ.mean() < 0.01  # bicubic and bilinear edges


def test_the_map_lies_where_the_crop_lies() -> None:
    whole = disc()
    saliency = np.asarray(Image.fromarray(whole).resize((64, 64), Image.Resampling.BOX))
    sampler = CropSampler([Photograph("disc", as_picture(whole), None, saliency=saliency)], crop=64, seed=2)
    for number in range(N_CROPS):
        crop, target = sampler.with_mask(number)
        assert target is not None and target.shape == (64, 64)
        differ = (crop[:, :, 0] >= 128) != (target >= 128)
        assert differ.mean() < 0.04  # a cell of the map is 3 x 2.3 pixels


def test_a_mask_made_by_hand_goes_before_the_map() -> None:
    white = np.full((64, 64), 255, np.uint8)
    photographs = [Photograph("disc", as_picture(disc()), np.zeros_like(disc()), saliency=white)]
    _, mask = CropSampler(photographs, crop=64, seed=2).with_mask(3)
    assert mask is not None and not mask.any()


def test_crops_are_those_of_earlier_versions_with_and_without_mask() -> None:
    """Runs that were stopped go on with them."""
    photographs = [Photograph(str(seed), noise(seed, 90 + 20 * seed, 200), None) for seed in range(3)]
    sampler = CropSampler(
        photographs, crop=80, seed=5, max_reduction=1.0, max_aspect=1.0
    )  # as cut: resizing may change with Pillow
    crops = [sampler(number) for number in (*range(N_CROPS), 1 << 40)]
    assert hashlib.sha256(np.stack(crops)).hexdigest() == EARLIER_CROPS
    crop, mask = sampler.with_mask(7)
    assert np.array_equal(crop, crops[7]) and mask is None


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _cut_between_members(path: Path) -> None:
    with tarfile.open(path) as shard:
        end = shard.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:end])


def _bad_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as shard:
        content[shard.getmembers()[2].offset + 100] ^= 0xFF
    path.write_bytes(content)


def _no_tar(path: Path) -> None:
    path.write_bytes(b"<html>404</html>" * 100)


def _with(name: str, content: bytes) -> Callable[[Path], None]:
    def add(path: Path) -> None:
        write_shard(path, [*read_members(path), (name, content)])

    return add


def _absurd(path: Path) -> None:
    info = tarfile.TarInfo("huge.jpg")
    info.size = MAX_MEMBER_BYTES + 1
    path.write_bytes(info.tobuf() + bytes(1024))


def _bomb() -> bytes:
    """A small PNG that says it has 10^8 pixels."""
    content = bytearray(encode(np.zeros((4, 4, 3), np.uint8)))
    content[16:24] = (10_000).to_bytes(4, "big") * 2
    return bytes(content[:29] + _crc(content[12:29]) + content[33:])


def _crc(chunk: bytes) -> bytes:
    return zlib.crc32(chunk).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut_off, "cannot be read as a tar shard|cut off"),
        (_cut_between_members, "damaged or cut off"),
        (_bad_header, "damaged or cut off"),
        (_no_tar, "cannot be read as a tar shard"),
        (_absurd, "'huge.jpg' has 67108865 bytes"),
        (_with("x.jpg", b"GIF89a and more"), "x.jpg is not a picture"),
        (_with("x.png", encode(noise(2))[:3000]), "x.png is a broken picture"),
        (_with("x.png", _bomb()), r"x\.png (is a picture of 10000x10000|would unpack)"),
        (_with("x.mask.png", encode(disc())), "x.mask.png is a mask without a picture"),
        (_with("bare.mask.png", encode(disc())), "bare.mask.png has 190x150 pixels, but its picture has 140x100"),
        (_with("both.jpg", encode(noise(2), "JPEG")), "both.jpg is a second picture"),
        (_with("bare.json", b"{"), "bare.json is not JSON"),
        (_with("bare.json", b"[" * 100_000), "bare.json is not JSON"),
        (_with("bare.json", b'{"captions": [1]}'), "bare.json: expected"),
        (_with("bare.json", b" " * (1 << 21)), "bare.json has 2097152 bytes"),
    ],
)
def test_damage_is_named_with_shard_and_member(shards: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(shards / "small-000.tar")
    with pytest.raises(ConfigError, match=f"small-000.tar.*({message})") as caught:
        load_photographs(shards, min_side=64)
    assert "\n" not in str(caught.value)


def test_the_same_members_give_the_same_shard_and_a_broken_write_leaves_none(tmp_path: Path) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    for path in (one, two):
        write_shard(path, [("a.json", b"{}")])
    assert one.read_bytes() == two.read_bytes()
    with pytest.raises(ZeroDivisionError):
        write_shard(tmp_path / "three.tar", ((str(i), bytes(1 // (1 - i))) for i in range(3)))
    assert not list(tmp_path.glob("three.tar"))
    assert io.BytesIO(one.read_bytes()).getbuffer().nbytes % 512 == 0


def test_it_loads_where_numpy_and_pillow_are_all_there_is() -> None:
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        absent = "scipy skimage rich typer pydantic torch numba ldpc gnuradio"
        if name.partition(".")[0] in absent.split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import gened.models.data.training_set
"""
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
