# SPDX-License-Identifier: GPL-3.0-or-later
"""The knock-out of the decoder's routing changes the decoder and nothing else, and only while it lasts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gened.errors import CodecError
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.gened.codec import Gened
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.training.studies import swap_mask

SIDE = 64


@pytest.fixture(scope="module")
def codec() -> Gened:
    return Gened()


@pytest.fixture
def received(codec: Gened) -> Received:
    """A frame without noise whose mask is half foreground."""
    rng = np.random.default_rng(1)
    x = rng.random((3, SIDE, SIDE), np.float32)
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:, : SIDE // 2] = 1
    sent = codec.encode(x, rate=Fraction(1, 24), snr_db=10.0, mask=mask)
    noise_var = np.full(len(sent.symbols), 1e-3, np.float32)
    return Received(sent.symbols, noise_var, sent.side_info, ImageSize(SIDE, SIDE), Fraction(1, 24), 10.0)


def difference(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max())


def test_swapping_changes_the_picture_and_ends_with_the_block(codec: Gened, received: Received) -> None:
    before = codec.decode(received).x_hat
    with swap_mask.swapped_routing(codec):
        swapped = codec.decode(received).x_hat
    assert difference(before, swapped) > 1e-3
    assert difference(before, codec.decode(received).x_hat) < 1e-6


def test_the_branches_receive_the_complement(codec: Gened, received: Received) -> None:
    assert codec.networks is not None
    masks = []
    handle = codec.networks.decoder.dual16[0].register_forward_hook(lambda _, args, __: masks.append(args[1].mask))
    codec.decode(received)
    with swap_mask.swapped_routing(codec):
        codec.decode(received)
    handle.remove()
    plain, swapped = masks
    assert 0 < float(plain.mean()) < 1
    assert difference(plain.numpy(), 1 - swapped.numpy()) < 1e-6


def test_a_codec_without_branches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="only gened"):
        swap_mask.measure(SoftCast(), tmp_path)
    with pytest.raises(CodecError, match="PyTorch"), swap_mask.swapped_routing(Gened(device="numpy")):
        pass


def test_both_routings_are_measured_at_each_snr(codec: Gened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap_mask, "SNRS_DB", (10.0,))
    monkeypatch.setattr(swap_mask, "SIDE", SIDE)
    rng = np.random.default_rng(2)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[: SIDE // 2] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    rows = swap_mask.measure(codec, tmp_path)
    assert [(row["routing"], row["snr_db"]) for row in rows] == [("as trained", 10.0), ("swapped", 10.0)]
    assert rows[0]["psnr_fg_db"] != rows[1]["psnr_fg_db"]
