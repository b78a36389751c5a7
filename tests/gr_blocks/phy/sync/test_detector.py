# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts are found at every arrival timing; what else comes gives no frame, no exception and no stuck state."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from gened.bench.link import random_frame
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.sync import detector as detector_module
from gened.gr_blocks.phy.sync.detector import CANDIDATE_THRESHOLD, BurstDetector, lag_metric


def burst(number: int = 0, n_analog: int = 500) -> np.ndarray:
    return modulate_burst(plan_bursts(random_frame(number, np.random.default_rng(number), n_analog=n_analog))[0])


def silence(n: int) -> np.ndarray:
    return np.zeros(n, np.complex64)


def noisy(samples: np.ndarray, snr_db: float, seed: int = 1) -> np.ndarray:
    noise = complex_noise(np.random.default_rng(seed), len(samples), WAVEFORM.noise_var_per_sample(snr_db))
    return (samples + noise).astype(np.complex64)


def detect(samples: np.ndarray, chunks: list[int] | None = None) -> list[Capture]:
    """Captures of a stream cut into chunks of these sizes, over and over."""
    detector, captures, at, turn = BurstDetector(), [], 0, 0
    while at < len(samples):
        n = chunks[turn % len(chunks)] if chunks else len(samples)
        captures += detector.push(samples[at : at + n])
        at, turn = at + n, turn + 1
    return captures + detector.flush()


@pytest.mark.parametrize("chunks", [[1000], [37, 4096, 1], [271, 8191], [65536], [1, 2, 3, 5000]])
def test_chunk_sizes_change_nothing(chunks: list[int]) -> None:
    stream = np.concatenate([silence(700), burst(0), silence(333), burst(1), burst(2), silence(901)])
    stream = noisy(stream * np.exp(2j * np.pi * 0.0713 * np.arange(len(stream))), 6.0)
    whole, pieces = detect(stream), detect(stream, chunks)
    assert len(whole) == 3
    assert [c.start for c in pieces] == [c.start for c in whole]
    for one, other in zip(pieces, whole, strict=True):
        assert one.header == other.header
        assert one.cfo_norm == pytest.approx(other.cfo_norm, abs=1e-12)
        assert np.array_equal(one.samples, other.samples)


def test_every_arrival_timing_is_the_same_to_the_detector() -> None:
    sent = noisy(np.concatenate([burst(), silence(600)]), 8.0)
    lead = noisy(silence(4200), 8.0, seed=2)
    for offset in range(0, 4200, 61):  # 61 is prime to every block and symbol length
        captures = detect(np.concatenate([lead[:offset], sent]), [4096])
        assert len(captures) == 1, f"offset {offset}"
        assert abs(captures[0].start - offset) <= 4, f"offset {offset}"


@pytest.mark.parametrize("cfo_norm", [-0.125, -0.0625, -0.00195, 0.0, 0.00196, 0.031, 0.125])
def test_carrier_offset_is_found_with_its_sign(cfo_norm: float) -> None:
    sent = np.concatenate([silence(500), burst(), silence(500)])
    captures = detect(noisy(sent * np.exp(2j * np.pi * cfo_norm * np.arange(len(sent))), 0.0))
    assert len(captures) == 1
    assert captures[0].cfo_norm == pytest.approx(cfo_norm, abs=3e-4)
    assert captures[0].header.frame == 0


def test_reception_does_not_depend_on_the_level() -> None:
    sent = noisy(np.concatenate([silence(500), burst(), silence(500)]), 6.0)
    for gain in (1e-4, 1e-2, 1.0, 100.0):
        assert len(detect((gain * sent).astype(np.complex64))) == 1, f"gain {gain}"


def test_a_million_samples_of_noise_give_no_frame() -> None:
    receiver = Receiver()
    frames = []
    rng = np.random.default_rng(3)
    for _ in range(20):
        frames += receiver.push(complex_noise(rng, 50_000, 1.0))
    frames += receiver.flush()
    assert frames == []
    assert receiver.detector.stats.candidates < 200


def test_one_sample_of_noise_in_ten_thousand_passes_the_threshold() -> None:
    passed = []
    for seed in range(
        4
    ):  # crossings come in clusters of some 15 samples, so a million samples hold few independent ones
        metric, _ = lag_metric(complex_noise(np.random.default_rng(seed), 1_000_000, 1.0))
        passed.append(np.mean(metric > CANDIDATE_THRESHOLD))
    assert 0.2e-4 < np.mean(passed) < 2.5e-4


def _garbage() -> dict[str, np.ndarray]:
    rng, t = np.random.default_rng(4), np.arange(100_000)
    noise = complex_noise(rng, len(t), 1.0)
    return {
        "silence": silence(len(t)),
        "constant": np.ones(len(t), np.complex64),
        "tone": (np.exp(2j * np.pi * 0.0312 * t) + 0.05 * noise).astype(np.complex64),
        "chirp": np.exp(1j * np.pi * 3e-7 * t**2).astype(np.complex64),
        "nan": np.full(len(t), complex(np.nan, np.inf), np.complex64),
        "huge": (1e30 * noise).astype(np.complex64),
        "overflow": np.full(len(t), complex(3e38, -3e38), np.complex64),
        "signs": np.sign(noise.real).astype(np.complex64),
        "period 256": np.tile(noise[:256], 400),
        "period 16": np.tile(noise[:16], 6000),
        "impulses": np.where(t % 1000 == 0, 1e4, 0).astype(np.complex64),
        "preamble for ever": np.tile(WAVEFORM.preamble_half, 400),
        "preambles without headers": np.tile(np.concatenate([WAVEFORM.preamble_half] * 2 + [noise[:1000]]), 60),
    }


@pytest.mark.parametrize("name", list(_garbage()))
def test_garbage_gives_no_frame_and_the_next_burst_is_received(name: str) -> None:
    receiver = Receiver()
    began_s = time.perf_counter()
    assert receiver.push(_garbage()[name]) == []
    assert time.perf_counter() - began_s < 60.0  # bounded work: two thousand samples a second at the very least
    after = noisy(np.concatenate([silence(1500), burst(5), silence(1500)]), 10.0)
    frames = receiver.push(after) + receiver.flush()
    assert [frame.number for frame in frames] == [5]


def test_scattered_nan_do_not_stop_a_burst() -> None:
    sent = noisy(np.concatenate([silence(500), burst(), silence(500)]), 15.0)
    sent[[100, 900, 2500, 2501, 3100]] = [np.nan, complex(0, np.inf), 1e30, np.nan, -np.inf]
    frames = (receiver := Receiver()).push(sent) + receiver.flush()
    assert len(frames) == 1
    assert np.isfinite(frames[0].received.symbols).all()


@pytest.mark.parametrize("kept", [100, 528, 600, 1344, 2000])
def test_a_truncated_burst_is_no_frame_and_does_not_hide_the_next(kept: int) -> None:
    stream = np.concatenate([silence(400), burst(1)[:kept], silence(6000), burst(2), silence(800)])
    numbers = [c.header.frame for c in detect(noisy(stream, 12.0))]
    assert numbers[-1] == 2
    assert len(numbers) <= 2  # a whole header with its payload cut off may come through; its symbols then are noise


def test_a_stream_that_ends_within_a_burst_gives_nothing() -> None:
    assert detect(noisy(np.concatenate([silence(400), burst()[:-400]]), 12.0)) == []


def test_bursts_back_to_back_are_all_received() -> None:
    stream = noisy(np.concatenate([silence(300)] + [burst(n) for n in range(6)] + [silence(300)]), 6.0)
    assert [c.header.frame for c in detect(stream)] == list(range(6))


def test_colliding_bursts_raise_nothing_and_pass() -> None:
    one, other = burst(1), burst(2)
    for shift in (0, 10, 300, 600, 1500, 3000):
        stream = silence(len(one) + len(other) + 2000)
        stream[500 : 500 + len(one)] += one
        stream[500 + shift : 500 + shift + len(other)] += other
        stream = np.concatenate([stream, burst(3), silence(1000)])
        receiver = Receiver()
        frames = receiver.push(noisy(stream, 12.0)) + receiver.flush()
        assert frames[-1].number == 3, f"shift {shift}"


@pytest.mark.parametrize("begins", [1500, 3000, 5000])
@pytest.mark.parametrize("chunks", [None, [700], [4096, 13]])
def test_a_stronger_burst_within_another_comes_out_too(begins: int, chunks: list[int] | None) -> None:
    weak, strong = burst(1, n_analog=5000), 3 * burst(2)
    stream = silence(12000)
    stream[500 : 500 + len(weak)] += weak
    stream[500 + begins : 500 + begins + len(strong)] += strong
    found = detect(noisy(stream, 12.0), chunks)
    assert [c.header.frame for c in found] == [1, 2]
    assert len(found[1].samples) >= len(strong)


def test_a_forged_header_of_the_longest_burst_hides_nothing() -> None:
    """What follows comes out when the announced end is there, or the stream's."""
    longest = plan_bursts(random_frame(1, np.random.default_rng(1), n_analog=8000))[0]
    forged = modulate_burst(longest)[: WAVEFORM.preamble_len + 3 * WAVEFORM.symbol_len]
    others = np.concatenate([np.concatenate([silence(200), burst(number)]) for number in (2, 3)])
    assert len(others) < WAVEFORM.burst_len(longest.header.n_elements)
    stream = noisy(np.concatenate([silence(400), forged, others, silence(300)]), 12.0)
    assert [c.header.frame for c in detect(stream)] == [2, 3]
    stream = noisy(np.concatenate([silence(400), forged, others, silence(20000)]), 12.0)
    assert [c.header.frame for c in detect(stream)] == [1, 2, 3]


def test_forged_headers_in_a_row_are_no_work_without_end() -> None:
    longest = plan_bursts(random_frame(1, np.random.default_rng(1), n_analog=8000))[0]
    forged = modulate_burst(longest)[: WAVEFORM.preamble_len + 3 * WAVEFORM.symbol_len]
    detector = BurstDetector()
    detector.push(noisy(np.concatenate([np.tile(forged, 9), silence(1000)]), 12.0))
    assert detector.stats.headers == detector_module.MAX_OVERLAPPING_BURSTS


def test_search_resumes_right_behind_a_header_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged preamble 528 samples ahead of a true one does not blind the receiver."""
    forged = np.concatenate([WAVEFORM.preamble_half[-16:], WAVEFORM.preamble_half, WAVEFORM.preamble_half])
    noise = complex_noise(np.random.default_rng(6), 500, 1.0)
    stream = noisy(np.concatenate([silence(400), forged, noise, burst(4), silence(900)]), 10.0)
    assert [c.header.frame for c in detect(stream)] == [4]


def test_memory_stays_bounded_in_endless_noise() -> None:
    detector, rng = BurstDetector(), np.random.default_rng(7)
    for _ in range(40):
        detector.push(complex_noise(rng, 10_000, 1.0))
        assert len(detector._buffer) < 20_000 + detector_module.LOOKAHEAD + detector_module.LEAD


def test_a_flushed_detector_is_as_new() -> None:
    detector = BurstDetector()
    stream = noisy(np.concatenate([silence(500), burst(1), silence(500)]), 8.0)
    first = detector.push(stream) + detector.flush()
    second = detector.push(stream) + detector.flush()
    assert [c.start for c in first] == [c.start for c in second]
    assert replace(first[0], samples=second[0].samples).header == second[0].header
