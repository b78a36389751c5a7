# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue between transmitter and air: whole bursts, silence between them, borders where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from gened.link.sender_stream import MAX_QUEUED, PATIENCE_S, SenderStream


class Clock:
    """A clock that only we move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def stream(clock: Clock, **options: object) -> SenderStream:
    return SenderStream(np.random.default_rng(0), **{"max_lead": 0, "clock": clock, **options})  # type: ignore[arg-type]


def burst(n: int, value: float = 1.0) -> np.ndarray:
    return np.full(n, value, np.complex64)


def test_nothing_gives_silence(clock: Clock) -> None:
    out, starts = stream(clock).take(100)
    assert not out.any() and starts == [] and len(out) == 100


def test_a_burst_waits_until_it_is_whole(clock: Clock) -> None:
    sender = stream(clock)
    sender.announce(0, 50)
    sender.push(burst(49))
    assert not sender.has_samples() and not sender.take(100)[0].any()
    sender.push(burst(1))
    assert sender.has_samples()
    out, starts = sender.take(100)
    assert starts == [0] and (out[:50] == 1).all() and not out[50:].any()


def test_bursts_in_a_row_follow_without_a_gap_over_chunk_borders(clock: Clock) -> None:
    sender = stream(clock)
    for index in range(3):
        sender.announce(70 * index, 70)
        sender.push(burst(70, index + 1))
    parts = [sender.take(64) for _ in range(4)]
    joined = np.concatenate([part for part, _ in parts])
    assert (joined[:210] == np.repeat([1, 2, 3], 70)).all() and not joined[210:].any()
    borders = [64 * chunk + start for chunk, (_, starts) in enumerate(parts) for start in starts]
    assert borders == [0, 70, 140]


def test_an_announcement_may_come_after_its_samples(clock: Clock) -> None:
    """The two sockets race; the border must not be lost, even right behind another burst."""
    sender = stream(clock)
    sender.announce(0, 10)
    sender.push(burst(25))
    assert (sender.take(20)[0] != 0).sum() == 10
    sender.announce(10, 15)
    out, starts = sender.take(20)
    assert starts == [0] and (out != 0).sum() == 15


def test_a_late_start_is_drawn_after_silence(clock: Clock) -> None:
    positions = set()
    for seed in range(8):
        sender = SenderStream(np.random.default_rng(seed), max_lead=300, clock=clock)
        sender.announce(0, 10)
        sender.push(burst(10))
        joined, borders = np.zeros(0), []
        for chunk in range(5):
            out, starts = sender.take(100)
            joined = np.concatenate([joined, out])
            borders += [100 * chunk + start for start in starts]
        (where,) = np.nonzero(joined)
        assert len(where) == 10 and borders == [where[0]] and where[-1] - where[0] == 9
        positions.add(int(where[0]))
    assert len(positions) > 4 and max(positions) <= 300


def test_chosen_bursts_are_replaced_by_silence_of_the_same_length(clock: Clock) -> None:
    sender = stream(clock, drop_bursts=[1])
    for index in range(3):
        sender.announce(10 * index, 10)
        sender.push(burst(10, index + 1))
    out, starts = sender.take(30)
    assert starts == [0, 10, 20] and sender.n_dropped_bursts == 1 and list(sender.dropped) == [1]
    assert (out.real == np.repeat([1, 0, 3], 10)).all()


def test_samples_that_nobody_announces_pass_after_patience_with_borders_at_silence(clock: Clock) -> None:
    sender = stream(clock)
    sender.push(np.concatenate([burst(30), np.zeros(20, np.complex64), burst(30), np.zeros(5, np.complex64), burst(9)]))
    assert not sender.has_samples()
    clock.now += PATIENCE_S
    assert sender.has_samples()
    out, starts = sender.take(200)
    assert starts == [0, 50] and (out != 0).sum() == 69  # 5 zeros are no gap between bursts


def test_a_gap_inside_the_session_passes_before_the_next_burst(clock: Clock) -> None:
    sender = stream(clock)
    sender.announce(0, 10)
    sender.announce(15, 10)
    sender.push(np.concatenate([burst(10), np.zeros(5, np.complex64), burst(10, 2)]))
    out, starts = sender.take(40)
    assert starts == [0, 15] and (out[15:25] == 2).all()


def test_a_sender_that_dies_within_a_burst_blocks_nobody(clock: Clock) -> None:
    sender = stream(clock)
    sender.announce(0, 100)
    sender.push(burst(30))
    sender.take(10)
    clock.now += PATIENCE_S
    assert (sender.take(200)[0] != 0).sum() == 30 and sender.n_underflows == 1
    assert not sender.has_samples()  # nothing that a fast air would run after
    sender.restart()
    sender.announce(0, 10)
    sender.push(burst(10, 7))
    out, starts = sender.take(20)
    assert starts == [0] and (out[:10] == 7).all()


def test_hostile_announcements_are_refused(clock: Clock) -> None:
    sender = stream(clock)
    assert sender.announce(0, 100)
    assert not sender.announce(50, 100)  # overlaps
    sender.push(burst(100))
    sender.take(100)
    assert not sender.announce(10, 10)  # past
    assert sender.announce(100, 10)


def test_a_burst_longer_than_the_queue_still_passes(clock: Clock) -> None:
    sender = stream(clock)
    sender.announce(0, 2 * MAX_QUEUED)
    sender.push(burst(MAX_QUEUED))
    assert sender.is_full and sender.has_samples()
    assert sender.take(1000)[0].all() and not sender.is_full


def test_what_is_no_number_becomes_silence(clock: Clock) -> None:
    sender = stream(clock)
    sender.announce(0, 4)
    sender.push(np.array([np.nan, np.inf, 1e30, 1], np.complex64))
    assert sender.take(4)[0].tolist() == [0, 0, 0, 1]
