# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever comes off the air: any bytes, lengths and floats, in any order. No exception, no unbounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gened.bench.fuzz import MAX_BUFFERED, check_frame
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.modes import MODES, digital_decode, digital_encode, n_symbols
from gened.gr_blocks.phy.framing import assembly
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, frame_symbols
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.framing.header import (
    HEADER_BYTES,
    MAX_BURST_ELEMENTS,
    VERSIONS,
    Header,
    HeaderFault,
    decode_header_or_fault,
    encode_header,
)
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import MAX_TEXT_BYTES, Records, pack_records, unpack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize

any_float = st.sampled_from([0.0, -1.0, 1.0, np.nan, np.inf, -np.inf, 1e-30, 1e30, 3e38, -3e38]) | st.floats(width=32)
any_complex = st.builds(complex, any_float, any_float)


def scattered(values: np.ndarray, where: list[int], what: list[complex]) -> np.ndarray:
    """A copy with some of its entries replaced."""
    result = values.copy()
    with np.errstate(all="ignore"):
        for index, value in zip(where, what, strict=False):
            if len(result):
                result[index % len(result)] = value
    return result


# Header


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_that_packs_to_them_or_a_fault(data: bytes) -> None:
    found = Header.parse(data)
    if isinstance(found, HeaderFault):
        assert Header.unpack(data) is None
        assert found is not HeaderFault.VERSION or data[0] >> 4 not in VERSIONS
        return
    assert len(data) == HEADER_BYTES
    assert Header.parse(found.pack()) == found  # a fraction that can be reduced comes back reduced


@st.composite
def possible_headers(draw: Callable[[Any], Any]) -> Header:
    """Any fields; what is beyond the bounds is what `parse` is to refuse."""
    fields = {
        "session": 16, "frame": 16, "burst": 8, "codec_id": 32, "n_symbols": 23, "side_len": 16, "text_len": 11,
        "side_byte": 8,
    }  # fmt: skip
    values = {name: draw(st.integers(0, 2 ** draw(st.integers(0, n)) - 1)) for name, n in fields.items()}
    side = st.integers(1, 4096)
    return Header(
        **values, n_bursts=draw(st.integers(1, 256)), size=ImageSize(draw(side), draw(side)),
        rate=Fraction(draw(st.integers(1, 8)), draw(st.integers(1, 512))), snr_design_db=draw(st.integers(-16, 47)) / 2,
        side_mode=draw(st.sampled_from(sorted(MODES))), text_mode=draw(st.sampled_from(sorted(MODES))),
    )  # fmt: skip


@given(possible_headers())
@settings(max_examples=200)
def test_a_header_comes_back_or_is_beyond_what_a_receiver_allocates(header: Header) -> None:
    """From 24 bytes to the number of cells, nothing is allocated that the bounds do not cover."""
    found = Header.parse(header.pack())
    is_possible = (
        header.burst < header.n_bursts
        and header.n_symbols <= min(header.n_bursts * MAX_BURST_SYMBOLS, frame_symbols(header.size, header.rate))
        and header.n_elements <= MAX_BURST_ELEMENTS
    )
    assert found == (header if is_possible else HeaderFault.CONTENT)
    if isinstance(found, Header):
        assert 0 <= found.n_elements <= MAX_BURST_ELEMENTS
        assert found.n_side + found.n_text + found.n_analog == found.n_elements
        assert 0 <= found.first_symbol <= found.first_symbol + found.n_analog <= found.n_symbols


def test_reading_any_header_allocates_next_to_nothing() -> None:
    rng = np.random.default_rng(1)
    blocks = [bytes([VERSIONS[-1] << 4 | int(rng.integers(16))]) + rng.bytes(HEADER_BYTES - 1) for _ in range(200)]
    blocks += [bytes([VERSIONS[-1] << 4 | 15]) + b"\xff" * (HEADER_BYTES - 1)]
    for data in blocks:
        Header.parse(data)  # tables that are made once
    tracemalloc.start()
    for data in blocks:
        Header.parse(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18


N_ELEMENTS = WAVEFORM.n_header_elements
HEADER = plan_bursts(
    Frame(1, 2, 3, ImageSize(64, 64), Fraction(1, 24), 4.0, Encoded(np.ones(9, np.complex64), b"\1"), b"text")
)[0].header


@given(
    st.lists(st.integers(0, N_ELEMENTS - 1), max_size=8), st.lists(any_complex, max_size=8),
    st.lists(any_float, max_size=8), st.integers(0, 2 * N_ELEMENTS),
)  # fmt: skip
def test_any_cells_are_a_header_or_a_fault(
    where: list[int], cells: list[complex], variances: list[float], n: int
) -> None:
    sent = np.resize(encode_header(HEADER, N_ELEMENTS), n)
    symbols = scattered(sent, where, cells)
    noise_var = scattered(np.full(n, 0.1, np.float32), where[::-1], list(np.abs(variances)))
    found = decode_header_or_fault(symbols, noise_var)
    assert found == HEADER or isinstance(found, HeaderFault)


# Text and side information


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_records(packed: bytes) -> None:
    records, first_half = unpack_records(packed), unpack_records(packed[: len(packed) // 2])
    assert sum(len(value) + 3 for _, value in records.others) <= len(packed)
    assert records.others[: len(first_half.others)] == first_half.others  # what is cut off takes nothing else with it


@given(st.text(max_size=300), st.none() | st.text(max_size=30))
@settings(max_examples=100)
def test_any_text_comes_back(caption: str, station: str | None) -> None:
    """Surrogates alone are no text in UTF-8; all else is."""
    packed = pack_records(Records(caption=caption, station=station))
    assert len(packed) <= MAX_TEXT_BYTES
    found = unpack_records(packed)
    assert found.caption == caption.encode("utf-8", "replace").decode()
    assert found.station == (None if station is None else station.encode("utf-8", "replace").decode())


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 256), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_any_k_shares_are_the_whole_and_fewer_are_none(data: bytes, n_bursts: int, random: Any) -> None:
    sent = dict(enumerate(erasure_code.encode(data, n_bursts)))
    k, m, packet_len = erasure_code.plan(len(data), n_bursts)
    assert len(sent) == m and all(len(packet) == packet_len for packet in sent.values())
    chosen = random.sample(sorted(sent), k)
    assert erasure_code.decode({number: sent[number] for number in chosen}, len(data), n_bursts) == data
    assert erasure_code.decode({number: sent[number] for number in chosen[1:]}, len(data), n_bursts) is None


@given(
    st.sampled_from(sorted(MODES)), st.integers(1, 300), st.lists(st.integers(0, 10**6), max_size=12),
    st.lists(any_complex, max_size=12), st.lists(any_float, max_size=12), st.integers(-3, 3),
)  # fmt: skip
@settings(max_examples=60)
def test_any_symbols_decode_to_what_was_sent_or_to_nothing(
    name: str, n_bytes: int, where: list[int], cells: list[complex], variances: list[float], more: int
) -> None:
    payload = bytes(i * 7 % 256 for i in range(n_bytes))
    sent = digital_encode(payload, name)
    n = max(0, len(sent) + more)
    symbols = scattered(np.resize(sent, n), where, cells)
    noise_var = scattered(np.full(n, 0.01, np.float32), where[::-1], list(np.abs(variances)))
    found = digital_decode(symbols, noise_var, n_bytes, name)
    assert found in ((payload, None) if more == 0 else (None,))


@given(st.sampled_from(sorted(MODES)), st.integers(1, 60), st.lists(any_complex, min_size=1, max_size=9), any_float)
@settings(max_examples=60)
def test_symbols_of_any_value_decode_to_nothing(name: str, n_bytes: int, cells: list[complex], variance: float) -> None:
    n = n_symbols(n_bytes, name)
    with np.errstate(all="ignore"):
        symbols = np.resize(np.array(cells).astype(np.complex64), n)
    assert digital_decode(symbols, np.full(n, abs(variance), np.float32), n_bytes, name) is None


# Frames


@dataclass(frozen=True)
class Arrival:
    """One of the bursts of `SENDERS`, and what was done to it."""

    sender: int
    burst: int
    after_s: float
    where: list[int]
    values: list[complex]
    variances: list[float]
    n_more: int


arrivals = st.lists(
    st.builds(
        Arrival, sender=st.integers(0, 4), burst=st.integers(0, 6), after_s=st.floats(0, 3),
        where=st.lists(st.integers(0, 10**5), max_size=4), values=st.lists(any_complex, max_size=4),
        variances=st.lists(any_float, max_size=4), n_more=st.sampled_from([0, 0, 0, 0, -1, 1, -10**5]),
    ),
    max_size=30,
)  # fmt: skip


def _sender(n_bursts: int, number: int, session: int) -> list[ReceivedBurst]:
    size = {1: ImageSize(256, 256), 2: ImageSize(512, 512), 3: ImageSize(512, 640), 7: ImageSize(768, 1152)}[n_bursts]
    encoded = Encoded(np.exp(1j * np.arange(60 * n_bursts)).astype(np.complex64), bytes(range(150)))
    contents = plan_bursts(Frame(session, number, 1, size, Fraction(1, 24), 10.0, encoded, b"words " * 20, "qpsk-1/2"))
    return [
        ReceivedBurst(c.header, c.symbols, np.full(len(c.symbols), 0.01, np.float32), 20.0, n_samples=100)
        for c in contents
    ]


SENDERS = [_sender(1, 65535, 1), _sender(2, 0, 1), _sender(7, 1, 1), _sender(3, 1, 2), _sender(3, 0, 3)]
"""A sender whose counter wraps, another beside it, and one that began again under another session."""


@given(arrivals)
@settings(max_examples=60)
def test_any_bursts_in_any_order_give_consistent_frames(arriving: list[Arrival]) -> None:
    assembler, now_s, got, intact = FrameAssembler(timeout_s=1.0), 0.0, [], {}
    for one in arriving:
        now_s += one.after_s
        burst = SENDERS[one.sender][one.burst % len(SENDERS[one.sender])]
        n = max(0, len(burst.symbols) + one.n_more)
        symbols = scattered(np.resize(burst.symbols, n), one.where, one.values)
        noise_var = scattered(np.resize(burst.noise_var, n), one.where[::-1], list(np.abs(one.variances)))
        key = burst.header.session, burst.header.frame
        intact[key] = intact.get(key, True) and not one.where and one.n_more == 0
        got += assembler.push(replace(burst, symbols=symbols, noise_var=noise_var), now_s)
        assert assembler.n_open <= assembly.MAX_OPEN_FRAMES
    got += assembler.flush()
    keys = [(frame.session, frame.number) for frame in got]
    assert len(keys) == len(set(keys)) == assembler.stats.frames
    for frame, key in zip(got, keys, strict=True):
        check_frame(frame)
        if intact[key]:
            sent = np.exp(1j * np.arange(len(frame.received.symbols))).astype(np.complex64)
            there = np.isfinite(frame.received.noise_var)
            assert np.array_equal(frame.received.symbols[there], sent[there])
            assert frame.text in (b"words " * 20, None)


# Samples


STREAM = np.concatenate(
    [
        np.zeros(500, np.complex64),
        modulate_burst(
            plan_bursts(
                Frame(
                    5, 6, 1, ImageSize(64, 64), Fraction(1, 24), 4.0,
                    Encoded(np.exp(1j * np.arange(60)).astype(np.complex64), b"\1"), b"text", "qpsk-1/2",
                )
            )[0],
            reduces_papr=False,
        ),
        np.zeros(300, np.complex64),
    ]
)  # fmt: skip
STREAM = (STREAM + 0.05 * np.exp(1j * np.arange(len(STREAM)) ** 2)).astype(np.complex64)


@given(st.lists(st.integers(0, 4000), max_size=12), st.lists(st.integers(0, 10**5), max_size=6),
       st.lists(any_complex, max_size=6))  # fmt: skip
@settings(max_examples=40)
def test_any_chunks_of_any_floats_give_what_one_chunk_gives(
    chunks: list[int], where: list[int], values: list[complex]
) -> None:
    stream = scattered(STREAM, where, values)
    whole, pieces = BurstDetector(), BurstDetector()
    expected = whole.push(stream) + whole.flush()
    found, at = [], 0
    for n in [*chunks, len(stream)]:
        found += pieces.push(stream[at : at + n])
        at += n
        assert len(pieces._buffer) <= MAX_BUFFERED
    found += pieces.flush()
    assert [(c.start, c.header) for c in found] == [(c.start, c.header) for c in expected]
    assert all(np.isfinite(c.samples).all() for c in found)
    if not where:
        assert [c.header.frame for c in found] == [6]


@pytest.mark.parametrize("kind", [np.complex64, np.complex128, np.float32, np.int16])
def test_samples_of_other_types_and_empty_chunks_are_taken(kind: type) -> None:
    detector = BurstDetector()
    for n in (0, 0, 100, 0, 5000):
        assert detector.push(np.zeros(n, kind)) == []
    assert detector.flush() == []
