# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to bursts and back: exact without noise, and sensible with whatever is lost, doubled, mixed or forged."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gened.errors import ConfigError, FrameError
from gened.gr_blocks.phy.coding.erasure_code import plan
from gened.gr_blocks.phy.framing import assembly
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, analog_budget
from gened.gr_blocks.phy.framing.burst import BurstContent, ReceivedBurst
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.framing.planning import MAX_MAGNITUDE, is_sendable, plan_bursts
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, ReceivedFrame

SIZES = {1: ImageSize(256, 256), 2: ImageSize(512, 512), 3: ImageSize(512, 640), 7: ImageSize(768, 1152)}
"""Pictures that travel in so many bursts at rate 1/24."""
RATE = Fraction(1, 24)


def make_frame(
    n_bursts: int = 1,
    number: int = 5,
    session: int = 77,
    side: bytes = b"\x2a",
    text: bytes = b"a caption",
    k: int | None = None,
) -> Frame:
    """A frame of Gaussian symbols; `k` None means as many as the budget has left."""
    rng = np.random.default_rng([n_bursts, number, session])
    size = SIZES[n_bursts]
    n = analog_budget(size, RATE, 10.0, len(side)) if k is None else k
    symbols = (rng.standard_normal(n) + 1j * rng.standard_normal(n)).astype(np.complex64) / np.float32(np.sqrt(2))
    return Frame(session, number, 0xC0DEC0DE, size, RATE, 10.0, Encoded(symbols, side), text, "qpsk-1/2")


def receive(content: BurstContent, noise_var: float = 0.01) -> ReceivedBurst:
    """A burst as it arrives over a perfect channel."""
    n = len(content.symbols)
    return ReceivedBurst(
        content.header, content.symbols, np.full(n, noise_var, np.float32), snr_est_db=20.0, cfo_norm=0.001, n_samples=n
    )


def through(frame: Frame, lost: tuple[int, ...] = ()) -> list[ReceivedFrame]:
    """All bursts but the lost ones, then flushed."""
    assembler = FrameAssembler()
    frames = []
    for index, content in enumerate(plan_bursts(frame)):
        if index not in lost:
            frames += assembler.push(receive(content))
    return frames + assembler.flush()


@pytest.mark.parametrize("n_bursts", SIZES)
@pytest.mark.parametrize("side", [b"", b"\x2a", bytes(range(200))])
@pytest.mark.parametrize("text", [b"", b"a caption", bytes(range(256)) * 3])
def test_bursts_and_assembler_are_exact_inverses(n_bursts: int, side: bytes, text: bytes) -> None:
    frame = make_frame(n_bursts, side=side, text=text)
    contents = plan_bursts(frame)
    assert len(contents) == n_bursts
    assert all(len(c.symbols) == c.header.n_elements and c.symbols.dtype == np.complex64 for c in contents)
    (got,) = through(frame)
    assert np.array_equal(got.received.symbols, frame.encoded.symbols)
    assert np.all(got.received.noise_var == np.float32(0.01))
    assert (got.received.side_info, got.text, got.has_text) == (side, text, bool(text))
    assert (got.session, got.number, got.codec_id) == (77, 5, 0xC0DEC0DE)
    assert (got.received.size, got.received.rate, got.received.snr_design_db) == (frame.size, RATE, 10.0)
    assert (got.n_bursts, got.n_bursts_received, got.erased_fraction) == (n_bursts, n_bursts, 0.0)
    n_analog = len(frame.encoded.symbols)
    assert sum(len(c.symbols) for c in contents) == n_analog + got.side_symbols + got.text_symbols
    assert n_analog + got.side_symbols <= 3 * frame.size.height * frame.size.width * RATE


@pytest.mark.parametrize(
    ("n_bursts", "lost"), [(2, (1,)), (3, (0,)), (3, (1, 2)), (7, (0, 6)), (7, (2, 3)), (7, (0, 1, 2, 3))]
)
def test_lost_bursts_erase_their_symbols_spread_over_the_picture(n_bursts: int, lost: tuple[int, ...]) -> None:
    frame = make_frame(n_bursts)
    (got,) = through(frame, lost)
    erased = ~np.isfinite(got.received.noise_var)
    assert np.all(got.received.symbols[erased] == 0)
    assert np.array_equal(got.received.symbols[~erased], frame.encoded.symbols[~erased])
    assert got.erased_fraction == pytest.approx(len(lost) / n_bursts, abs=1e-3)
    per_region = erased[: len(erased) // 16 * 16].reshape(16, -1).mean(1)
    assert np.all(np.abs(per_region - len(lost) / n_bursts) < 0.1)
    assert got.n_bursts_received == n_bursts - len(lost)


@pytest.mark.parametrize("n_bursts", [2, 3, 7])
@pytest.mark.parametrize("length", [9, 100, 333])
def test_text_and_side_survive_every_loss_that_leaves_k_packets(n_bursts: int, length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    frame = make_frame(n_bursts, side=data, text=data[::-1])
    k, m, _ = plan(length, n_bursts)
    for first in range(n_bursts):
        lost = tuple((first + i) % n_bursts for i in range(m - k))
        (got,) = through(frame, lost)
        assert got.received.side_info == data
        assert got.text == data[::-1]
    if m - k + 1 == n_bursts:
        return
    (got,) = through(frame, tuple(range(m - k + 1)))
    assert got.received.side_info is None
    assert got.text is None
    assert got.has_text


def test_text_only_frame_is_legal() -> None:
    (got,) = through(make_frame(1, side=b"", text=b"words alone", k=0))
    assert len(got.received.symbols) == len(got.received.noise_var) == 0
    assert got.text == b"words alone"
    assert got.erased_fraction == 0


def test_wholly_empty_frame_is_legal() -> None:
    (content,) = plan_bursts(make_frame(1, side=b"", text=b"", k=0))
    assert len(content.symbols) == 0
    assert FrameAssembler().push(receive(content))[0].text == b""


def test_lost_symbols_within_a_burst_come_out_as_lost() -> None:
    frame = make_frame(1)
    burst = receive(plan_bursts(frame)[0])
    n_digital = burst.header.n_side + burst.header.n_text
    symbols, noise_var = burst.symbols.copy(), burst.noise_var.copy()
    symbols[n_digital : n_digital + 10] = np.nan
    noise_var[n_digital + 10 : n_digital + 20] = np.inf
    noise_var[n_digital + 20 : n_digital + 30] = np.nan
    (got,) = FrameAssembler().push(replace(burst, symbols=symbols, noise_var=noise_var))
    assert np.sum(np.isinf(got.received.noise_var)) == 30
    assert np.all(np.isfinite(got.received.symbols))


def test_order_of_arrival_does_not_matter() -> None:
    frame = make_frame(7, side=bytes(200))
    assembler = FrameAssembler()
    contents = plan_bursts(frame)
    frames = [got for i in (6, 2, 0, 4, 1, 5, 3) for got in assembler.push(receive(contents[i]))]
    assert len(frames) == 1
    assert np.array_equal(frames[0].received.symbols, frame.encoded.symbols)


def test_duplicates_are_counted_and_a_frame_comes_out_once() -> None:
    assembler = FrameAssembler()
    contents = [receive(c) for c in plan_bursts(make_frame(2))]
    frames = [got for i in (0, 0, 1, 1, 0) for got in assembler.push(contents[i])]
    assert len(frames) == 1
    assert frames[0].n_bursts_received == 2
    assert assembler.stats.duplicates == 3
    assert assembler.flush() == []


def test_a_worse_duplicate_does_not_replace_what_is_there() -> None:
    frame = make_frame(2)
    first, second = (receive(c) for c in plan_bursts(frame))
    assembler = FrameAssembler()
    assembler.push(first)
    assembler.push(replace(first, symbols=np.zeros_like(first.symbols)))
    (got,) = assembler.push(second)
    assert np.array_equal(got.received.symbols, frame.encoded.symbols)


def test_a_later_frame_of_the_session_closes_the_earlier_one() -> None:
    assembler = FrameAssembler()
    early, late = plan_bursts(make_frame(3, number=65535)), plan_bursts(make_frame(3, number=0))  # the counter wraps
    assert assembler.push(receive(early[0])) == []
    (got,) = assembler.push(receive(late[0]))
    assert (got.number, got.n_bursts_received) == (65535, 1)
    assert assembler.push(receive(early[1])) == []  # too late
    assert assembler.stats.duplicates == 1
    assert [g.number for i in (1, 2) for g in assembler.push(receive(late[i]))] == [0]


def test_senders_are_told_apart_and_a_restarted_one_is_another() -> None:
    assembler = FrameAssembler()
    frames = [make_frame(2, number=0, session=session) for session in (1, 2)]
    (a0, a1), (b0, b1) = ([receive(c) for c in plan_bursts(frame)] for frame in frames)
    got = [g for burst in (a0, b0, b1, a1) for g in assembler.push(burst)]
    assert [g.session for g in got] == [2, 1]
    for g, frame in zip(got, reversed(frames), strict=True):
        assert np.array_equal(g.received.symbols, frame.encoded.symbols)


def test_a_frame_waits_for_its_next_burst_and_no_longer() -> None:
    """The wait begins anew with each burst: a frame of a hundred bursts lasts longer than any sensible limit."""
    assembler = FrameAssembler(timeout_s=1.0)
    contents = [receive(c) for c in plan_bursts(make_frame(7))]
    for index in range(5):
        assert assembler.push(contents[index], now_s=0.9 * index) == []
    assert assembler.poll(4.5) == []
    (got,) = assembler.poll(4.7)
    assert got.n_bursts_received == 5
    assert assembler.poll(100.0) == []
    assert assembler.push(contents[5], now_s=5.0) == []
    assert assembler.stats.incomplete_frames == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_a_burst_whose_count_disagrees_with_its_header_is_dropped_and_counted(change: int) -> None:
    burst = receive(plan_bursts(make_frame(1))[0])
    n = len(burst.symbols) + change
    assembler = FrameAssembler()
    assert (
        assembler.push(replace(burst, symbols=np.resize(burst.symbols, n), noise_var=np.resize(burst.noise_var, n)))
        == []
    )
    assert assembler.push(replace(burst, noise_var=burst.noise_var[:-1])) == []
    assert assembler.stats.mismatched == 2
    assert len(assembler.push(burst)) == 1


def test_a_burst_that_contradicts_its_frame_is_dropped() -> None:
    first, second = plan_bursts(make_frame(2))
    assembler = FrameAssembler()
    assembler.push(receive(first))
    forged = replace(second, header=replace(second.header, codec_id=1))
    assert assembler.push(receive(forged)) == []
    assert assembler.stats.mismatched == 1
    assert len(assembler.push(receive(second))) == 1


def test_open_frames_and_what_they_hold_are_bounded() -> None:
    assembler = FrameAssembler()
    for session in range(40):
        assembler.push(receive(plan_bursts(make_frame(2, session=session))[0]))
    assert assembler.n_open == assembly.MAX_OPEN_FRAMES
    assert assembler.stats.discarded_frames == 40 - assembly.MAX_OPEN_FRAMES


def test_symbols_of_open_frames_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_OPEN_SYMBOLS", 3 * MAX_BURST_SYMBOLS)
    assembler = FrameAssembler()
    for session in range(4):
        assembler.push(receive(plan_bursts(make_frame(2, session=session))[0]))
    assert assembler.n_open == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.floats(0, 10)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_mixture_of_bursts_gives_each_frame_at_most_once(arrivals: list[tuple[int, int, float]]) -> None:
    bursts = MIXTURE
    assembler = FrameAssembler(timeout_s=1.0)
    got = [
        g for which, index, now_s in arrivals for g in assembler.push(bursts[which][index % len(bursts[which])], now_s)
    ]
    got += assembler.flush()
    keys = [(g.session, g.number) for g in got]
    assert len(keys) == len(set(keys))
    assert assembler.stats.frames == len(got)
    assert {(bursts[w][0].header.session, bursts[w][0].header.frame) for w, _, _ in arrivals} == set(keys)


MIXTURE = [
    [receive(c) for c in plan_bursts(make_frame(n_bursts, number=number, session=session, k=k))]
    for n_bursts, number, session, k in ((1, 1, 1, 50), (2, 2, 1, 100), (3, 1, 2, 100), (7, 2, 2, 200))
]


@given(st.binary(min_size=23, max_size=23))
@settings(max_examples=150, deadline=None)
def test_bursts_under_any_legal_header_do_no_harm(data: bytes) -> None:
    header = Header.unpack(b"\x10" + data)
    if header is None or header.n_symbols > 1 << 20:
        return
    n = header.n_elements
    burst = ReceivedBurst(header, np.ones(n, np.complex64), np.full(n, 0.5, np.float32))
    assembler = FrameAssembler()
    for got in [*assembler.push(burst), *assembler.flush()]:
        assert len(got.received.symbols) == header.n_symbols


def test_more_symbols_than_the_rate_allows_are_refused_with_the_numbers() -> None:
    frame = make_frame(1)
    one_more = np.append(frame.encoded.symbols, np.complex64(1))
    with pytest.raises(FrameError, match="8193 analogue and 0 side symbols; rate 1/24 allows 8192"):
        plan_bursts(replace(frame, encoded=Encoded(one_more, b"\x01")))


def test_too_much_text_or_side_information_is_refused_with_the_limits() -> None:
    with pytest.raises(FrameError, match="2047"):
        plan_bursts(make_frame(1, text=bytes(2048)))
    with pytest.raises(FrameError, match="65535"):
        plan_bursts(make_frame(1, side=bytes(65536), k=0))
    with pytest.raises(FrameError, match="payload symbols"):
        plan_bursts(make_frame(1, side=bytes(65535), k=0))


def test_unknown_text_mode_lists_the_known_ones() -> None:
    for text in (b"", b"x"):
        with pytest.raises(ConfigError, match="qpsk-1/2"):
            plan_bursts(replace(make_frame(1, text=text), text_mode="64qam"))


def test_estimates_are_means_over_the_bursts_that_came() -> None:
    first, second = (receive(c) for c in plan_bursts(make_frame(2)))
    assembler = FrameAssembler()
    assembler.push(replace(first, snr_est_db=10.0, cfo_norm=0.001, sfo_ppm=10.0, n_samples=1000))
    (got,) = assembler.push(replace(second, snr_est_db=10 * np.log10(30), cfo_norm=0.003, sfo_ppm=20.0, n_samples=500))
    assert got.snr_est_db == pytest.approx(10 * np.log10(20))
    assert got.cfo_est_norm == pytest.approx(0.002)
    assert got.sfo_est_ppm == pytest.approx(15.0)
    assert got.on_air_samples == 1500
    assert 0 < len(got.constellation) <= 4096


def test_a_burst_that_comes_too_late_does_not_revive_its_frame() -> None:
    bursts = [receive(content) for content in plan_bursts(make_frame(2))]
    assembler = FrameAssembler(timeout_s=2.0)
    assert assembler.push(bursts[0], now_s=0.0) == []
    (given_up,) = assembler.push(bursts[1], now_s=2.5)
    assert given_up.n_bursts_received == 1
    assert assembler.n_open == 0
    assert assembler.stats.duplicates == 1


def test_data_shares_that_came_are_told_where_too_few_came() -> None:
    """768 bytes over seven bursts: five data packets of 154, two more. Three bursts are lost, one of a data packet."""
    text = bytes(range(256)) * 3
    packets = plan(len(text), 7)
    assert (packets.k, packets.m, packets.packet_len) == (5, 7, 154)
    (got,) = through(make_frame(7, text=text), lost=(1, 5, 6))
    assert got.text is None and got.partial_text is not None
    data, is_sure = np.frombuffer(got.partial_text.data, np.uint8), got.partial_text.is_sure
    assert len(data) == len(is_sure) == 768
    assert np.array_equal(np.flatnonzero(~is_sure), np.arange(154, 308))
    assert np.array_equal(data[is_sure], np.frombuffer(text, np.uint8)[is_sure])


def test_blocks_of_a_broken_share_that_hold_are_told() -> None:
    """400 bytes in one burst are three blocks; the cells of the last are lost."""
    text = np.random.default_rng(1).bytes(400)
    (content,) = plan_bursts(make_frame(text=text, k=0))
    burst = receive(content)
    burst.noise_var[2 * len(burst.noise_var) // 3 :] = np.inf
    (got,) = FrameAssembler().push(burst)
    assert got.text is None and got.has_text and got.partial_text is not None
    assert got.partial_text.data[:264] == text[:264] and got.partial_text.is_sure[:264].all()
    assert not got.partial_text.is_sure[270:].any()


def test_a_whole_text_and_one_of_which_nothing_came_leave_no_part() -> None:
    (whole,) = through(make_frame())
    assert whole.text == b"a caption" and whole.partial_text is None
    (content,) = plan_bursts(make_frame(k=0))
    (lost,) = FrameAssembler().push(receive(content, noise_var=np.inf))
    assert lost.text is None and lost.partial_text is None


@pytest.mark.parametrize("value", [complex(np.nan, 0), complex(0, np.inf), complex(-np.inf, 1), 1e30, 3000j])
def test_a_symbol_that_cannot_be_sent_costs_its_own_value_alone(value: complex) -> None:
    good = make_frame(2)
    spoilt = good.encoded.symbols.copy()
    spoilt[[0, 17]] = value
    frame = replace(good, encoded=replace(good.encoded, symbols=spoilt))
    assert np.array_equal(np.flatnonzero(~is_sendable(spoilt)), [0, 17])
    expected = good.encoded.symbols.copy()
    expected[[0, 17]] = 0
    (got,) = through(frame)
    assert np.array_equal(got.received.symbols, expected)
    assert got.text == good.text
    assert np.array_equal(spoilt[[0, 17]], np.full(2, value, np.complex64), equal_nan=True)  # the codec's own array


def test_all_energy_of_the_longest_frame_in_one_symbol_can_be_sent() -> None:
    assert MAX_MAGNITUDE == 2048
    assert is_sendable(np.array([2048, -2048j, 0], np.complex64)).all()
