# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed permutations and pseudo-random symbols that are part of the wire format.

NumPy does not guarantee the streams of its generators between versions, so they are derived from a hash of our own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import ComplexArray

FRAME_SEED = 1
"""Seed of the permutation of a frame's analogue symbols. Part of the wire format."""


def splitmix64(index: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Output function of SplitMix64.

    Args:
        index: Counters, any shape, uint64.

    Returns:
        Hashes, same shape, uint64.

    References:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        z = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def hash_stream(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """The first `n` 64-bit hashes of a stream, [n] uint64.

    Args:
        n: Number of hashes, at most 2^40.
        seed: Number of the stream, below 2^24; streams are 2^40 counters apart.
    """
    return splitmix64(np.arange(n, dtype=np.uint64) + np.uint64(seed << 40))


LARGE = 1 << 16
"""Length from which only one permutation stays in the cache: forged headers must not fill the memory with them."""


def permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    """A fixed permutation of 0 to n - 1.

    Args:
        n: Length.
        seed: Number of the stream of `hash_stream` whose order of hashes gives the permutation.

    Returns:
        [n] int64, read-only.
    """
    return _small(n, seed) if n <= LARGE else _large(n, seed)


def _permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    order = np.argsort(hash_stream(n, seed), kind="stable")
    order.setflags(write=False)
    return order


_small = lru_cache(maxsize=64)(_permutation)
_large = lru_cache(maxsize=1)(_permutation)


def qpsk_stream(n: int, seed: int) -> ComplexArray:
    """Fixed pseudo-random QPSK symbols.

    Args:
        n: Number of symbols.
        seed: Number of the stream of `hash_stream`.

    Returns:
        [n] complex64, unit energy.
    """
    top = hash_stream(n, seed) >> np.uint64(62)
    symbols: ComplexArray = np.exp(1j * (np.pi / 4 + np.pi / 2 * top.astype(np.float64))).astype(np.complex64)
    return symbols


def burst_members(n_symbols: int, count: int) -> list[npt.NDArray[np.int64]]:
    """Assignment of a frame's analogue symbols to its bursts.

    Args:
        n_symbols: Number of analogue symbols of the frame.
        count: Number of bursts.

    Returns:
        One array per burst: indices into `Encoded.symbols`, [about n_symbols / count] int64, in the order of sending.
    """
    order = permutation(n_symbols, FRAME_SEED)
    return [order[index * n_symbols // count : (index + 1) * n_symbols // count] for index in range(count)]
