# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthonormal spreading of every coefficient over all symbols, so that a lost symbol costs each of them a little."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, idct

from gened.gr_blocks.phy.coding.interleave import hash_stream, permutation

SIGN_SEED = 101
ORDER_SEED = 102

Float32Array = npt.NDArray[np.float32]


@lru_cache(maxsize=2)
def _signs(n: int) -> Float32Array:
    signs = np.where(hash_stream(n, SIGN_SEED) >> np.uint64(63), np.float32(-1), np.float32(1))
    signs.setflags(write=False)
    return signs


def spread(values: Float32Array) -> Float32Array:
    """Coefficients [n] to the real coordinates of the frame's symbols, [n]: signs, permutation and DCT, orthonormal."""
    n = len(values)
    if n == 0:
        return values
    return np.asarray(dct((values * _signs(n))[permutation(n, ORDER_SEED)], type=2, norm="ortho"), np.float32)


def gather(reals: Float32Array) -> Float32Array:
    """The inverse of `spread`, which is its transpose."""
    n = len(reals)
    if n == 0:
        return reals
    values = np.empty(n, np.float32)
    values[permutation(n, ORDER_SEED)] = idct(reals, type=2, norm="ortho")
    return values * _signs(n)
