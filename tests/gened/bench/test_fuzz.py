# SPDX-License-Identifier: GPL-3.0-or-later
"""The fuzzer: a few seconds of it, and that it sees what it looks for."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gened.bench import fuzz
from gened.bench.fuzz import Fuzzer, FuzzError, check_frame
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ImageSize, Received, ReceivedFrame

N_STREAMS = 200
FRAME = ReceivedFrame(
    1, 2, 3, Received(np.ones(5, np.complex64), np.ones(5, np.float32), b"", ImageSize(64, 64), Fraction(1, 24), 4.0),
    b"", False, 1, 1, 10.0, 0.0, 0.0, 100, 0, 0,
)  # fmt: skip


def test_mutated_bursts_end_in_frames_or_in_nothing() -> None:
    tally = Fuzzer(1).run(float("inf"), most=N_STREAMS)
    assert tally.streams == N_STREAMS and tally.bursts > N_STREAMS
    assert tally.frames > 50 and tally.bad_headers > 50  # it gets as far as there is something to break


def test_the_largest_frames_that_headers_can_tell_stay_within_the_bound() -> None:
    largest = Header(
        session=1, frame=0, burst=0, n_bursts=256, codec_id=0, size=ImageSize(4096, 4096), rate=Fraction(1, 12),
        snr_design_db=4.0, side_mode="qpsk-1/2", text_mode="qpsk-1/2", n_symbols=256 * MAX_BURST_SYMBOLS, side_len=1,
        text_len=0,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    receiver, n_frames = Receiver(), 0
    tracemalloc.start()
    for number in range(6):  # two senders, each of whose frames closes the one before
        header = replace(largest, session=number // 3, frame=number % 3)
        burst = modulate_burst(BurstContent(header, qpsk_stream(header.n_elements, number)), reduces_papr=False)
        noise = complex_noise(rng, len(burst) + 3000, 0.01)
        noise[: len(burst)] += burst
        n_frames += len(receiver.push(noise))
    n_frames += len(receiver.flush())
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert n_frames == 6
    assert peak_mib < fuzz.MAX_GROWTH_MIB


def test_streams_are_the_same_for_a_seed() -> None:
    one, again, other = (fuzz.stream(np.random.default_rng([seed, 7]))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again, equal_nan=True) and not np.array_equal(one, other, equal_nan=True)


def with_received(**changes: Any) -> ReceivedFrame:
    return replace(FRAME, received=replace(FRAME.received, **changes))


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (with_received(symbols=np.full(5, np.nan, np.complex64)), "symbol is not finite"),
        (with_received(noise_var=np.zeros(5, np.float32)), "variance is 0"),
        (with_received(noise_var=np.full(5, np.nan, np.float32)), "not a number"),
        (with_received(noise_var=np.full(5, np.inf, np.float32)), "lost symbol is not 0"),
        (with_received(noise_var=np.ones(4, np.float32)), "5 symbols, 4 variances"),
        (with_received(size=ImageSize(1, 1)), "more symbols"),
        (replace(FRAME, n_bursts_received=2), "counts of bursts"),
        (replace(FRAME, snr_est_db=float("nan")), "snr_est_db is nan"),
        (replace(FRAME, text=bytes(3000)), "long text"),
    ],
)
def test_a_frame_that_contradicts_itself_is_seen(frame: ReceivedFrame, what: str) -> None:
    check_frame(FRAME)
    with pytest.raises(FuzzError, match=what):
        check_frame(frame)


def fails(*_: Any) -> list[ReceivedFrame]:
    raise ValueError("a bug")


def invents(*_: Any) -> list[ReceivedFrame]:
    return [FRAME]


@pytest.mark.parametrize(
    ("frames", "what"), [(fails, "ValueError: a bug"), (invents, "lengths that no header announced")]
)
def test_a_receiver_that_fails_is_told_with_the_stream_that_did_it(
    frames: Callable[..., list[ReceivedFrame]], what: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(Receiver, "_frames", frames)
    assert fuzz.main(["--seed", "5", "--seconds", "60"]) == 1
    assert f"of seed 5: {what}" in capsys.readouterr().err.replace("FuzzError: frame 2 of 1 has ", "")


def test_memory_beyond_its_bound_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([10.0, 10.0, 600.0])
    monkeypatch.setattr(fuzz, "memory_mib", lambda _: next(values))
    with pytest.raises(FuzzError, match="590 MiB at stream 1"):
        Fuzzer(1).run(60.0)


def test_the_command_prints_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--seed", "1", "--only", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["streams"] == 1 and told["seed"] == 1 and told["peak_memory_mib"] > 10
    assert fuzz.main(["--seed", "1", "--only", "3"]) == 0
    assert capsys.readouterr().out.startswith("1 streams")
