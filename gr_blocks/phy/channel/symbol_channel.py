# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel of analogue symbols with perfect equalisation, for `gened evaluate`: gains, noise, erasures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.config import FADE_FLOOR, ChannelConfig
from gened.gr_blocks.phy.channel.fading import draw_fading
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import burst_members
from gened.gr_blocks.phy.types import ComplexArray, FloatArray


class SymbolDraws(NamedTuple):
    """The random part of the channel of one frame."""

    gains: ComplexArray
    """Channel gains, [n] complex64, mean power 1."""
    noise: ComplexArray
    """Noise before equalisation, [n] complex64, of variance 10^(-snr_db / 10)."""
    lost: npt.NDArray[np.bool_]
    """Lost symbols, [n] bool."""


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
    draws = draw_symbols(len(symbols), config, rng, n_bursts=n_bursts)
    gain = np.maximum(np.abs(draws.gains) ** 2, FADE_FLOOR)
    received = np.where(draws.lost, 0, symbols + draws.noise * np.conj(draws.gains) / gain)
    noise_var = np.where(draws.lost, np.inf, 10 ** (-config.snr_db / 10) / gain)
    return received.astype(np.complex64), noise_var.astype(np.float32)


def draw_symbols(n: int, config: ChannelConfig, rng: np.random.Generator, *, n_bursts: int = 1) -> SymbolDraws:
    """The random part of the channel for n symbols; see `apply_symbols`."""
    gains = draw_burst_gains(n, config, rng, n_bursts=n_bursts)
    noise = complex_noise(rng, n, 10 ** (-config.snr_db / 10))
    lost = rng.random(n) < config.erasure if config.erasure > 0 else np.zeros(n, bool)
    for members in _bursts(n, n_bursts) if config.drop > 0 else []:
        lost[members] |= rng.random() < config.drop
    return SymbolDraws(gains, noise, lost)


def draw_burst_gains(n: int, config: ChannelConfig, rng: np.random.Generator, *, n_bursts: int = 1) -> ComplexArray:
    """Channel gains of the n symbols of a frame, [n] complex64; each burst has gains of its own."""
    if config.kind == "rayleigh-fast":
        return complex_noise(rng, n, 1.0)
    gains = np.empty(n, np.complex64)
    for members in _bursts(n, n_bursts):
        gains[members] = _burst_gains(len(gains[members]), config, rng)
    return gains


def _bursts(n: int, n_bursts: int) -> Sequence[slice | npt.NDArray[np.int64]]:
    """Indices of the symbols of each burst."""
    return [slice(None)] if n_bursts == 1 else burst_members(n, n_bursts)


def _burst_gains(n: int, config: ChannelConfig, rng: np.random.Generator) -> ComplexArray:
    """Gains of the n symbols of one burst, [n] complex64."""
    fading = draw_fading(replace(config, doppler_hz=0.0), rng)
    if fading.n_taps == 1:
        return np.full(n, fading.taps()[0], np.complex64)
    return np.asarray(np.resize(fading.response()[0], n)[rng.permutation(n)], np.complex64)
