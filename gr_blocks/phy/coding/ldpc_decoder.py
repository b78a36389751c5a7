# SPDX-License-Identifier: GPL-3.0-or-later
"""Layered minimum-sum decoding of quasi-cyclic LDPC codes, compiled by Numba: the one decoder of all LDPC codes here.

    llr -> totals [columns, z] --+--> less the row's old messages --> two smallest, all signs --> new messages --+
                                 ^-------------------------------------------------------------------------------+

A row of the lifted base matrix is one layer. Magnitudes are scaled and lowered by an offset. Decoding ends when all
parity checks hold. A decoder holds no state between blocks and releases the interpreter's lock, so any number of
threads may use it at once.

References:
    Hocevar, "A reduced complexity decoder architecture via layered decoding of LDPC codes", IEEE SiPS 2004.
    Chen, Dholakia, Eleftheriou, Fossorier and Hu, "Reduced-complexity decoding of LDPC codes", IEEE Trans. Commun.
    53(8), 2005: scaling and offset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

CERTAIN = np.float32(1e6)
"""Total (LLR) of a filler bit, which is known to be 0."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compile with Numba and cache the machine code on disk, where a folder for it can be written.

    Numba writes beside the module or into the user's cache folder and refuses to decorate where it can do neither, as
    for a service without a home; there the code is compiled anew in each process (5 to 10 s).
    """
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        compiled = numba.njit(nogil=True)(function)
    return cast(Function, compiled)


@dataclass(frozen=True, eq=False)
class LdpcDecoder:
    """Decoder of one quasi-cyclic code."""

    columns: npt.NDArray[np.int64]
    """Column of each circulant, row after row, [n_circulants]."""
    shifts: npt.NDArray[np.int64]
    """Shift of each circulant, [n_circulants]; its ones lie at (r, (r + shift) mod z)."""
    starts: npt.NDArray[np.int64]
    """Index of the first circulant of each row, and their number, [rows + 1]."""
    z: int
    """Lifting size."""
    scale: float
    """Factor for the magnitudes of messages, in (0, 1]."""
    offset: float
    """Reduction of the scaled magnitudes, LLR."""
    max_iterations: int

    @classmethod
    def from_base_matrix(
        cls, table: npt.NDArray[np.int64], z: int, *, scale: float, offset: float, max_iterations: int
    ) -> LdpcDecoder:
        """Decoder of a base matrix.

        Args:
            table: Shifts, [rows, columns]; -1 is the zero block.
            z: Lifting size.
            scale: Factor for the magnitudes of messages, in (0, 1].
            offset: Reduction of the scaled magnitudes, LLR.
            max_iterations: Iterations after which a block counts as lost.
        """
        rows, columns = np.nonzero(table >= 0)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table)))])
        return cls(
            np.ascontiguousarray(columns), np.ascontiguousarray(table[rows, columns], np.int64), starts, z, scale,
            offset, max_iterations,
        )  # fmt: skip

    def decode(self, llr: npt.NDArray[np.float32], known_zero: slice) -> tuple[npt.NDArray[np.float32], bool]:
        """Decode one block.

        Args:
            llr: LLRs from the channel, [columns z] float32, positive means 1; 0 where nothing is known.
            known_zero: Positions of filler bits, which are known to be 0.

        Returns:
            LLRs a posteriori, [columns z] float32, whose signs are the decisions; and whether every bit is decided and
            all parity checks hold. The magnitudes of a block that failed are too large.
        """
        totals = np.negative(llr, dtype=np.float32)  # positive means 0 in the kernel
        totals[known_zero] = CERTAIN
        messages = np.zeros((len(self.columns), self.z), np.float32)
        n_iterations = _decode(
            totals, messages, self.columns, self.shifts, self.starts, self.z, known_zero.start, known_zero.stop,
            self.max_iterations, np.float32(self.scale), np.float32(self.offset),
        )  # fmt: skip
        return -totals, n_iterations > 0


def compile_kernel() -> None:
    """Compile the decoder, or load its machine code from the cache, so that the first block does not wait for it.

    It takes some 0.3 s from the cache and 5 to 10 s where the cache is empty.
    """
    decoder = LdpcDecoder.from_base_matrix(np.array([[0, 0]]), 2, scale=1.0, offset=0.0, max_iterations=1)
    decoder.decode(np.zeros(4, np.float32), slice(0, 0))


@_compiled
def _decode(
    totals: Any, messages: Any, columns: Any, shifts: Any, starts: Any, z: int, known_from: int, known_to: int,
    max_iterations: int, scale: Any, offset: Any,
) -> int:  # fmt: skip
    """Decode in place; return the number of iterations that were needed, or -1 where a check still fails."""
    degree = 0
    for row in range(len(starts) - 1):
        degree = max(degree, starts[row + 1] - starts[row])
    values = np.empty((degree, z), np.float32)
    least, second, sign = np.empty(z, np.float32), np.empty(z, np.float32), np.empty(z, np.float32)
    place, parity = np.empty(z, np.int32), np.empty(z, np.uint8)
    for iteration in range(max_iterations):
        fails = False
        for row in range(len(starts) - 1):
            first, n = starts[row], starts[row + 1] - starts[row]
            least[:], second[:], sign[:] = CERTAIN, CERTAIN, 1.0
            place[:], parity[:] = 0, 0
            for k in range(n):
                shift, base = shifts[first + k], columns[first + k] * z
                value, message = values[k], messages[first + k]
                for i in range(z):
                    total = totals[base + (i + shift if i + shift < z else i + shift - z)]
                    parity[i] ^= total < 0
                    value[i] = total - message[i]
                for i in range(z):
                    size = abs(value[i])
                    if value[i] < 0:
                        sign[i] = -sign[i]
                    is_least = size < least[i]
                    before = least[i]
                    second[i] = before if is_least else min(second[i], size)
                    least[i] = size if is_least else before
                    place[i] = k if is_least else place[i]
            for i in range(z):
                if parity[i]:
                    fails = True
                least[i] = max(np.float32(0), least[i] * scale - offset)
                second[i] = max(np.float32(0), second[i] * scale - offset)
            for k in range(n):
                shift, base = shifts[first + k], columns[first + k] * z
                value, message = values[k], messages[first + k]
                for i in range(z):
                    size = second[i] if place[i] == k else least[i]
                    message[i] = size * (sign[i] if value[i] >= 0 else -sign[i])
                for i in range(z):
                    totals[base + (i + shift if i + shift < z else i + shift - z)] = value[i] + message[i]
            totals[known_from:known_to] = CERTAIN
        if not fails and _is_codeword(totals, columns, shifts, starts, z):
            return iteration + 1
    return -1


@_compiled
def _is_codeword(totals: Any, columns: Any, shifts: Any, starts: Any, z: int) -> bool:
    """Whether every bit of a check is decided and every check holds: undecided bits would pass as the word of zeros."""
    for row in range(len(starts) - 1):
        for i in range(z):
            parity = False
            for k in range(starts[row], starts[row + 1]):
                total = totals[columns[k] * z + (i + shifts[k]) % z]
                if total == 0:
                    return False
                parity ^= total < 0
            if parity:
                return False
    return True
