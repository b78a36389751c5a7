# SPDX-License-Identifier: GPL-3.0-or-later
"""hevc-ldpc: the link carries exactly what it says, the still fits its bytes, and all or nothing is all or nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.framing.budget import budget
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.hevc_ldpc.codec import HevcLdpc
from gened.models.codecs.hevc_ldpc.digital_link import SCHEMES, Scheme, choose_scheme, receive, transmit
from gened.models.codecs.hevc_ldpc.still import Still, compress, decompress

RATE = Fraction(1, 24)
SIZE = ImageSize(128, 144)


def pixels(size: ImageSize = SIZE) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((size.width, size.height), Image.Resampling.BICUBIC))


def picture(size: ImageSize = SIZE) -> np.ndarray:
    return np.ascontiguousarray(pixels(size).transpose(2, 0, 1), np.float32) / np.float32(255)


def received(encoded: Encoded, snr_db: float, *, seed: int = 1) -> Received:
    symbols, noise_var = apply_symbols(encoded.symbols, ChannelConfig(snr_db=snr_db), np.random.default_rng(seed))
    return Received(symbols, noise_var, encoded.side_info, SIZE, RATE, snr_db)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme.bits_per_symbol}x{scheme.effective_rate:.2f}")
def test_a_scheme_carries_bytes_in_the_symbols_it_says(scheme: Scheme) -> None:
    for n_bytes in (1, 40, 333):
        payload = np.random.default_rng(n_bytes).bytes(n_bytes)
        symbols = transmit(payload, scheme)
        assert len(symbols) == scheme.n_symbols(n_bytes)
        assert receive(symbols, np.full(len(symbols), 1e-3), n_bytes, scheme) == payload
        assert receive(np.zeros_like(symbols), np.full(len(symbols), np.inf), n_bytes, scheme) is None


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme.bits_per_symbol}x{scheme.effective_rate:.2f}")
def test_capacity_is_the_most_that_fits(scheme: Scheme) -> None:
    for n_symbols in (128, 700, 8192):
        n_bytes = scheme.capacity(n_symbols)
        assert n_bytes == 0 or scheme.n_symbols(n_bytes) <= n_symbols
        assert scheme.n_symbols(n_bytes + 8) > n_symbols - 96 or n_bytes == 0


def test_schemes_get_faster_with_the_snr_and_dearer_in_order() -> None:
    capacities = [SCHEMES[choose_scheme(8192, snr_db)].capacity(8192) for snr_db in np.arange(-8, 20, 1.0)]
    assert np.all(np.diff(capacities) >= 0)
    assert capacities[-1] > 20 * capacities[0]
    assert all(scheme.snr_db_1e3 > scheme.snr_db_1e2 for scheme in SCHEMES)


@pytest.mark.parametrize("index", [2, 4, 7, 10, 13])
def test_a_scheme_holds_where_its_threshold_says_and_not_far_below(index: int) -> None:
    """The thresholds are those of this decoder: a change of it that costs a decibel shows here."""
    scheme = SCHEMES[index]
    n_bytes = 400
    threshold_db, payload = scheme.required_snr_db(n_bytes), np.random.default_rng(0).bytes(n_bytes)
    lost = {}
    for offset_db in (0.1, -2.0):
        lost[offset_db] = 0
        for seed in range(20):
            channel = ChannelConfig(snr_db=threshold_db + offset_db)
            symbols, noise_var = apply_symbols(transmit(payload, scheme), channel, np.random.default_rng(seed))
            lost[offset_db] += receive(symbols, noise_var, n_bytes, scheme) != payload
    assert lost[0.1] <= 1
    assert lost[-2.0] >= 15


@pytest.mark.parametrize("n_bytes", [300, 1200])
def test_a_still_fits_and_is_hardly_smaller_than_it_may_be(n_bytes: int) -> None:
    still = compress(pixels(), n_bytes)
    assert still is not None
    assert 0.8 * n_bytes < len(still.data) <= n_bytes


@pytest.mark.parametrize("size", [ImageSize(64, 64), ImageSize(65, 99), ImageSize(131, 70)], ids=str)
def test_a_still_of_any_size_comes_back(size: ImageSize) -> None:
    original = pixels(size)
    still = compress(original, 1500)
    assert still is not None
    for trailing in (b"", b"\0" * 50):  # the link fills up with zeros
        restored = decompress(Still(still.data + trailing, still.scale_code), *size)
        assert restored is not None
        assert restored.shape == original.shape
        assert np.mean((restored.astype(float) - original) ** 2) < 200


def test_the_smallest_budgets_send_a_reduced_picture_or_none() -> None:
    still = compress(pixels(), 60)
    assert still is not None
    assert still.scale_code > 0
    assert compress(pixels(), 5) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_make_the_picture_decoder_raise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    still = compress(pixels(ImageSize(64, 64)), 300)
    assert still is not None
    damaged = bytearray(still.data)
    for place in rng.integers(0, len(damaged), 10):
        damaged[place] = int(rng.integers(256))
    for content in (bytes(damaged), rng.bytes(100), b"", b"\x20", still.data[:30]):
        restored = decompress(Still(content, 0), 64, 64)
        assert restored is None or restored.shape == (64, 64, 3)


def test_below_its_snr_the_picture_is_lost_and_says_so() -> None:
    codec = HevcLdpc()
    encoded = codec.encode(picture(), rate=RATE, snr_db=10.0)
    whole = codec.decode(received(encoded, 10.5))
    assert not whole.is_lost
    assert np.mean((whole.x_hat - picture()) ** 2) < 0.005
    lost = codec.decode(received(encoded, 5.0))
    assert lost.is_lost
    assert np.all(lost.x_hat == 0.5)


def test_one_byte_tells_the_scheme_and_costs_nothing() -> None:
    for snr_db in (1.0, 4.0, 16.0):
        encoded = HevcLdpc().encode(picture(), rate=RATE, snr_db=snr_db)
        assert len(encoded.side_info) == 1
        assert 0.9 * budget(SIZE, RATE, snr_db).symbols < len(encoded.symbols) <= budget(SIZE, RATE, snr_db).symbols


def test_every_side_byte_is_parsed() -> None:
    codec = HevcLdpc()
    sent = received(codec.encode(picture(), rate=RATE, snr_db=10.0), 20.0)
    for value in range(256):
        if bytes([value]) != sent.side_info:
            decoded = codec.decode(replace(sent, side_info=bytes([value])))
            assert decoded.x_hat.shape == (3, *SIZE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.ones(tuple(SIZE), np.float32)}, "takes no mask"),
        ({"refine_steps": 1}, "no refinement"),
        ({"rate": Fraction(3, 4)}, "rates up to 1/2"),
    ],
)
def test_what_it_cannot_do_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        HevcLdpc().encode(picture(), **({"rate": RATE, "snr_db": 7.0} | options))  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="no weights"):
        HevcLdpc("somewhere")


def test_a_picture_that_x265_does_not_encode_is_one_line() -> None:
    x = np.full((3, 1, 300), 0.5, np.float32)
    with pytest.raises(CodecError, match="hevc-ldpc cannot encode 300x1 pixels"):
        HevcLdpc().encode(x, rate=RATE, snr_db=10.0)
