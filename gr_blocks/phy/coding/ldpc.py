# SPDX-License-Identifier: GPL-3.0-or-later
"""LDPC codes of IEEE 802.16e, shortened to any number of information bits.

Shortening: information bits that the mother code has beyond `n_info` are zero and are not sent. `ldpc_decoder` decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.ldpc_matrices import BASE, N_COLUMNS, Z_LIST, CodeRate, shifts

if TYPE_CHECKING:  # see `requirements`
    from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder

Bits = npt.NDArray[np.uint8]
MAX_ITERATIONS = 40
SCALE = 0.8
"""Scaling of the minimum-sum messages; 0.75 and 0.85 cost less than 0.1 dB, 1.0 costs 0.4 dB
(python -m gened.bench.modes). With 0.9 and an offset of 0.2 up to a quarter fewer blocks are lost; the thresholds of
modes and schemes and all published error rates were measured with 0.8 and without offset."""
CAUTIOUS_SCALE = 0.75
"""Scaling for LLRs of blocks that fail. It loses more blocks but exaggerates LLRs less: of bits with LLRs of 12 or more
in blocks that fail, 1 in 70,000 is wrong at 1072 information bits and Es/N0 = -2 dB, with `SCALE` 1 in 17,000."""
MAX_LLR = 128.0
"""Limit of the channel's LLRs, so that those of a block that fails stay bounded."""


@lru_cache(maxsize=64)
def _encoder(
    code_rate: CodeRate, z: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], tuple[tuple[int, npt.NDArray[np.intp]], ...]]:
    """Index tables of the encoder.

    Returns:
        Message bits that enter each circulant of the message part, [circulants, z]; the first circulant of each row,
        [rows]; and, for each of the three circulants of the first parity column, its row and the bits of the first
        parity block that enter it, [z]. Two of these three circulants have the same shift.
    """
    matrix, inner = shifts(code_rate, z), np.arange(z)
    n_message = N_COLUMNS - len(matrix)
    rows, columns = np.nonzero(matrix[:, :n_message] >= 0)
    shifted = (inner + matrix[rows, columns][:, None]) % z
    first = tuple((int(row), (inner + matrix[row, n_message]) % z) for row in np.flatnonzero(matrix[:, n_message] >= 0))
    return columns[:, None] * z + shifted, np.searchsorted(rows, np.arange(len(matrix))), first


@lru_cache(maxsize=64)
def _decoder(code_rate: CodeRate, z: int, scale: float) -> LdpcDecoder:
    from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder

    return LdpcDecoder.from_base_matrix(shifts(code_rate, z), z, scale=scale, offset=0.0, max_iterations=MAX_ITERATIONS)


@dataclass(frozen=True)
class Decoded:
    """A decoded block."""

    llr: npt.NDArray[np.float32]
    """LLRs a posteriori of the information bits, [n_info] float32; positive means 1."""
    converged: bool
    """Whether every bit is decided and all parity checks hold, as `LdpcCode.decode` has it."""

    @property
    def bits(self) -> Bits:
        """Decisions, [n_info] uint8 of 0 and 1."""
        return (self.llr > 0).astype(np.uint8)


@dataclass(frozen=True)
class LdpcCode:
    """A systematic code for exactly `n_info` bits.

    Args:
        code_rate: Rate of the mother code; shortening lowers it.
        z: Expansion factor, one of `Z_LIST`.
        n_info: Number of information bits, at most those of the mother code.
    """

    code_rate: CodeRate
    z: int
    n_info: int

    @staticmethod
    def max_info(code_rate: CodeRate, z: int = Z_LIST[-1]) -> int:
        """Number of information bits of the unshortened code."""
        return (N_COLUMNS - len(BASE[code_rate])) * z

    @classmethod
    def for_payload(cls, n_info: int, code_rate: CodeRate = "1/2") -> LdpcCode:
        """The shortest code of the family that holds `n_info` bits.

        Raises:
            ConfigError: `n_info` is not between 1 and the capacity of the longest code, or there is no such rate.
        """
        if code_rate not in BASE:
            raise ConfigError(f"code rate {code_rate}; known are {', '.join(BASE)}")
        if not 1 <= n_info <= cls.max_info(code_rate):
            raise ConfigError(
                f"{n_info} information bits; a block of rate {code_rate} holds 1 to {cls.max_info(code_rate)}"
            )
        z = next(z for z in Z_LIST if cls.max_info(code_rate, z) >= n_info)
        return cls(code_rate, z, n_info)

    @property
    def n_parity(self) -> int:
        """Number of parity bits; all of them are sent."""
        return len(BASE[self.code_rate]) * self.z

    @property
    def n_coded(self) -> int:
        """Number of bits sent."""
        return self.n_info + self.n_parity

    @property
    def _n_short(self) -> int:
        return self.max_info(self.code_rate, self.z) - self.n_info

    def encode(self, bits: Bits) -> Bits:
        """Encode one block systematically.

        Args:
            bits: Information bits, [n_info] uint8 of 0 and 1.

        Returns:
            The information bits followed by the parity bits, [n_coded] uint8.

        Raises:
            ValueError: The number of bits is not n_info.
        """
        if len(bits) != self.n_info:
            raise ValueError(f"{len(bits)} bits for a code of {self.n_info}")
        where, first_of_row, first = _encoder(self.code_rate, self.z)
        message = np.concatenate([bits, np.zeros(self._n_short, np.uint8)])
        sums = np.bitwise_xor.reduceat(message[where], first_of_row, axis=0)  # [rows, z]
        # In the sum of all rows the pair of equal shifts and the double diagonal cancel; the block of shift 0 remains.
        start = np.bitwise_xor.reduce(sums, axis=0)
        for row, shifted in first:
            sums[row] ^= start[shifted]
        parity = np.concatenate([start[None], np.bitwise_xor.accumulate(sums[:-1], axis=0)])
        return np.concatenate([bits, parity.ravel()])

    def decode(self, llr: npt.NDArray[np.floating[Any]]) -> tuple[Bits, bool]:
        """Decode one block to hard decisions.

        Args:
            llr: LLRs from the channel, [n_coded], positive means 1; 0 where nothing is known.

        Returns:
            Information bits, [n_info] uint8; and whether every bit is decided and all parity checks hold.
        """
        posterior, converged = self._posterior(llr, SCALE)
        return (posterior > 0).astype(np.uint8), converged

    def decode_soft(self, llr: npt.NDArray[np.floating[Any]]) -> Decoded:
        """Decode one block to LLRs a posteriori.

        A block that fails is decoded again with `CAUTIOUS_SCALE`, whose LLRs deserve more trust.

        Args:
            llr: As for `decode`.
        """
        posterior, converged = self._posterior(llr, SCALE)
        if not converged:
            posterior, _ = self._posterior(llr, CAUTIOUS_SCALE)
        return Decoded(posterior, converged)

    def _posterior(self, llr: npt.NDArray[np.floating[Any]], scale: float) -> tuple[npt.NDArray[np.float32], bool]:
        """LLRs a posteriori of the information bits, [n_info]; and whether the decoder converged."""
        full = np.zeros(N_COLUMNS * self.z, np.float32)
        shortened = slice(self.n_info, self.n_info + self._n_short)
        full[: self.n_info], full[shortened.stop :] = llr[: self.n_info], llr[self.n_info :]
        np.clip(full, -MAX_LLR, MAX_LLR, out=full)
        posterior, converged = _decoder(self.code_rate, self.z, scale).decode(full, shortened)
        return posterior[: self.n_info], converged
