# SPDX-License-Identifier: GPL-3.0-or-later
"""The header: its frozen layout, its code's strength, and no harm from any 24 bytes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gened.errors import ConfigError, FrameError
from gened.gr_blocks.phy.coding.modes import MODES
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, frame_symbols
from gened.gr_blocks.phy.framing.header import (
    HEADER_BYTES,
    MAX_BURST_ELEMENTS,
    VERSION,
    VERSIONS,
    Header,
    HeaderFault,
    decode_header,
    decode_header_or_fault,
    encode_header,
    quantize_snr_db,
)
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ImageSize

HEADER = Header(
    session=0xABCD, frame=0x1234, burst=1, n_bursts=3, codec_id=0xDEADBEEF, size=ImageSize(512, 768),
    rate=Fraction(1, 24), snr_design_db=4.0, side_mode="bpsk-1/2", text_mode="qpsk-1/2", n_symbols=49000, side_len=77,
    text_len=60, side_byte=9,
)  # fmt: skip
N_ELEMENTS = int((~WAVEFORM.pilot_mask(WAVEFORM.n_header_symbols)).sum())


def from_fields(*fields: tuple[int, int]) -> bytes:
    """Fields of (value, bits), most significant first."""
    text = "".join(format(value, f"0{n_bits}b") for value, n_bits in fields)
    return int(text, 2).to_bytes(len(text) // 8, "big")


@st.composite
def headers(draw) -> Header:
    """Headers that a sender could send."""
    size = ImageSize(draw(st.integers(64, 4096)), draw(st.integers(64, 4096)))
    rate = Fraction(1, draw(st.integers(12, 96)))
    n_bursts = max(1, -(-frame_symbols(size, rate) // MAX_BURST_SYMBOLS))
    header = Header(
        session=draw(st.integers(0, 65535)), frame=draw(st.integers(0, 65535)),
        burst=draw(st.integers(0, n_bursts - 1)),
        n_bursts=n_bursts, codec_id=draw(st.integers(0, 2**32 - 1)), size=size, rate=rate,
        snr_design_db=draw(st.integers(-16, 47)) / 2, side_mode=draw(st.sampled_from(list(MODES))),
        text_mode=draw(st.sampled_from(list(MODES))), n_symbols=draw(st.integers(0, frame_symbols(size, rate))),
        side_len=draw(st.integers(0, 500)), text_len=draw(st.integers(0, 2047)), side_byte=draw(st.integers(0, 255)),
        version=draw(st.sampled_from(VERSIONS)),
    )  # fmt: skip
    return header if header.n_elements <= MAX_BURST_ELEMENTS else replace(header, n_symbols=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_layout_is_that_of_the_frozen_wire(version: int) -> None:
    assert replace(HEADER, version=version).pack() == from_fields(
        (version, 4), (0xABCD, 16), (0x1234, 16), (1, 8), (2, 8), (0xDEADBEEF, 32), (511, 12), (767, 12), (0, 3),
        (23, 9), (24, 6), (1, 4), (2, 4), (49000, 23), (77, 16), (60, 11), (9, 8),
    )  # fmt: skip
    assert len(HEADER.pack()) == HEADER_BYTES == 24


def test_a_sender_announces_the_newest_version() -> None:
    assert HEADER.version == VERSION == max(VERSIONS) == 2


@given(headers())
@settings(max_examples=200, deadline=None)
def test_what_is_packed_comes_back(header: Header) -> None:
    assert Header.unpack(header.pack()) == header


@given(st.binary(min_size=23, max_size=24).map(lambda b: bytes([(b[0] & 0x10) + 0x10 | b[0] & 15]) + b[1:]))
@settings(max_examples=500, deadline=None)
def test_random_bytes_give_a_bounded_header_or_none(data: bytes) -> None:
    header = Header.unpack(data)
    if header is not None:
        assert header.pack() == data or header.rate.denominator < 512  # an unreduced fraction comes back reduced
        assert header.burst < header.n_bursts <= 256
        assert header.n_elements <= MAX_BURST_ELEMENTS
        assert 0 <= header.n_analog <= MAX_BURST_SYMBOLS
        assert header.n_symbols <= frame_symbols(header.size, header.rate)


@pytest.mark.parametrize("version", [0, 3, 15])
def test_other_versions_are_told_apart_from_noise(version: int) -> None:
    data = bytes([version << 4 | HEADER.pack()[0] & 15]) + HEADER.pack()[1:]
    assert Header.unpack(data) is None
    assert Header.parse(data) is HeaderFault.VERSION


@pytest.mark.parametrize(
    "forged",
    [
        replace(HEADER, burst=3),
        replace(HEADER, n_symbols=frame_symbols(HEADER.size, HEADER.rate) + 1),
        replace(HEADER, size=ImageSize(4096, 4096), n_symbols=3 * MAX_BURST_SYMBOLS + 1),
        replace(HEADER, n_bursts=1, burst=0, n_symbols=0, side_len=65535),
    ],
)
def test_impossible_content_is_refused(forged: Header) -> None:
    assert Header.parse(forged.pack()) is HeaderFault.CONTENT


@pytest.mark.parametrize("length", [0, 23, 25])
def test_other_lengths_are_refused(length: int) -> None:
    assert Header.unpack(bytes(length)) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"size": ImageSize(4097, 64)}, "height_minus_1"),
        ({"size": ImageSize(0, 64)}, "height_minus_1"),
        ({"rate": Fraction(1, 513)}, "denominator_minus_1"),
        ({"rate": Fraction(9, 10)}, "numerator_minus_1"),
        ({"text_len": 2048}, "text_len"),
        ({"session": 65536}, "session"),
    ],
)
def test_fields_that_do_not_fit_are_named(changes: dict, field: str) -> None:
    with pytest.raises(FrameError, match=field):
        replace(HEADER, **changes).pack()


def test_unknown_mode_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="qpsk-1/2"):
        replace(HEADER, text_mode="64qam").pack()


@pytest.mark.parametrize("n_bursts", [1, 2, 3, 7, 256])
@pytest.mark.parametrize("n_symbols", [0, 1, 8192, 49153])
def test_bursts_share_the_symbols_without_gap_or_overlap(n_bursts: int, n_symbols: int) -> None:
    bursts = [replace(HEADER, burst=i, n_bursts=n_bursts, n_symbols=n_symbols) for i in range(n_bursts)]
    ends = [b.first_symbol + b.n_analog for b in bursts]
    assert [b.first_symbol for b in bursts] == [0, *ends[:-1]]
    assert ends[-1] == n_symbols
    assert max(b.n_analog for b in bursts) - min(b.n_analog for b in bursts) <= 1


@pytest.mark.parametrize("n_elements", [252, N_ELEMENTS, 1000])
def test_cells_bring_the_header_back(n_elements: int) -> None:
    cells = encode_header(HEADER, n_elements)
    assert len(cells) == n_elements
    assert np.allclose(np.abs(cells), 1, atol=1e-6)
    assert decode_header(cells, np.full(n_elements, 0.1)) == HEADER


def test_header_holds_a_decibel_below_the_weakest_link() -> None:
    """The link is to work from 0 dB; FER 1e-3 is at about -1.5 dB in white noise."""
    rng = np.random.default_rng(0)
    noise_var = 10**0.1
    n_ok = 0
    for number in range(100):
        header = replace(HEADER, frame=number)
        noise = np.sqrt(noise_var / 2) * (rng.standard_normal(N_ELEMENTS) + 1j * rng.standard_normal(N_ELEMENTS))
        cells = (encode_header(header, N_ELEMENTS) + noise).astype(np.complex64)
        n_ok += decode_header(cells, np.full(N_ELEMENTS, noise_var)) == header
    assert n_ok >= 99


def test_noise_zeros_and_broken_cells_give_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        noise = (rng.standard_normal(N_ELEMENTS) + 1j * rng.standard_normal(N_ELEMENTS)).astype(np.complex64)
        assert decode_header_or_fault(noise, np.ones(N_ELEMENTS)) is HeaderFault.CHECKSUM
    assert decode_header(np.zeros(N_ELEMENTS, np.complex64), np.ones(N_ELEMENTS)) is None
    assert decode_header(np.full(N_ELEMENTS, np.nan, np.complex64), np.full(N_ELEMENTS, np.nan)) is None
    assert decode_header(np.ones(251, np.complex64), np.ones(251)) is None
    assert decode_header(np.zeros(0, np.complex64), np.zeros(0)) is None


def test_a_symbol_lost_of_three_is_survived() -> None:
    cells, noise_var = encode_header(HEADER, N_ELEMENTS), np.full(N_ELEMENTS, 0.1)
    noise_var[200:390] = np.inf
    assert decode_header(cells, noise_var) == HEADER


def test_design_snr_is_told_in_half_decibels_within_its_range() -> None:
    assert [quantize_snr_db(v) for v in (-20, -8, 0.2, 0.3, 4.0, 7.26, 23.5, 99)] == [
        -8,
        -8,
        0,
        0.5,
        4,
        7.5,
        23.5,
        23.5,
    ]


def test_equal_bytes_are_parsed_once() -> None:
    data = HEADER.pack()
    assert Header.parse(data) is Header.parse(bytes(bytearray(data)))
