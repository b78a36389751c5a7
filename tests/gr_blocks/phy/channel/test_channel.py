# SPDX-License-Identifier: GPL-3.0-or-later
"""The one channel: powers, signs, independence of chunking, and GNU Radio's model as the witness."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.framing.budget import frame_symbols, n_bursts
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize

RATE = 1e6
QUIET_DB = 100.0


def through(samples: np.ndarray, starts: Any = (), **settings: Any) -> np.ndarray:
    return SampleChannel(ChannelConfig(**settings), RATE).process(np.asarray(samples, np.complex64), starts)


def tone(n: int, cycles_a_sample: float) -> np.ndarray:
    return np.exp(2j * np.pi * cycles_a_sample * np.arange(n)).astype(np.complex64)


def test_noise_has_the_power_that_the_snr_says_half_in_each_dimension() -> None:
    noise = through(np.zeros(400_000), snr_db=3.0)
    expected = WAVEFORM.noise_var_per_sample(3.0)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(expected, rel=0.01)
    assert np.var(noise.real) == pytest.approx(expected / 2, rel=0.015)
    assert np.var(noise.imag) == pytest.approx(expected / 2, rel=0.015)


def test_positive_freq_offset_turns_anticlockwise() -> None:
    received = through(np.ones(1000), freq_offset_hz=20e3, snr_db=QUIET_DB)
    assert np.allclose(np.angle(received[1:] / received[:-1]), 2 * np.pi * 0.02, atol=1e-3)


def test_positive_sfo_delivers_fewer_samples_and_faster_tones() -> None:
    sent = tone(200_000, 0.1)
    received = through(sent, sfo_ppm=100.0, snr_db=QUIET_DB)
    assert -60 <= len(received) - 200_000 / (1 + 1e-4) <= 0  # but for the filter's half length, held back
    reference = np.exp(2j * np.pi * 0.1 * (1 + 1e-4) * np.arange(len(received)))
    error = (received - reference)[100:-100]
    assert np.mean(np.abs(error) ** 2) < 1e-4  # over 40 dB


@pytest.mark.parametrize("timing_offset", [0.25, 2.5, 3.0, 7.75])
def test_positive_timing_offset_is_late(timing_offset: float) -> None:
    received = through(tone(5000, 0.3), timing_offset=timing_offset, snr_db=QUIET_DB)
    reference = np.exp(2j * np.pi * 0.3 * (np.arange(len(received)) - timing_offset))
    assert np.mean(np.abs(received - reference)[100:-100] ** 2) < 1e-4


@pytest.mark.parametrize("kind", ["awgn", "rician-block", "multipath"])
def test_chunking_changes_nothing(kind: Any) -> None:
    rng = np.random.default_rng(5)
    sent = complex_noise(rng, 30_000, 1.0)
    settings: dict[str, Any] = {
        "kind": kind,
        "freq_offset_hz": 12_345.0,
        "sfo_ppm": 37.0,
        "timing_offset": 1.3,
        "seed": 9,
        "snr_db": 3.0,
        "linewidth_hz": 5.0,
    }
    starts = np.array([1000, 11_000, 20_500])
    whole = SampleChannel(ChannelConfig(**settings), RATE).process(sent, starts)
    channel, parts, at = SampleChannel(ChannelConfig(**settings), RATE), [], 0
    while at < len(sent):
        n = int(rng.integers(1, 3000))
        parts.append(channel.process(sent[at : at + n], [s - at for s in starts if at <= s < at + n]))
        at += n
    pieces = np.concatenate(parts)
    assert len(pieces) == len(whole)
    assert np.max(np.abs(pieces - whole)) < 1e-5


def test_block_gains_have_mean_power_one_and_change_with_each_burst() -> None:
    channel = SampleChannel(ChannelConfig(kind="rayleigh-block", snr_db=QUIET_DB, seed=1), RATE)
    gains = np.array([channel.process(np.ones(8, np.complex64), [0])[3] for _ in range(4000)])
    assert np.mean(np.abs(gains) ** 2) == pytest.approx(1, abs=0.06)
    assert abs(np.mean(gains)) < 0.06
    assert np.var(np.abs(gains) ** 2) == pytest.approx(1, abs=0.25)  # exponential


def test_drop_silences_whole_bursts() -> None:
    channel = SampleChannel(ChannelConfig(drop=0.3, snr_db=60.0, seed=2), RATE)
    powers = [np.mean(np.abs(channel.process(np.ones(50, np.complex64), [0])) ** 2) for _ in range(1000)]
    assert np.flatnonzero(np.array(powers) < 0.01).tolist() == list(channel.dropped)
    assert len(channel.dropped) == channel.dropped_bursts
    assert channel.dropped_bursts == pytest.approx(300, abs=60)


def test_clipping_limits_magnitude_and_keeps_phase() -> None:
    sent = complex_noise(np.random.default_rng(3), 10_000, 1.0)
    received = through(sent, clip_db=3.0, snr_db=QUIET_DB)
    assert np.abs(received).max() < 10 ** (3 / 20) + 1e-3
    assert np.allclose(np.angle(received / sent), 0, atol=0.05)


def test_iq_imbalance_makes_the_image_it_should() -> None:
    received = through(tone(10_000, 0.1), iq_gain_db=1.0, snr_db=QUIET_DB)
    spectrum = np.abs(np.fft.fft(received)) ** 2
    g = 10 ** (1 / 20)
    assert spectrum[9000] / spectrum[1000] == pytest.approx(((g - 1) / (g + 1)) ** 2, rel=0.02)


def test_converter_has_the_noise_of_its_bits() -> None:
    sent = complex_noise(np.random.default_rng(4), 50_000, 1.0)
    error = through(sent, bits=8, snr_db=QUIET_DB) - sent
    step = 10 ** (12 / 20) / 128
    assert np.mean(np.abs(error) ** 2) == pytest.approx(2 * step**2 / 12, rel=0.05)


def test_linewidth_is_that_of_the_wiener_process() -> None:
    received = through(np.ones(400_000), linewidth_hz=50.0, snr_db=QUIET_DB)
    steps = np.angle(received[1000:] * np.conj(received[:-1000]))[::1000]
    assert np.var(steps) == pytest.approx(2 * np.pi * 50 * 1e-3, rel=0.25)


@pytest.mark.parametrize("kind", ["awgn", "rayleigh-fast", "rayleigh-block", "rician-block", "multipath"])
def test_symbol_channel_states_the_noise_it_adds(kind: Any) -> None:
    rng = np.random.default_rng(6)
    symbols = complex_noise(rng, 100_000, 1.0)
    received, noise_var = apply_symbols(symbols, ChannelConfig(kind=kind, snr_db=5.0), rng)
    normalized = np.abs(received - symbols) ** 2 / noise_var  # exponential with mean 1 when the statement is true
    assert np.mean(normalized) == pytest.approx(1, abs=0.02)
    if kind == "awgn":
        assert np.allclose(noise_var, 10 ** (-0.5))


def test_fast_rayleigh_gains_have_mean_power_one() -> None:
    rng = np.random.default_rng(7)
    _, noise_var = apply_symbols(complex_noise(rng, 100_000, 1.0), ChannelConfig(kind="rayleigh-fast", snr_db=0.0), rng)
    assert np.mean(1 / noise_var) == pytest.approx(1, abs=0.02)


def test_erased_symbols_are_zero_with_infinite_variance() -> None:
    rng = np.random.default_rng(8)
    received, noise_var = apply_symbols(np.ones(20_000, np.complex64), ChannelConfig(erasure=0.25), rng)
    assert np.array_equal(np.isinf(noise_var), received == 0)
    assert np.mean(np.isinf(noise_var)) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("kind", ["rayleigh-block", "rician-block"])
def test_each_burst_of_a_frame_has_a_gain_of_its_own_on_the_symbols_that_framing_puts_into_it(kind: Any) -> None:
    size, rate = ImageSize(512, 512), Fraction(1, 24)
    count = n_bursts(size, rate)
    numbered = np.arange(1, frame_symbols(size, rate) + 1).astype(np.complex64) / 16  # a symbol tells its place
    bursts = plan_bursts(Frame(1, 0, 7, size, rate, 10.0, Encoded(numbered, b"s")))
    channel = ChannelConfig(kind=kind, snr_db=20.0)
    _, noise_var = apply_symbols(numbered, channel, np.random.default_rng(9), n_bursts=count)
    seen = [noise_var[(16 * burst.symbols.real).astype(int) - 1] for burst in bursts]
    assert count == len(bursts) == 2
    assert [len(set(each)) for each in seen] == [1, 1]
    assert seen[0][0] != seen[1][0]


def test_bursts_are_dropped_one_by_one() -> None:
    n, count = 30_001, 3
    channel, rng = ChannelConfig(drop=0.4), np.random.default_rng(10)
    shares = [
        np.mean(np.isinf(apply_symbols(np.ones(n, np.complex64), channel, rng, n_bursts=count)[1])) for _ in range(60)
    ]
    assert {round(3 * share, 2) for share in shares} == {0, 1, 2, 3}
    assert np.mean(shares) == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "tunnel"},
        {"drop": 1.5},
        {"snr_db": 400.0},
        {"delay_spread": 40.0},
        {"bits": 1},
        {"snr_db": float("nan")},
        {"freq_offset_hz": float("nan")},
        {"timing_offset": -1.0},
    ],
)
def test_impossible_settings_are_refused_in_one_line(settings: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        ChannelConfig(**settings)
    assert "\n" not in str(caught.value)


def test_fast_fading_between_samples_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="rayleigh-block"):
        SampleChannel(ChannelConfig(kind="rayleigh-fast"), RATE)


def test_agrees_with_gnuradio_channel_model() -> None:
    gr = pytest.importorskip("gnuradio.gr", reason="GNU Radio is not installed")
    from gnuradio import blocks, channels

    sent = tone(60_000, 0.11)

    def model(noise: float, freq: float, epsilon: float, source: np.ndarray) -> np.ndarray:
        top = gr.top_block()
        sink = blocks.vector_sink_c()
        block = channels.channel_model(noise, freq, epsilon, [1.0 + 0j], 1, False)
        top.connect(blocks.vector_source_c(source.tolist(), False), block, sink)
        top.run()
        return np.array(sink.data(), np.complex64)

    def frequency(samples: np.ndarray) -> float:
        middle = samples[1000:-1000]
        return float(np.angle(np.vdot(middle[:-1], middle[1:])) / (2 * np.pi))

    ours = through(sent, freq_offset_hz=0.05 * RATE, sfo_ppm=400.0, snr_db=QUIET_DB)
    theirs = model(0.0, 0.05, 1 + 400e-6, sent)
    assert abs(len(ours) - len(theirs)) < 60
    assert len(theirs) < len(sent)  # the clocks differ the same way
    # A single tone's frequency carries both signs: 0.11 (1 + epsilon) + 0.05.
    assert frequency(ours) == pytest.approx(frequency(theirs), abs=1e-6)
    assert frequency(ours) == pytest.approx(0.11 * (1 + 400e-6) + 0.05, abs=1e-6)

    variance = WAVEFORM.noise_var_per_sample(2.0)
    noise = model(float(np.sqrt(variance)), 0.0, 1.0, np.zeros(100_000, np.complex64))
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(
        np.mean(np.abs(through(np.zeros(100_000), snr_db=2.0)) ** 2), rel=0.03
    )
