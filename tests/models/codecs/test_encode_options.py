# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of an encoder: bounds, the way to text and back, and which codec gets which."""

from __future__ import annotations

import contextlib
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharpening_codec import SharpeningCodec, SharpeningOptions, install

from gened.errors import CodecError, ConfigError, GenedError
from gened.gr_blocks.phy.types import Encoded
from gened.models.codecs.base import encode_batch, encode_picture
from gened.models.codecs.encode_options import MAX_SEED, EncodeOptions
from gened.models.codecs.registry import load_codec
from gened.models.serving.worker import Worker

SUPPORT = Path(__file__).resolve().parents[2] / "support"
X = np.full((3, 64, 64), 0.5, np.float32)


class Minimal:
    """The least that is a codec."""

    name = "minimal"
    codec_id = 1

    def encode(self, x: Any, *, rate: Fraction, snr_db: float) -> Encoded:
        return Encoded(np.ones(8, np.complex64), f"{rate} {snr_db}".encode())

    def decode(self, received: Any) -> Any:
        raise NotImplementedError


# The record


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rate": Fraction(2)}, "rate 2 cannot be sent"),
        ({"rate": Fraction(1, 513)}, "rate 1/513 cannot be sent"),
        ({"snr_db": float("nan")}, "snr_db is nan"),
        ({"focus": 0.0}, "a focus of 0"),
        ({"focus": float("inf")}, "a focus of inf"),
        ({"refine_steps": 501}, "refine_steps is 501; from 0 to 500"),
        ({"side_margin_db": -0.5}, "side_margin_db is -0.5; from 0 to 30"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(values: dict[str, Any], text: str) -> None:
    with pytest.raises(GenedError, match=text):
        EncodeOptions(**values)


def test_each_frame_of_a_series_has_a_seed_of_its_own_that_stays_in_range() -> None:
    options = EncodeOptions(seed=MAX_SEED, focus=2.0)
    assert options.for_frame(0, 7.5) == EncodeOptions(seed=MAX_SEED, focus=2.0, snr_db=7.5)
    assert options.for_frame(3, 7.5).seed == 2


@given(
    rate=st.builds(Fraction, st.integers(1, 8), st.integers(8, 512)),
    snr_db=st.floats(-100, 100),
    focus=st.none() | st.floats(0.01, 100),
    refine_steps=st.integers(0, 500),
    side_margin_db=st.floats(0, 30),
    seed=st.integers(0, MAX_SEED),
)
def test_the_text_of_a_record_is_the_record(**values: Any) -> None:
    options = EncodeOptions(**values)
    assert EncodeOptions.from_text(options.to_text()) == options


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[" * 2000, "7", "[]", '"rate"', '{"x": 1}', '{"refine_steps": 1.0}', '{"refine_steps": true}',
        '{"refine_steps": "3"}', '{"refine_steps": null}', '{"refine_steps": 501}', '{"focus": NaN}', '{"focus": [1]}',
        '{"rate": 0.1}', '{"rate": "1/0"}', '{"rate": "1/%s"}' % ("9" * 500), '{"seed": %s}' % ("9" * 1900),
        '{"snr_db": %s}' % ("9" * 1900), '{"snr_db": Infinity}', '{"focus": 2' + " " * 2048 + "}",
    ],
)  # fmt: skip
def test_a_text_that_anybody_wrote_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(GenedError) as caught:
        EncodeOptions.from_text(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3))
def test_any_value_of_a_setting_is_taken_or_refused(value: Any) -> None:
    for name in ("rate", "snr_db", "focus", "refine_steps", "seed"):
        with contextlib.suppress(GenedError):
            assert isinstance(EncodeOptions.from_text(json.dumps({name: value})), EncodeOptions)


# Codecs


def test_a_codec_gets_the_settings_that_it_knows_and_only_those_that_were_chosen() -> None:
    sent = encode_picture(SharpeningCodec(gain=3.0), X, SharpeningOptions(sharpness=0.5, seed=4))
    assert sent.side_info == b"1/24 10.0 4 0.5 3.0"
    assert encode_picture(Minimal(), X, EncodeOptions(snr_db=3.0, seed=9)).side_info == b"1/24 3.0"


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (SharpeningOptions(sharpness=0.5), "--sharpness"),
        (EncodeOptions(focus=2.0), "--focus"),
        (EncodeOptions(refine_steps=1), "--refine"),
        (EncodeOptions(side_margin_db=3.0), "--side-margin"),
    ],
)
def test_a_codec_that_does_not_know_a_setting_refuses_it_by_its_option(options: EncodeOptions, flag: str) -> None:
    with pytest.raises(CodecError, match=f"codec minimal does not know {flag}"):
        encode_picture(Minimal(), X, options)
    with pytest.raises(CodecError, match=f"codec minimal does not know {flag}"):
        encode_batch(Minimal(), X[None], options)


def test_a_mask_is_refused_by_a_codec_that_weighs_no_pixels_but_no_weight_is_not() -> None:
    with pytest.raises(CodecError, match="does not know a mask"):
        encode_picture(Minimal(), X, EncodeOptions(), mask=np.ones((64, 64), np.float32))
    assert encode_picture(Minimal(), X, EncodeOptions(focus=1.0)).side_info == b"1/24 10.0"


@pytest.mark.parametrize("name", ["softcast", "hevc-ldpc", "gened", "deepjscc"])
def test_every_codec_of_ours_refuses_a_setting_that_only_another_codec_has(name: str) -> None:
    codec = load_codec(name, device="numpy") if name in ("softcast", "gened") else load_codec(name)
    with pytest.raises(CodecError, match=f"codec {name} does not know --sharpness"):
        encode_picture(codec, X, SharpeningOptions(sharpness=0.5))


def test_the_settings_and_the_options_of_a_codec_reach_it_in_the_worker_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(SUPPORT)]))
    image = np.zeros((64, 64, 3), np.uint8)
    with Worker(options={"options": {"sharpening": {"gain": 2.5}}}) as worker:
        options = SharpeningOptions(sharpness=0.25)
        answer = worker.call("encode", codec="sharpening", image=image, options=options)
        assert answer.encoded.side_info == b"1/24 10.0 0 0.25 2.5"


# Options of the constructor


def test_an_unknown_option_of_a_codec_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodecError, match="codec softcast has no option 'gain'; it has none"):
        load_codec("softcast", gain=2.0)
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CodecError, match="codec sharpening has no option 'weight'; it has gain"):
        load_codec("sharpening", weight=1)
    assert encode_picture(load_codec("sharpening", gain=2.0), X, EncodeOptions()).side_info.endswith(b" 2.0")


def test_an_error_of_the_record_is_one_of_configuration() -> None:
    with pytest.raises(ConfigError):
        EncodeOptions(refine_steps=-1)
