# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker's process makes of a job: what is asked of the codec, and what is loaded for it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unfair_codecs import GreedyCodec, LoudCodec, PatchyCodec

from gened.errors import CodecError
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.base import encode_picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.images import to_float
from gened.models.serving.codec_service import CodecService
from gened.models.serving.worker import Worker

RATE = Fraction(1, 24)
FOLDER = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture
def image() -> Any:
    rows, columns = np.mgrid[0:64, 0:96]
    return np.stack([rows * 3, columns * 2, 255 - columns], axis=2).astype(np.uint8)


def test_a_mask_travels_to_the_receiver_in_eight_bits(image: Any) -> None:
    service = CodecService()
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :48] = 255
    answer = service.encode("softcast", image, options=EncodeOptions(rate=RATE, focus=8.0), mask=mask)
    symbols, side_info = answer.encoded.symbols, answer.encoded.side_info
    noise_var = np.full(len(symbols), 0.1, np.float32)
    decoded = service.decode(answer.codec_id, Received(symbols, noise_var, side_info, ImageSize(64, 96), RATE, 10.0))
    assert decoded.mask is not None and decoded.mask.dtype == np.uint8
    assert np.array_equal(decoded.mask, mask)


def test_what_a_codec_cannot_do_is_its_own_error(image: Any) -> None:
    service = CodecService()
    with pytest.raises(CodecError, match="nothing to refine"):
        service.encode("softcast", image, options=EncodeOptions(rate=RATE, refine_steps=1))
    with pytest.raises(CodecError, match="no mask"):
        service.encode("hevc-ldpc", image, options=EncodeOptions(), mask=np.full((64, 96), 255, np.uint8))


@pytest.mark.parametrize(("make", "fault"), [(LoudCodec, "mean power .* is 100"), (GreedyCodec, "allows 768")])
def test_a_codec_that_breaks_the_contract_sends_nothing(image: Any, make: Any, fault: str) -> None:
    service, codec = CodecService(), make()
    service._by_name[codec.name] = codec
    with pytest.raises(CodecError, match=f"^codec {codec.name}: .*{fault}"):
        service.encode(codec.name, image, options=EncodeOptions(rate=RATE))


def test_a_few_symbols_that_are_no_numbers_do_not_cost_the_picture(image: Any) -> None:
    service, codec = CodecService(), PatchyCodec()
    service._by_name[codec.name] = codec
    symbols = service.encode(codec.name, image, options=EncodeOptions(rate=RATE)).encoded.symbols
    assert np.count_nonzero(np.isnan(symbols)) == 3
    codec.n_bad = len(symbols) // 2
    with pytest.raises(CodecError, match="mean power"):
        service.encode(codec.name, image, options=EncodeOptions(rate=RATE))
    with pytest.raises(CodecError, match="not finite"):
        encode_picture(codec, to_float(image), EncodeOptions(rate=RATE))


def test_a_transmitters_worker_on_numpy_never_loads_pytorch(image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    with Worker("codec_spy:CodecSpy", {"device": "numpy"}) as worker:
        worker.call("encode", codec="softcast", image=image, options=EncodeOptions(rate=RATE))
        assert worker.call("loaded") == ["numpy"]
