# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel of analogue symbols with perfect equalisation, for `gened evaluate`: gains, noise, erasures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.fading import draw_fading
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import burst_members
from gened.gr_blocks.phy.types import ComplexArray, FloatArray

FADE_FLOOR = 1e-4
"""Least squared gain: a symbol 40 dB below the mean is lost in any case, and divisions stay finite."""


def apply_symbols(
    symbols: ComplexArray, config: ChannelConfig, rng: np.random.Generator, *, n_bursts: int = 1
) -> tuple[ComplexArray, FloatArray]:
    """Send symbols through the channel and equalise them with perfect channel knowledge.

    Args:
        symbols: [k] complex64, mean power 1, in the order of `Encoded.symbols`.
        config: Parameters of the channel. `multipath` and `tdl-*` give each symbol the gain of a carrier; clock,
            carrier, Doppler and converter have no effect.
        rng: Source of noise and gains.
        n_bursts: Number of bursts of the frame. Each has gains of its own and is dropped independently, with the
            symbols that framing assigns to it.

    Returns:
        Received symbols at unit gain, [k] complex64 (0 where lost), and their noise variance,
        [k] float32 (inf where lost).
    """
    n = len(symbols)
    bursts: Sequence[slice | npt.NDArray[np.int64]] = [slice(None)] if n_bursts == 1 else burst_members(n, n_bursts)
    if config.kind == "rayleigh-fast":
        h = complex_noise(rng, n, 1.0)
    else:
        h = np.empty(n, np.complex64)
        for members in bursts:
            h[members] = _burst_gains(len(h[members]), config, rng)
    noise_var = 10 ** (-config.snr_db / 10)
    gain = np.maximum(np.abs(h) ** 2, FADE_FLOOR)
    received = symbols + complex_noise(rng, n, noise_var) * np.conj(h) / gain
    lost = rng.random(n) < config.erasure if config.erasure > 0 else np.zeros(n, bool)
    for members in bursts if config.drop > 0 else []:
        lost[members] |= rng.random() < config.drop
    return np.where(lost, 0, received).astype(np.complex64), np.where(lost, np.inf, noise_var / gain).astype(np.float32)


def _burst_gains(n: int, config: ChannelConfig, rng: np.random.Generator) -> ComplexArray:
    """Gains of the n symbols of one burst, [n] complex64."""
    fading = draw_fading(replace(config, doppler_hz=0.0), rng)
    if fading.n_taps == 1:
        return np.full(n, fading.taps()[0], np.complex64)
    return np.asarray(np.resize(fading.response()[0], n)[rng.permutation(n)], np.complex64)
