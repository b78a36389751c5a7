# SPDX-License-Identifier: GPL-3.0-or-later
"""Mapping of bits to BPSK, QPSK, 16-QAM, 64-QAM and 256-QAM symbols and back to LLRs.

Labels are Gray, the mean energy is 1, and LLRs are positive for bit 1. The first half of a symbol's bits chooses the
real part, the second half the imaginary part. The first bit of each half is the sign (1: negative), the others follow
3GPP TS 38.211, section 5.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ComplexArray

BITS_PER_SYMBOL = (1, 2, 4, 6, 8)
"""Modulations that exist, by bits per symbol."""


@lru_cache(maxsize=8)
def _levels(n_bits: int) -> npt.NDArray[np.float64]:
    """Amplitudes of one axis by the value of its bits, [2^n_bits], mean square 1/2."""
    values = np.arange(2**n_bits)
    bits = (values[:, None] >> np.arange(n_bits - 1, -1, -1)) & 1
    amplitude: npt.NDArray[np.float64] = np.ones(len(values))
    for place in range(n_bits - 1, 0, -1):  # TS 38.211: (1-2a)(4-(1-2b)(2-(1-2c)))
        amplitude = 2.0 ** (n_bits - place) - (1 - 2 * bits[:, place]) * amplitude
    amplitude = (1 - 2 * bits[:, 0]) * amplitude
    amplitude /= np.sqrt(2 * np.mean(amplitude**2))
    return amplitude


def _check(bits_per_symbol: int) -> None:
    if bits_per_symbol not in BITS_PER_SYMBOL:
        raise ConfigError(f"{bits_per_symbol} bits per symbol; known are {', '.join(map(str, BITS_PER_SYMBOL))}")


def _indices(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Integers of groups of bits, [n, m] to [n], most significant bit first."""
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1] - 1, -1, -1))


def modulate(bits: npt.NDArray[np.uint8], bits_per_symbol: int) -> ComplexArray:
    """Map bits to symbols of unit mean energy.

    Args:
        bits: [n] uint8 of 0 and 1; padded with zeros to whole symbols.
        bits_per_symbol: 1, 2, 4, 6 or 8.

    Returns:
        [ceil(n / bits_per_symbol)] complex64.

    Raises:
        ConfigError: No such modulation.
    """
    _check(bits_per_symbol)
    padded = np.concatenate([bits, np.zeros(-len(bits) % bits_per_symbol, np.uint8)]).reshape(-1, bits_per_symbol)
    if bits_per_symbol == 1:
        signs: ComplexArray = (1 - 2 * padded[:, 0].astype(np.float32)).astype(np.complex64)
        return signs
    half = bits_per_symbol // 2
    levels = _levels(half)
    symbols: ComplexArray = np.empty(len(padded), np.complex64)
    symbols.real, symbols.imag = levels[_indices(padded[:, :half])], levels[_indices(padded[:, half:])]
    return symbols


@lru_cache(maxsize=8)
def _levels_with(n_bits: int) -> tuple[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], ...]:
    """Indices of the levels at which each bit of an axis is 0, and of those at which it is 1."""
    values = np.arange(2**n_bits)
    bits = (values[:, None] >> np.arange(n_bits - 1, -1, -1)) & 1
    return tuple((np.flatnonzero(bit == 0), np.flatnonzero(bit == 1)) for bit in bits.T)


def _axis_llr(
    values: npt.NDArray[np.float64], noise_var: npt.NDArray[np.float64], n_bits: int
) -> npt.NDArray[np.float64]:
    """LLRs of the bits of one axis, [n, n_bits]; `noise_var` is the whole complex variance, [n]."""
    # d^2 / (2 sigma^2) with sigma^2 = noise_var / 2
    distance = (values - _levels(n_bits)[:, None]) ** 2 / noise_var  # [levels, n]
    llr = np.empty((len(values), n_bits))
    for place, (zero, one) in enumerate(_levels_with(n_bits)):
        llr[:, place] = _log_sum(distance[one]) - _log_sum(distance[zero])
    return llr


def _log_sum(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ln of the sum of exp(-distance) over the first axis: the nearest level (max-log) and the terms of the others."""
    nearest = distance.min(axis=0)
    others = np.exp(nearest - distance).sum(axis=0) if len(distance) > 1 else 1.0
    return np.asarray(np.log(others) - nearest)


def demodulate(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], bits_per_symbol: int
) -> npt.NDArray[np.float64]:
    """Exact LLRs of the bits, ln P(1) - ln P(0): positive means 1.

    Max-log LLRs, from the nearest level alone, lose 0.02 dB with 64-QAM at rate 1/2 and nothing at rate 3/4
    (python -m gened.bench.modes).

    Args:
        symbols: [n] complex, equalised to unit gain; values that are not finite count as lost.
        noise_var: Whole complex noise variance of each symbol, [n]; inf where a symbol was lost, which gives LLR 0.
        bits_per_symbol: 1, 2, 4, 6 or 8.

    Returns:
        [n bits_per_symbol] float64 in [-1e4, 1e4].

    Raises:
        ConfigError: No such modulation.
    """
    _check(bits_per_symbol)
    good = np.isfinite(symbols) & (np.abs(symbols) < 1e6)
    y = np.where(good, symbols, 0).astype(np.complex128)
    var = np.where(good & np.isfinite(noise_var), noise_var, np.inf).astype(np.float64)
    var = np.maximum(var, 1e-9)
    if bits_per_symbol == 1:
        llr = -4 * y.real / var
    else:
        half = bits_per_symbol // 2
        llr = np.concatenate([_axis_llr(y.real, var, half), _axis_llr(y.imag, var, half)], axis=1).ravel()
    return np.clip(llr, -1e4, 1e4)
