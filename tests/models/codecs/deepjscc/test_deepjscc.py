# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped weights give the pictures that they gave when they were committed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.base import Picture
from gened.models.codecs.deepjscc.codec import DeepJscc
from gened.models.evaluation.metrics.pixel_metrics import psnr_db


@pytest.fixture(scope="module")
def codec() -> DeepJscc:
    return DeepJscc()


@pytest.fixture(scope="module")
def coffee() -> Picture:
    photograph = Image.fromarray(skimage.data.coffee()).resize((256, 256), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(photograph, np.float32).transpose(2, 0, 1) / 255)


def through(codec: DeepJscc, x: Picture, snr_db: float, erasure: float = 0.0) -> float:
    encoded = codec.encode(x, snr_db=snr_db)
    config = ChannelConfig(snr_db=snr_db, erasure=erasure)
    symbols, noise_var = apply_symbols(encoded.symbols, config, np.random.default_rng(5))
    size = ImageSize(x.shape[1], x.shape[2])
    received = Received(symbols, noise_var, encoded.side_info, size, Fraction(1, 24), snr_db)
    return psnr_db(x, codec.decode(received).x_hat)


@pytest.mark.parametrize(("snr_db", "expected_db"), [(1.0, 24.684), (10.0, 27.868)])
def test_the_checkpoint_keeps_its_psnr(codec: DeepJscc, coffee: Picture, snr_db: float, expected_db: float) -> None:
    assert through(codec, coffee, snr_db) == pytest.approx(expected_db, abs=0.02)


def test_a_tenth_of_the_symbols_lost_costs_quality_and_not_the_picture(codec: DeepJscc, coffee: Picture) -> None:
    whole, holed = through(codec, coffee, 7.0), through(codec, coffee, 7.0, erasure=0.1)
    assert whole - 4 < holed < whole


def test_options_of_other_codecs_are_refused(codec: DeepJscc, coffee: Picture) -> None:
    with pytest.raises(CodecError, match="rate 1/24 only"):
        codec.encode(coffee, rate=Fraction(1, 12), snr_db=10)
    with pytest.raises(CodecError, match="no mask"):
        codec.encode(coffee, snr_db=10, refine_steps=3)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"config\.json is missing"):
        DeepJscc(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {"nonsense": 1}}')
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CodecError, match="not those of deepjscc"):
        DeepJscc(tmp_path)
