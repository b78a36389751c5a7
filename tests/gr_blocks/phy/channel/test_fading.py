# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and moving gains: the standard's profiles, delays between samples, Jakes' spectrum, the channel over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import j0

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.fading import draw_fading, jakes_gains
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import MEMORY, SampleChannel
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.channel.tdl import HALF_LEN, TABLES, delay_filters, tdl_paths

RATE = 1e6
QUIET_DB = 100.0
TDL: Any = sorted(TABLES)


def tone(n: int, cycles_a_sample: float) -> np.ndarray:
    return np.exp(2j * np.pi * cycles_a_sample * np.arange(n)).astype(np.complex64)


@pytest.mark.parametrize("name", TDL)
@pytest.mark.parametrize("spread", [0.1, 1.0, 1.5])
def test_profiles_have_power_one_and_the_delay_spread_that_was_asked_for(name: str, spread: float) -> None:
    delays, powers = tdl_paths(name, spread)
    assert powers.sum() == pytest.approx(1)
    mean = np.sum(powers * delays)
    assert np.sqrt(np.sum(powers * delays**2) - mean**2) == pytest.approx(spread, rel=1e-3)  # a wrong entry moves it


@pytest.mark.parametrize(("name", "n", "strongest", "last"), [
    ("tdl-a", 23, 0.3819, 9.6586), ("tdl-b", 23, 0.0, 4.7834), ("tdl-c", 24, 0.6366, 8.6523),
])  # fmt: skip
def test_profiles_are_those_of_the_standard(name: str, n: int, strongest: float, last: float) -> None:
    delays, powers = tdl_paths(name, 1.0)
    assert len(delays) == len(powers) == n
    assert delays[np.argmax(powers)] == strongest
    assert delays.max() == last


def test_delays_between_samples_are_true_over_the_occupied_band() -> None:
    delays = np.linspace(0, 2, 81)
    filters = delay_filters(delays)
    for cycles in np.linspace(-0.4, 0.4, 33):
        got = np.exp(-2j * np.pi * cycles * np.arange(len(filters))) @ filters
        wanted = np.exp(-2j * np.pi * cycles * (HALF_LEN + delays))
        assert 20 * np.log10(np.abs(got - wanted).max()) < -70


def test_whole_delays_are_a_shift() -> None:
    assert np.allclose(delay_filters(np.array([3.0]))[:, 0], np.eye(2 * HALF_LEN + 4)[HALF_LEN + 3], atol=1e-12)


def test_moving_gains_have_power_one_and_the_autocorrelation_of_jakes() -> None:
    doppler_norm, times = 1e-3, np.arange(0, 2000, 25.0)
    gains = jakes_gains(6000, doppler_norm, np.random.default_rng(1))(times)  # [n_times, n_paths]
    assert np.mean(np.abs(gains) ** 2) == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(gains[0]) ** 4) == pytest.approx(2, abs=0.15)  # a Gaussian's
    correlation = np.mean(gains * np.conj(gains[:1]), axis=1)
    assert np.abs(correlation - j0(2 * np.pi * doppler_norm * times)).max() < 0.05


@pytest.mark.parametrize("kind", ["rayleigh-block", "rician-block", "multipath", *TDL])
@pytest.mark.parametrize("doppler_hz", [0.0, 40.0])
def test_mean_energy_of_a_burst_is_one(kind: Any, doppler_hz: float) -> None:
    rng, config = np.random.default_rng(2), ChannelConfig(kind=kind, doppler_hz=doppler_hz)
    energies = [np.mean(np.abs(draw_fading(config, rng).response([0.0, 9000.0])) ** 2) for _ in range(1200)]
    assert np.mean(energies) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", TDL)
def test_a_tone_gets_the_gain_that_the_response_says(kind: Any) -> None:
    channel = SampleChannel(ChannelConfig(kind=kind, snr_db=QUIET_DB, delay_spread=1.5, seed=3), RATE)
    carrier = 40  # the 40th above the middle is the (102 + 39)th of those that are occupied
    received = channel.process(tone(3000, carrier / 256), [0])
    expected = channel.fading.response()[0, 102 + carrier - 1]
    assert np.allclose(received[500:2500] / tone(3000, carrier / 256)[500:2500], expected, atol=2e-3)


def test_under_doppler_the_gain_moves_as_the_response_says_and_smoothly() -> None:
    settings: dict[str, Any] = {"kind": "rayleigh-block", "doppler_hz": 200.0, "snr_db": QUIET_DB, "seed": 4}
    channel = SampleChannel(ChannelConfig(**settings), RATE)
    received = channel.process(np.ones(20_000, np.complex64), [0])
    times = np.arange(0, 20_000, 130)
    assert np.abs(received[times] - channel.fading.response(times)[:, 0]).max() < 2e-3
    assert np.ptp(np.abs(received)) > 0.3
    assert np.abs(np.diff(received)).max() < 1e-2  # 2 pi 200 Hz / 1 MHz, and a Gaussian's peak


@pytest.mark.parametrize("kind", ["rayleigh-block", "multipath", "tdl-c"])
def test_chunking_changes_nothing_of_a_moving_channel(kind: Any) -> None:
    rng = np.random.default_rng(5)
    sent, starts = complex_noise(rng, 30_000, 1.0), [1000, 11_000, 20_500]
    config = ChannelConfig(kind=kind, doppler_hz=300.0, snr_db=QUIET_DB, delay_spread=1.5, seed=6)
    whole = SampleChannel(config, RATE).process(sent, starts)
    channel, parts, at = SampleChannel(config, RATE), [], 0
    while at < len(sent):
        n = int(rng.integers(1, 3000))
        parts.append(channel.process(sent[at : at + n], [s - at for s in starts if at <= s < at + n]))
        at += n
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-5


def test_the_longest_impulse_response_fits_the_memory() -> None:
    for kind in TDL:
        fading = draw_fading(ChannelConfig(kind=kind, delay_spread=4.0), np.random.default_rng(7))
        assert fading.n_taps - 1 <= MEMORY


@pytest.mark.parametrize("kind", TDL)
def test_symbols_state_the_noise_that_a_profile_adds(kind: Any) -> None:
    rng = np.random.default_rng(8)
    symbols = complex_noise(rng, 100_000, 1.0)
    received, noise_var = apply_symbols(symbols, ChannelConfig(kind=kind, snr_db=5.0, doppler_hz=10.0), rng)
    assert np.mean(np.abs(received - symbols) ** 2 / noise_var) == pytest.approx(1, abs=0.02)
    assert len(np.unique(noise_var)) > 100  # a carrier each


@pytest.mark.parametrize("settings", [
    {"doppler_hz": -1.0, "kind": "tdl-a"}, {"doppler_hz": float("nan"), "kind": "tdl-a"}, {"doppler_hz": 10.0},
    {"doppler_hz": 10.0, "kind": "rayleigh-fast"},
])  # fmt: skip
def test_a_doppler_shift_that_means_nothing_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigError, match="Doppler"):
        ChannelConfig(**settings)
