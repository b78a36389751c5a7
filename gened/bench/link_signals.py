# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals without frames, from which no frame may be received: noise and other signals in a band.

All but silence have noise 30 dB below the signal. They come in pieces of a million samples that continue each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray

PIECE = 1_000_000
CHUNK = 65536
NOISE_VAR = 1e-3
CHIRP_LEN = 10_000
"""Samples per sweep over 80 % of the band."""
OFDM_FFT, OFDM_PREFIX = 64, 16
OFDM_CARRIERS = np.r_[-26:0, 1:27]
"""FFT length and prefix as in IEEE 802.11a and in GNU Radio's example."""

Piece = Callable[[int, int, np.random.Generator], ComplexArray]
"""Function of (first, n, rng) that returns n samples from index `first`, [n] complex64."""


@dataclass(frozen=True)
class FalseFrames:
    """Result for one signal."""

    signal: str
    samples: int
    candidates: int
    preambles: int
    frames: int
    """Number of false frames; must be 0."""


def noise(first: int, n: int, rng: np.random.Generator) -> ComplexArray:
    """White noise of power 1, [n] complex64."""
    return complex_noise(rng, n, 1.0)


def tone(first: int, n: int, rng: np.random.Generator) -> ComplexArray:
    """Unmodulated carrier of power 1, [n] complex64."""
    cycles = 0.1234567 * (first + np.arange(n))
    return np.asarray(np.exp(2j * np.pi * (cycles % 1)), np.complex64) + complex_noise(rng, n, NOISE_VAR)


def chirp(first: int, n: int, rng: np.random.Generator) -> ComplexArray:
    """Repeated frequency sweeps over the band, [n] complex64."""
    t = (first + np.arange(n)) % CHIRP_LEN
    cycles = -0.4 * t + 0.4 * t**2 / CHIRP_LEN
    return np.asarray(np.exp(2j * np.pi * (cycles % 1)), np.complex64) + complex_noise(rng, n, NOISE_VAR)


def ofdm(first: int, n: int, rng: np.random.Generator) -> ComplexArray:
    """OFDM signal of another system, [n] complex64: 64 carriers, prefix 16; every 20th symbol has two equal halves, as
        a
    preamble."""
    count = n // (OFDM_FFT + OFDM_PREFIX) + 1
    grid = np.zeros((count, OFDM_FFT), np.complex64)
    grid[:, OFDM_CARRIERS] = np.exp(0.5j * np.pi * rng.integers(0, 4, (count, len(OFDM_CARRIERS))))
    grid[::20, 1::2] = 0
    body = np.fft.ifft(grid, axis=1) * (OFDM_FFT / np.sqrt(len(OFDM_CARRIERS)))
    samples = np.concatenate([body[:, -OFDM_PREFIX:], body], axis=1).ravel()[:n]
    return np.asarray(samples + complex_noise(rng, n, NOISE_VAR), np.complex64)


def silence(first: int, n: int, rng: np.random.Generator) -> ComplexArray:
    """Zeros, as from a receiver without an antenna, [n] complex64."""
    return np.zeros(n, np.complex64)


SIGNALS: dict[str, Piece] = {"noise": noise, "tone": tone, "chirp": chirp, "ofdm": ofdm, "silence": silence}


def pieces(name: str, n_samples: int, seed: int) -> Iterator[ComplexArray]:
    """Generate the samples of a signal, a million at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, n_samples, PIECE):
        yield SIGNALS[name](first, min(PIECE, n_samples - first), rng)


def false_frames(name: str, n_samples: int, seed: int) -> FalseFrames:
    """Count false frames from a signal.

    Args:
        name: A key of `SIGNALS`.
        n_samples: Length of the signal in samples.
        seed: Seed of noise and content.
    """
    receiver, n_frames = Receiver(), 0
    for piece in pieces(name, n_samples, seed):
        for at in range(0, len(piece), CHUNK):
            n_frames += len(receiver.push(piece[at : at + CHUNK]))
    n_frames += len(receiver.flush())
    stats = receiver.detector.stats
    return FalseFrames(name, n_samples, stats.candidates, stats.preambles, n_frames)
