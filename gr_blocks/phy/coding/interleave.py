# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed permutations and pseudo-random bits that are the same on every machine for ever.

NumPy does not promise that its generators keep their streams; the wire needs a promise, so it has its own hash.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import ComplexArray

FRAME_SEED = 1
"""Seed of the permutation of a frame's analogue symbols. Part of the wire format."""


def splitmix64(index: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64 at the given counters, uint64.

    References:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        z = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def hash_stream(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """`n` 64-bit hashes of stream `seed`; streams are 2^40 apart."""
    return splitmix64(np.arange(n, dtype=np.uint64) + np.uint64(seed << 40))


LARGE = 1 << 16
"""Permutations longer than this are kept one at a time: forged headers must not fill the memory with them."""


def permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    """A fixed permutation of 0 .. n-1, [n] int64, read-only."""
    return _small(n, seed) if n <= LARGE else _large(n, seed)


def _permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    order = np.argsort(hash_stream(n, seed), kind="stable")
    order.setflags(write=False)
    return order


_small = lru_cache(maxsize=64)(_permutation)
_large = lru_cache(maxsize=1)(_permutation)


def qpsk_stream(n: int, seed: int) -> ComplexArray:
    """`n` fixed pseudo-random QPSK symbols of unit energy, [n] complex64."""
    top = hash_stream(n, seed) >> np.uint64(62)
    symbols: ComplexArray = np.exp(1j * (np.pi / 4 + np.pi / 2 * top.astype(np.float64))).astype(np.complex64)
    return symbols


def burst_members(n_symbols: int, count: int) -> list[npt.NDArray[np.int64]]:
    """Which of a frame's analogue symbols travel in each of its bursts.

    Args:
        n_symbols: Analogue symbols of the frame.
        count: Its bursts.

    Returns:
        One array a burst: indices into `Encoded.symbols`, in the order in which they are sent.
    """
    order = permutation(n_symbols, FRAME_SEED)
    return [order[index * n_symbols // count : (index + 1) * n_symbols // count] for index in range(count)]
