# SPDX-License-Identifier: GPL-3.0-or-later
"""LDPC codes of IEEE 802.16e, shortened to any number of information bits; decoding by the `ldpc` package.

References:
    IEEE Std 802.16e-2005, section 8.4.9.2.5: base matrices of rate 1/2, 2/3A and 3/4A, expansion by z = 24, 28 ... 96.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.errors import ConfigError

if TYPE_CHECKING:  # whoever only counts symbols, as a training does, needs neither
    from ldpc.bp_decoder import BpDecoder
    from scipy.sparse import csr_matrix

CodeRate = Literal["1/2", "2/3", "3/4"]
Bits = npt.NDArray[np.uint8]
N_COLUMNS = 24
Z_LIST = tuple(range(24, 97, 4))
MAX_ITERATIONS = 40
MS_SCALING = 0.8
"""Scale of the minimum-sum messages; 0.75 and 0.85 cost less than 0.1 dB, 1.0 costs 0.4 dB
(python -m gened.gr_blocks.bench.modes)."""
SURE = 1e-7
"""Error probability of a shortened bit, and the floor of all others."""

_DECODING = threading.Lock()
"""GNU Radio runs the block that reads headers and the one that reads captions in two threads, with one decoder."""

_HALF = """
-1 94 73 -1 -1 -1 -1 -1 55 83 -1 -1  7  0 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 27 -1 -1 -1 22 79  9 -1 -1 -1 12 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 -1 -1 24 22 81 -1 33 -1 -1 -1  0 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1
61 -1 47 -1 -1 -1 -1 -1 65 25 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1
-1 -1 39 -1 -1 -1 84 -1 -1 41 72 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1
-1 -1 -1 -1 46 40 -1 82 -1 -1 -1 79  0 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1
-1 -1 95 53 -1 -1 -1 -1 -1 14 18 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1
-1 11 73 -1 -1 -1  2 -1 -1 47 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1
12 -1 -1 -1 83 24 -1 43 -1 -1 -1 51 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1
-1 -1 -1 -1 -1 94 -1 59 -1 -1 70 72 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1
-1 -1  7 65 -1 -1 -1 -1 39 49 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0
43 -1 -1 -1 -1 66 -1 41 -1 -1 -1 26  7 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0
"""
_TWO_THIRDS = """
 3  0 -1 -1  2  0 -1  3  7 -1  1  1 -1 -1 -1 -1  1  0 -1 -1 -1 -1 -1 -1
-1 -1  1 -1 36 -1 -1 34 10 -1 -1 18  2 -1  3  0 -1  0  0 -1 -1 -1 -1 -1
-1 -1 12  2 -1 15 -1 40 -1  3 -1 15 -1  2 13 -1 -1 -1  0  0 -1 -1 -1 -1
-1 -1 19 24 -1  3  0 -1  6 -1 17 -1 -1 -1  8 39 -1 -1 -1  0  0 -1 -1 -1
20 -1  6 -1 -1 10 29 -1 -1 28 -1 14 -1 38 -1 -1  0 -1 -1 -1  0  0 -1 -1
-1 -1 10 -1 28 20 -1 -1  8 -1 36 -1  9 -1 21 45 -1 -1 -1 -1 -1  0  0 -1
35 25 -1 37 -1 21 -1 -1  5 -1 -1  0 -1  4 20 -1 -1 -1 -1 -1 -1 -1  0  0
-1  6  6 -1 -1 -1  4 -1 14 30 -1  3 36 -1 14 -1  1 -1 -1 -1 -1 -1 -1  0
"""
_THREE_QUARTERS = """
 6 38  3 93 -1 -1 -1 30 70 -1 86 -1 37 38  4 11 -1 46 48  0 -1 -1 -1 -1
62 94 19 84 -1 92 78 -1 15 -1 -1 92 -1 45 24 32 30 -1 -1  0  0 -1 -1 -1
71 -1 55 -1 12 66 45 79 -1 78 -1 -1 10 -1 22 55 70 82 -1 -1  0  0 -1 -1
38 61 -1 66  9 73 47 64 -1 39 61 43 -1 -1 -1 -1 95 32  0 -1 -1  0  0 -1
-1 -1 -1 -1 32 52 55 80 95 22  6 51 24 90 44 20 -1 -1 -1 -1 -1 -1  0  0
-1 63 31 88 20 -1 -1 -1  6 40 56 16 71 53 -1 -1 27 26 48 -1 -1 -1 -1  0
"""
_BASE: dict[str, npt.NDArray[np.int64]] = {
    rate: np.array(text.split(), dtype=np.int64).reshape(-1, N_COLUMNS)
    for rate, text in {"1/2": _HALF, "2/3": _TWO_THIRDS, "3/4": _THREE_QUARTERS}.items()
}


def shifts(code_rate: CodeRate, z: int) -> npt.NDArray[np.int64]:
    """The base matrix scaled to expansion factor `z`, [rows, 24]; -1 is the zero block.

    floor(p z / 96) for rates 1/2 and 3/4A, p mod z for 2/3A, as the standard says.
    """
    base = _BASE[code_rate]
    scaled = base % z if code_rate == "2/3" else base * z // 96
    return np.where(base < 0, -1, scaled)


@lru_cache(maxsize=64)
def parity_check_matrix(code_rate: CodeRate, z: int) -> csr_matrix:
    """H, [rows z, 24 z] uint8 sparse. A block of shift s has its ones at (r, (r + s) mod z)."""
    from scipy.sparse import csr_matrix

    blocks = shifts(code_rate, z)
    rows, columns = np.nonzero(blocks >= 0)
    inner = np.arange(z)
    row_index = (rows[:, None] * z + inner).ravel()
    column_index = (columns[:, None] * z + (inner + blocks[rows, columns][:, None]) % z).ravel()
    ones = np.ones(len(row_index), np.uint8)
    return csr_matrix((ones, (row_index, column_index)), shape=(blocks.shape[0] * z, N_COLUMNS * z))


@lru_cache(maxsize=64)
def _decoder(code_rate: CodeRate, z: int) -> BpDecoder:
    """One decoder a code; its channel probabilities are set before each use, under `_DECODING`."""
    from ldpc.bp_decoder import BpDecoder

    return BpDecoder(
        parity_check_matrix(code_rate, z),
        error_rate=0.1,
        max_iter=MAX_ITERATIONS,
        bp_method="minimum_sum",
        ms_scaling_factor=MS_SCALING,
        schedule="serial",
        input_vector_type="syndrome",
    )


@dataclass(frozen=True)
class LdpcCode:
    """A code for exactly `n_info` bits: systematic, the bits that the expansion has too many are zero and not sent.

    Args:
        code_rate: Of the mother code; shortening lowers it.
        z: Expansion factor, of the standard's list.
        n_info: Information bits, at most those of the mother code.
    """

    code_rate: CodeRate
    z: int
    n_info: int

    @staticmethod
    def max_info(code_rate: CodeRate, z: int = Z_LIST[-1]) -> int:
        """Information bits of the unshortened code."""
        return (N_COLUMNS - len(_BASE[code_rate])) * z

    @classmethod
    def for_payload(cls, n_info: int, code_rate: CodeRate = "1/2") -> LdpcCode:
        """The shortest code of the family that holds `n_info` bits.

        Raises:
            ConfigError: Not between 1 and what the longest code holds, or no such rate.
        """
        if code_rate not in _BASE:
            raise ConfigError(f"code rate {code_rate}; known are {', '.join(_BASE)}")
        if not 1 <= n_info <= cls.max_info(code_rate):
            raise ConfigError(
                f"{n_info} information bits; a block of rate {code_rate} holds 1 to {cls.max_info(code_rate)}"
            )
        z = next(z for z in Z_LIST if cls.max_info(code_rate, z) >= n_info)
        return cls(code_rate, z, n_info)

    @property
    def n_parity(self) -> int:
        """Parity bits, all of them sent."""
        return len(_BASE[self.code_rate]) * self.z

    @property
    def n_coded(self) -> int:
        """Bits sent."""
        return self.n_info + self.n_parity

    @property
    def _n_short(self) -> int:
        return self.max_info(self.code_rate, self.z) - self.n_info

    def encode(self, bits: Bits) -> Bits:
        """Information bits [n_info] to [n_coded]: the bits themselves, then the parity.

        Raises:
            ValueError: Another number of bits.
        """
        if len(bits) != self.n_info:
            raise ValueError(f"{len(bits)} bits for a code of {self.n_info}")
        matrix, z = shifts(self.code_rate, self.z), self.z
        n_rows = len(matrix)
        n_message = N_COLUMNS - n_rows
        message = np.concatenate([bits, np.zeros(self._n_short, np.uint8)]).reshape(n_message, z)
        sums = np.zeros((n_rows, z), np.uint8)
        for row, column in zip(*np.nonzero(matrix[:, :n_message] >= 0), strict=True):
            sums[row] ^= np.roll(message[column], -matrix[row, column])
        first = matrix[:, n_message]  # the first parity block stands in three rows, twice with the same shift
        parity = np.zeros((n_rows, z), np.uint8)
        # All rows added: the pair of equal shifts and the double diagonal cancel, the block of shift 0 is left.
        parity[0] = np.bitwise_xor.reduce(sums, axis=0)
        carry = np.zeros(z, np.uint8)
        for row in range(n_rows - 1):
            carry = carry ^ sums[row]
            if first[row] >= 0:
                carry = carry ^ np.roll(parity[0], -first[row])
            parity[row + 1] = carry
        return np.concatenate([bits, parity.ravel()])

    def decode(self, llr: npt.NDArray[np.float64]) -> tuple[Bits, bool]:
        """Soft values to information bits.

        Args:
            llr: [n_coded], positive means 1.

        Returns:
            Bits [n_info], and whether all parity checks hold.
        """
        full = np.concatenate([llr[: self.n_info], np.full(self._n_short, -1e4), llr[self.n_info :]])
        hard = (full > 0).astype(np.uint8)
        matrix = parity_check_matrix(self.code_rate, self.z)
        syndrome = (matrix @ hard % 2).astype(np.uint8)
        if not syndrome.any():
            return hard[: self.n_info], True
        error_probs = np.maximum(1 / (1 + np.exp(np.minimum(np.abs(full), 50))), SURE)
        with _DECODING:
            decoder = _decoder(self.code_rate, self.z)
            decoder.update_channel_probs(error_probs)
            error = cast(Bits, decoder.decode(syndrome))
            converged = bool(decoder.converge)
        return (hard ^ error)[: self.n_info].astype(np.uint8), converged
