# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that hold after each encoding and decoding, on every path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data
from unfair_codecs import FairCodec, GreedyCodec, LoudCodec, TransposedCodec

from gened.errors import CodecError
from gened.gr_blocks.phy.coding.modulation import modulate
from gened.gr_blocks.phy.framing.budget import budget, side_symbols
from gened.gr_blocks.phy.types import ComplexArray, Encoded, ImageSize, Received
from gened.models.codecs.base import Codec, Decoded, decode_batch, decode_picture, encode_batch, encode_picture
from gened.models.codecs.contract import check_decoded, check_encoded, power_tolerance
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.registry import BUILT_IN, load_codec
from gened.models.evaluation.run.evaluate import evaluate
from gened.models.evaluation.run.measure import Over

SIZE = ImageSize(64, 96)
RATE = Fraction(1, 24)
RNG = np.random.default_rng(5)


def gaussian(n: int, power: float = 1.0) -> ComplexArray:
    """[n] complex Gaussian symbols of exactly this mean power."""
    found = RNG.standard_normal(n) + 1j * RNG.standard_normal(n)
    return np.asarray(found * np.sqrt(power / np.mean(np.abs(found) ** 2)), np.complex64)


def check(encoded: Any, *, size: ImageSize = SIZE, snr_db: float = 10.0) -> Encoded:
    return check_encoded(encoded, codec="mine", size=size, rate=RATE, snr_db=snr_db, picture="cat.png")


# Symbols and side information


@pytest.mark.parametrize("power", [0.991, 1.0, 1.009])
def test_a_power_within_one_per_cent_is_accepted(power: float) -> None:
    encoded = Encoded(gaussian(700, power), b"\x01")
    assert check(encoded) is encoded


@pytest.mark.parametrize(("power", "decibels"), [(0.985, "-0.07"), (1.015, r"\+0.06"), (100, r"\+20.00")])
def test_a_power_beyond_is_refused_with_codec_picture_and_decibels(power: float, decibels: str) -> None:
    with pytest.raises(CodecError, match=rf"^codec mine, cat\.png: the mean power .* is {power:g} \({decibels} dB\)"):
        check(Encoded(gaussian(700, power)))


def test_no_symbols_at_all_have_no_power_to_check() -> None:
    check(Encoded(np.zeros(0, np.complex64), b"\0"))
    check(Encoded(np.zeros(0, np.complex64), b""), size=ImageSize(1, 1))
    check(Encoded(np.zeros(0, np.complex64), b"words" * 10))
    with pytest.raises(CodecError, match="is 0, not 1"):
        check(Encoded(np.zeros(8, np.complex64)))


@pytest.mark.parametrize("bits_per_symbol", [1, 2, 4, 6])
def test_a_frame_of_a_constellation_may_deviate_by_chance_but_not_by_a_factor(bits_per_symbol: int) -> None:
    for n in (12, 100, 768):
        for seed in range(50):
            bits = np.random.default_rng(seed).integers(0, 2, n * bits_per_symbol, dtype=np.uint8)
            check(Encoded(modulate(bits, bits_per_symbol)))
    louder = (1.13 * modulate(bits, bits_per_symbol)).astype(np.complex64)  # +1.06 dB
    with pytest.raises(CodecError, match="mean power"):
        check(Encoded(louder))


def test_analogue_symbols_get_no_allowance_however_few_they_are() -> None:
    for n in (1, 2, 5, 30, 300):
        with pytest.raises(CodecError, match="mean power"):
            check(Encoded(gaussian(n, 1.02)))
    assert power_tolerance(gaussian(30)) == 0.01


def test_the_power_of_a_large_frame_is_summed_in_double_precision() -> None:
    n = 1 << 22
    check(Encoded(np.full(n, np.exp(0.3j), np.complex64)), size=ImageSize(8192, 8192 // 2))


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (("symbols", b""), "encode returned a tuple, not Encoded"),
        (Encoded(np.ones(8)), r"the symbols are \[8\] of float64, not a vector of complex64"),
        (Encoded(np.ones((2, 4), np.complex64)), r"\[2, 4\] of complex64"),
        (Encoded([1 + 0j]), "the symbols are a list"),
        (Encoded(np.array([1, np.nan, np.inf, 1], np.complex64)), "2 of 4 symbols are not finite"),
        (Encoded(np.ones(8, np.complex64), "text"), "the side information is a str, not bytes"),
        (Encoded(np.ones(8, np.complex64), b"", "qam-7"), "no mode 'qam-7' .* there are bpsk-1/2x2"),
        (Encoded(np.ones(8, np.complex64), bytes(65536)), "65536 bytes of side information; a frame carries 65535"),
    ],
    ids=range(8),
)
def test_what_no_frame_can_carry_is_refused_with_the_reason(encoded: Any, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        check(encoded)


@pytest.mark.parametrize("snr_db", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("n_bytes", [0, 1, 2, 12])
def test_a_frame_fills_its_budget_and_not_one_symbol_more(snr_db: float, n_bytes: int) -> None:
    allowed = budget(SIZE, RATE, snr_db)
    n = allowed.symbols - side_symbols(n_bytes, allowed.side_mode, allowed.n_bursts)
    check(Encoded(gaussian(n), bytes(n_bytes)), snr_db=snr_db)
    with pytest.raises(CodecError, match=rf"{n + 1} analogue .* rate 1/24 of 96x64 pixels allows {allowed.symbols}"):
        check(Encoded(gaussian(n + 1), bytes(n_bytes)), snr_db=snr_db)


def test_side_information_costs_what_its_own_mode_and_all_bursts_take() -> None:
    size = ImageSize(768, 512)  # three bursts
    allowed = budget(size, RATE, 10.0)
    assert allowed.n_bursts == 3
    for side_mode in ("bpsk-1/2x2", "16qam-1/2"):
        n = allowed.symbols - side_symbols(200, side_mode, allowed.n_bursts)
        check(Encoded(gaussian(n), bytes(200), side_mode), size=size)
        with pytest.raises(CodecError, match="allows"):
            check(Encoded(gaussian(n + 1), bytes(200), side_mode), size=size)


def test_side_information_beyond_the_budget_is_refused_without_symbols_too() -> None:
    with pytest.raises(CodecError, match="0 analogue and .* side symbols"):
        check(Encoded(np.zeros(0, np.complex64), bytes(500)))


# Pictures


@pytest.mark.parametrize(
    ("decoded", "reason"),
    [
        (None, "decode returned a NoneType, not Decoded"),
        (Decoded(np.zeros((64, 96, 3), np.float32)), r"\[64, 96, 3\] of float32 as the picture, not \[3, 64, 96\]"),
        (Decoded(np.zeros((3, 64, 96))), "of float64 as the picture"),
        (Decoded(np.full((3, 64, 96), np.nan, np.float32)), "from nan to nan"),
        (Decoded(np.full((3, 64, 96), 1.5, np.float32)), "from 1.5 to 1.5, not within 0 to 1"),
        (Decoded(np.zeros((3, 64, 96), np.float32), np.zeros((8, 8), np.float32)), r"\[8, 8\] of float32 as mask"),
        (
            Decoded(np.zeros((3, 64, 96), np.float32), None, np.full((64, 96), -1, np.float32)),
            "a confidence with values from -1",
        ),
    ],
    ids=range(7),
)
def test_what_is_no_picture_is_refused_with_codec_and_picture(decoded: Any, reason: str) -> None:
    with pytest.raises(CodecError, match=rf"^codec mine, cat\.png: .*{reason}"):
        check_decoded(decoded, codec="mine", size=SIZE, picture="cat.png")


# Every path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).resize((96, 64)).save(folder / f"{name}.png")
    return folder


UNFAIR: list[tuple[Callable[[], Codec], str]] = [
    (LoudCodec, "codec loud, coffee.png: the mean power of the symbols is 100 (+20.00 dB), not 1 within 1%"),
    (GreedyCodec, "rate 1/24 of 96x64 pixels allows 768"),
    (TransposedCodec, "codec transposed, coffee.png: decode returned [64, 96, 3]"),
]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("over", ["channel", "loopback"])
@pytest.mark.parametrize(("make", "line"), UNFAIR, ids=["power", "budget", "shape"])
def test_no_evaluation_lists_an_unfair_codec(
    pictures: Path, make: Callable[[], Codec], line: str, over: Over, batch: int
) -> None:
    with pytest.raises(CodecError, match=re.escape(line)):
        evaluate(make(), pictures, snrs_db=[10.0], over=over, batch=batch, metrics=("psnr",))


def test_a_fair_codec_of_another_package_is_listed(pictures: Path) -> None:
    assert evaluate(FairCodec(), pictures, snrs_db=[10.0], batch=2, metrics=("psnr",))[0]["psnr_db"] > 15


class Batches(FairCodec):
    """Has batches of its own, and forgets the last picture, or doubles the power in batches alone."""

    forgets = True

    def encode_batch(self, x: Any, *, rate: Fraction, snr_db: float) -> list[Encoded]:
        found = [self.encode(one, rate=rate, snr_db=snr_db) for one in x]
        return found[:-1] if self.forgets else [replace(one, symbols=one.symbols * np.float32(1.2)) for one in found]

    def decode_batch(self, received: Any) -> list[Decoded]:
        return [self.decode(one) for one in received][:-1]


def test_batches_of_a_codec_are_checked_like_single_pictures() -> None:
    codec, x = Batches(), np.full((2, 3, *SIZE), 0.5, np.float32)
    with pytest.raises(CodecError, match="encode_batch returned 1 results for 2 pictures"):
        encode_batch(codec, x, EncodeOptions())
    codec.forgets = False
    with pytest.raises(CodecError, match=r"codec fair, b\.png: the mean power"):
        encode_batch(codec, x[1:], EncodeOptions(), names=["b.png"])
    symbols = gaussian(768)
    received = Received(symbols, np.ones(768, np.float32), b"\1", SIZE, RATE, 10.0)
    with pytest.raises(CodecError, match="decode_batch returned 0 pictures for 1 frames"):
        decode_batch(codec, [received])
    with pytest.raises(CodecError, match=r"codec transposed, a\.png: decode returned"):
        decode_picture(TransposedCodec(), received, name="a.png")


# Our own codecs


@pytest.fixture(scope="module", params=sorted(BUILT_IN))
def codec(request: pytest.FixtureRequest) -> Codec:
    return load_codec(request.param)


@pytest.mark.parametrize("snr_db", [-8.0, 10.0, 23.5])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 8), (17, 33), (63, 100)], ids=str)
def test_our_codecs_keep_the_rules_at_every_size_rate_and_snr(
    codec: Codec, size: tuple[int, int], snr_db: float
) -> None:
    rates = ("1/24",) if codec.name == "deepjscc" else ("1/96", "1/24", "1/12")
    whole = np.asarray(data.astronaut(), np.float32).transpose(2, 0, 1)[:, : size[0], : size[1]] / 255
    for rate in rates:
        for x in (whole, np.full_like(whole, 0.3)):
            options = EncodeOptions(rate=Fraction(rate), snr_db=snr_db, seed=1)
            encoded = encode_picture(codec, x, options, name=f"{size} at {rate}")
            clean = Received(
                encoded.symbols, np.full(len(encoded.symbols), 1e-3, np.float32), encoded.side_info,
                ImageSize(*size), options.rate, snr_db,
            )  # fmt: skip
            decode_picture(codec, clean)
