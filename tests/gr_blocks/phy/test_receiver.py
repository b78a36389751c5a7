# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to frames: what is lost, what is claimed about the loss, and under which offsets it holds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.bench.link import CONDITIONS, Condition, measure, random_frame
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.dump import Dump
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst, modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, ReceivedFrame

RATE = 1e6
OFFSETS = CONDITIONS[1]  # carrier up to 12.5 % of the sample rate, clocks up to 50 ppm


def send(frame: Frame, *, gap: int = 1500, dump: Dump | None = None, **settings: Any) -> list[ReceivedFrame]:
    """A frame's bursts with gaps between them through a sample channel into a receiver."""
    channel = SampleChannel(ChannelConfig(**settings), RATE)
    receiver = Receiver(dump=dump)
    frames: list[ReceivedFrame] = []
    for samples in modulate_frame(frame):
        stream = np.concatenate([np.zeros(gap), samples, np.zeros(gap)]).astype(np.complex64)
        frames += receiver.push(channel.process(stream, [gap]))
    return frames + receiver.flush()


def test_hundred_bursts_at_zero_db_all_arrive_with_their_text() -> None:
    rng, received = np.random.default_rng(1), 0
    for number in range(100):
        frame = random_frame(number, rng, n_analog=100)
        cfo_hz, sfo_ppm, late = rng.uniform(-125e3, 125e3), rng.uniform(-50, 50), rng.uniform(0, 1)
        frames = send(frame, snr_db=0.0, freq_offset_hz=cfo_hz, sfo_ppm=sfo_ppm, timing_offset=late, seed=number)
        received += len(frames) == 1 and frames[0].text == frame.text
    assert received == 100


def test_minus_two_db_still_finds_most_bursts() -> None:
    row = measure(OFFSETS, -2.0, 20, seed=2)
    assert row.detection_rate >= 0.95
    assert row.header_error_rate <= 0.15


@pytest.mark.parametrize(
    ("snr_db", "limit_db", "peaks_db"), [(0.0, 0.3, 0.0), (5.0, 0.25, 0.0), (10.0, 0.35, 0.1), (20.0, 0.7, 0.45)]
)
def test_snr_loss_and_the_claims_about_it(snr_db: float, limit_db: float, peaks_db: float) -> None:
    """What was done about the peaks is in the loss, and counts as noise to the receiver."""
    row = measure(OFFSETS, snr_db, 12, seed=3)
    assert row.header_error_rate == 0
    assert row.snr_loss_db is not None and -0.1 < row.snr_loss_db < limit_db
    assert row.noise_var_bias_db == pytest.approx(0, abs=0.2)
    assert row.snr_est_bias_db == pytest.approx(-peaks_db, abs=0.3)
    assert row.cfo_error_rms_hz is not None and row.cfo_error_rms_hz < 3


@pytest.mark.parametrize("sfo_ppm", [-100.0, -50.0, 50.0, 100.0])
@pytest.mark.parametrize("cfo_hz", [-125e3, 125e3])
def test_offsets_are_estimated_with_their_signs(cfo_hz: float, sfo_ppm: float) -> None:
    frame = random_frame(0, np.random.default_rng(4))
    frames = send(frame, snr_db=15.0, freq_offset_hz=cfo_hz, sfo_ppm=sfo_ppm, timing_offset=0.5)
    assert len(frames) == 1
    assert frames[0].cfo_est_norm * RATE == pytest.approx(cfo_hz, abs=2)
    assert frames[0].sfo_est_ppm == pytest.approx(sfo_ppm, abs=2)


def test_symbols_come_back_with_unit_gain_and_honest_variances() -> None:
    gains, errors = [], []
    for seed in range(16):
        frame = random_frame(0, np.random.default_rng(seed))
        received, sent = send(frame, snr_db=12.0, timing_offset=0.3, seed=seed)[0].received, frame.encoded.symbols
        gains.append(np.vdot(sent, received.symbols) / np.vdot(sent, sent))
        errors.append(np.mean(np.abs(received.symbols - sent) ** 2 / received.noise_var))
    # One burst's gain scatters by 0.0097 (measured over 60); a bias would stay in the mean.
    assert abs(np.mean(gains) - 1) < 4 * 0.0097 / np.sqrt(16)
    assert np.mean(errors) == pytest.approx(1, abs=0.03)


def test_gain_of_the_channel_is_taken_out() -> None:
    frame = random_frame(0, np.random.default_rng(5), n_analog=1000)
    samples = np.concatenate([np.zeros(800), modulate_frame(frame)[0], np.zeros(800)])
    noise = complex_noise(np.random.default_rng(6), len(samples), 0.01)
    for gain in (0.01, 3j, -50.0):
        received = (receiver := Receiver()).push((gain * (samples + noise)).astype(np.complex64)) + receiver.flush()
        assert len(received) == 1
        sent = frame.encoded.symbols
        assert abs(np.vdot(sent, received[0].received.symbols) / np.vdot(sent, sent) - 1) < 0.02


def test_multipath_shorter_than_the_prefix_leaves_no_floor() -> None:
    """At 40 dB an estimate that missed a path, or a window that cut one, would show."""
    frame = random_frame(0, np.random.default_rng(7))
    sent = np.concatenate([np.zeros(1000), modulate_frame(frame, reduces_papr=False)[0], np.zeros(1000)])
    taps = np.zeros(12, complex)
    taps[[0, 3, 11]] = [0.9, 0.35j, -0.25]
    stream = np.convolve(sent, taps).astype(np.complex64)
    stream += complex_noise(np.random.default_rng(8), len(stream), 1e-4)
    frames = (receiver := Receiver()).push(stream) + receiver.flush()
    assert len(frames) == 1
    error = np.mean(np.abs(frames[0].received.symbols - frame.encoded.symbols) ** 2)
    assert 10 * np.log10(error) < -32
    assert 10 * np.log10(np.mean(frames[0].received.noise_var) / error) == pytest.approx(0, abs=1.0)


def test_faded_carriers_carry_larger_variances_that_are_true() -> None:
    frame = random_frame(0, np.random.default_rng(9))
    frames = send(frame, kind="multipath", snr_db=15.0, delay_spread=2.0, seed=3, freq_offset_hz=50e3, sfo_ppm=20.0)
    received = frames[0].received
    alive = np.isfinite(received.noise_var)
    error = np.abs(received.symbols - frame.encoded.symbols)[alive] ** 2
    order = np.argsort(received.noise_var[alive])
    quarters = np.array_split(order, 4)
    claimed = [received.noise_var[alive][q].mean() for q in quarters]
    assert claimed[-1] > 3 * claimed[0]
    for quarter, claim in zip(quarters, claimed, strict=True):
        assert 10 * np.log10(claim / error[quarter].mean()) == pytest.approx(0, abs=0.6)


def test_phase_noise_of_a_modest_oscillator_costs_little() -> None:
    row = measure(Condition("linewidth 5 Hz", linewidth_hz=5.0), 10.0, 8, seed=10)
    assert row.header_error_rate == 0
    assert row.snr_loss_db is not None and row.snr_loss_db < 0.6
    assert row.noise_var_bias_db == pytest.approx(0, abs=0.5)


def test_front_end_faults_within_reason_are_survived() -> None:
    frame = random_frame(0, np.random.default_rng(11))
    frames = send(
        frame, snr_db=15.0, iq_gain_db=0.3, iq_phase_deg=1.0, dc_offset=0.05, clip_db=7.0, bits=8, freq_offset_hz=3e3
    )
    assert len(frames) == 1 and frames[0].text == frame.text
    error = np.mean(np.abs(frames[0].received.symbols - frame.encoded.symbols) ** 2)
    assert 10 * np.log10(error) < -13


def test_frame_of_several_bursts_with_one_lost() -> None:
    rng = np.random.default_rng(12)
    size, rate = ImageSize(512, 768), Fraction(1, 24)
    symbols = complex_noise(rng, 48_000, 1.0)
    frame = Frame(3, 9, 77, size, rate, 10.0, Encoded(symbols, rng.bytes(100)), rng.bytes(90), "qpsk-1/2")
    bursts = plan_bursts(frame)
    assert len(bursts) == 3
    receiver, frames = Receiver(), []
    for index in (0, 2):
        stream = np.concatenate([np.zeros(900), modulate_burst(bursts[index]), np.zeros(900)])
        stream = stream + complex_noise(rng, len(stream), 0.1)
        frames += receiver.push(stream.astype(np.complex64))
    frames += receiver.flush()
    assert len(frames) == 1
    assert frames[0].n_bursts_received == 2
    assert frames[0].erased_fraction == pytest.approx(1 / 3, abs=0.01)
    lost = ~np.isfinite(frames[0].received.noise_var)
    assert np.array_equal(lost, frames[0].received.symbols == 0)
    assert np.mean(np.abs(frames[0].received.symbols - symbols)[~lost] ** 2) < 0.12
    halves = [part.mean() for part in np.array_split(lost, 8)]
    assert max(halves) - min(halves) < 0.05  # spread over the picture


def test_frame_without_analogue_symbols_is_legal() -> None:
    frame = Frame(
        1, 2, 3, ImageSize(64, 64), Fraction(1, 24), 0.0, Encoded(np.zeros(0, np.complex64)), b"words alone", "bpsk-1/2"
    )
    frames = send(frame, snr_db=5.0, freq_offset_hz=-40e3)
    assert [f.text for f in frames] == [b"words alone"]
    assert len(frames[0].received.symbols) == 0


def test_silent_analogue_symbols_do_not_disturb_the_text() -> None:
    frame = random_frame(0, np.random.default_rng(13), n_analog=2000)
    silent = Frame(**{**frame.__dict__, "encoded": Encoded(np.zeros(2000, np.complex64), b"")})
    frames = send(silent, snr_db=3.0)
    assert frames[0].text == frame.text
    assert np.mean(np.abs(frames[0].received.symbols) ** 2) == pytest.approx(10 ** (-0.3), rel=0.15)


def test_dump_writes_each_stage(tmp_path: Path) -> None:
    send(random_frame(0, np.random.default_rng(14), n_analog=300), snr_db=10.0, dump=Dump(tmp_path))
    stages = {path.stem.split("-", 1)[1]: np.load(path) for path in tmp_path.glob("*.npy")}
    assert set(stages) == {"samples", "derotated", "h_hat", "grid", "equalized", "noise_var"}
    assert stages["grid"].shape == stages["equalized"].shape == stages["noise_var"].shape
    assert stages["h_hat"].shape == stages["grid"].shape
