# SPDX-License-Identifier: GPL-3.0-or-later
"""Fading of one burst: paths with delays and gains, time-invariant or time-varying.

References:
    Xiao, Zheng and Beaulieu, "Novel sum-of-sinusoids simulation models for Rayleigh and Rician fading channels", IEEE
    Trans. Wireless Commun. 5(12), 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.tdl import TABLES, delay_filters, tdl_paths
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

MAX_TAPS = 12
"""Number of taps of the exponential profile, less than the cyclic prefix of 16 samples."""
N_WAVES = 32
"""Number of plane waves per time-varying path; the kurtosis of the gain is within a tenth of a Gaussian's."""

Complex = npt.NDArray[np.complex128]
Gains = Callable[[npt.NDArray[np.float64]], Complex]
"""Function from times in samples since the start of the burst, [n_times], to path gains, [n_times, n_paths]."""


def jakes_gains(n_paths: int, doppler_norm: float, rng: np.random.Generator) -> Gains:
    """Rayleigh gains with Jakes' spectrum: mean power 1, autocorrelation J0(2 pi doppler_norm lag).

    Args:
        n_paths: Number of independent paths.
        doppler_norm: Largest Doppler shift, cycles per sample.
        rng: Source of angles and phases.

    Returns:
        Gains as a function of time.
    """
    offset = rng.uniform(-np.pi, np.pi, (n_paths, 1))
    angles = (2 * np.pi * np.arange(N_WAVES) + offset) / N_WAVES
    speeds = 2 * np.pi * doppler_norm * np.cos(angles)  # [n_paths, N_WAVES] radians a sample
    phases = rng.uniform(-np.pi, np.pi, (n_paths, N_WAVES))

    def at(times: npt.NDArray[np.float64]) -> Complex:
        waves = np.exp(1j * (times[:, None, None] * speeds + phases))
        return np.asarray(waves.sum(2) / np.sqrt(N_WAVES))

    return at


class Fading:
    """Fading channel of one burst.

    Args:
        filters: Impulse response of each path at gain 1, [n_taps, n_paths].
        gains: Path gains as a function of time.
        is_time_invariant: Whether the gains are constant.
    """

    def __init__(self, filters: npt.NDArray[np.float64], gains: Gains, *, is_time_invariant: bool) -> None:
        self.filters = filters
        self.is_time_invariant = is_time_invariant
        self._gains = gains

    @property
    def n_taps(self) -> int:
        """Length of the impulse response in samples."""
        return len(self.filters)

    def taps(self, time: float = 0.0) -> ComplexArray:
        """Impulse response at one time.

        Args:
            time: Samples since the start of the burst.

        Returns:
            [n_taps] complex64.
        """
        return np.asarray(self.filters @ self._gains(np.array([time]))[0], np.complex64)

    def response(self, times: npt.ArrayLike = (0.0,)) -> Complex:
        """Gains of the occupied carriers.

        Args:
            times: Samples since the start of the burst, [n_times].

        Returns:
            [n_times, 204] complex128.
        """
        cycles = np.outer(np.arange(self.n_taps), WAVEFORM.carriers) / WAVEFORM.n_fft
        moments = np.asarray(times, np.float64)
        return np.asarray(self._gains(moments) @ (self.filters.T @ np.exp(-2j * np.pi * cycles)))


def constant_fading(filters: npt.NDArray[np.float64], gains: npt.NDArray[np.complexfloating[Any, Any]]) -> Fading:
    """Time-invariant channel.

    Args:
        filters: Impulse response of each path at gain 1, [n_taps, n_paths].
        gains: Path gains, [n_paths] complex.
    """
    return Fading(
        filters, lambda times: np.repeat(gains[None].astype(np.complex128), len(times), 0), is_time_invariant=True
    )


NO_SIGNAL = constant_fading(np.ones((1, 1)), np.zeros(1, np.complex64))
"""Channel of a lost burst."""
UNIT_GAIN = constant_fading(np.ones((1, 1)), np.ones(1, np.complex64))
"""Channel without fading."""


def draw_fading(config: ChannelConfig, rng: np.random.Generator, sample_rate: float = 1e6) -> Fading:
    """Draw the fading of one burst; the mean energy of its impulse response is 1.

    Args:
        config: Kind of fading, delay profile and Doppler shift.
        rng: Source of the gains.
        sample_rate: Hz; matters with a Doppler shift alone.
    """
    if config.kind == "awgn":
        return UNIT_GAIN
    filters, powers, direct = np.ones((1, 1)), np.ones(1), np.zeros(1, np.complex128)
    if config.kind == "rician-block":
        k = 10 ** (config.rician_k_db / 10)
        powers, direct = np.array([1 / (k + 1)]), np.sqrt(k / (k + 1)) * np.exp(2j * np.pi * rng.random(1))
    elif config.kind == "multipath":
        profile = np.exp(-np.arange(MAX_TAPS) / config.delay_spread)
        filters, powers = np.eye(MAX_TAPS), profile / profile.sum()
    elif config.kind in TABLES:
        delays, powers = tdl_paths(config.kind, config.delay_spread)
        filters = delay_filters(delays)
    if config.doppler_hz == 0:
        scattered = complex_noise(rng, len(powers), 1.0) * np.sqrt(powers)
        return constant_fading(filters, direct + scattered)
    scattered_gains = jakes_gains(len(powers), config.doppler_hz / sample_rate, rng)
    return Fading(filters, lambda times: direct + np.sqrt(powers) * scattered_gains(times), is_time_invariant=False)
