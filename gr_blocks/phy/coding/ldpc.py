# SPDX-License-Identifier: GPL-3.0-or-later
"""LDPC codes of IEEE 802.16e, shortened to any number of information bits.

One block is decoded by the `ldpc` package, several together by `ldpc_layered`: the same codes, the same strength.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.ldpc_layered import MAX_ITERATIONS as MAX_ITERATIONS
from gened.gr_blocks.phy.coding.ldpc_layered import decode_batch
from gened.gr_blocks.phy.coding.ldpc_matrices import BASE, N_COLUMNS, Z_LIST, CodeRate, parity_check_matrix, shifts

if TYPE_CHECKING:  # whoever only counts symbols, as a training does, has no need of it
    from ldpc.bp_decoder import BpDecoder

Bits = npt.NDArray[np.uint8]
MS_SCALING = 0.8
"""Scale of the minimum-sum messages; 0.75 and 0.85 cost less than 0.1 dB, 1.0 costs 0.4 dB
(python -m gened.bench.modes)."""
SURE = 1e-7
"""Error probability of a shortened bit, and the floor of all others."""

_DECODING = threading.Lock()
"""GNU Radio runs the block that reads headers and the one that reads captions in two threads, with one decoder."""


@lru_cache(maxsize=64)
def _encoder(
    code_rate: CodeRate, z: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], tuple[tuple[int, npt.NDArray[np.intp]], ...]]:
    """What the encoder adds up.

    Returns:
        Message bits that each block of the message part takes in, [blocks, z]; the first block of each row; and the
        rows of the first parity column with the bits of the first parity block that they take in. That column stands in
        three rows, twice with the same shift.
    """
    matrix, inner = shifts(code_rate, z), np.arange(z)
    n_message = N_COLUMNS - len(matrix)
    rows, columns = np.nonzero(matrix[:, :n_message] >= 0)
    shifted = (inner + matrix[rows, columns][:, None]) % z
    first = tuple((int(row), (inner + matrix[row, n_message]) % z) for row in np.flatnonzero(matrix[:, n_message] >= 0))
    return columns[:, None] * z + shifted, np.searchsorted(rows, np.arange(len(matrix))), first


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
        return (N_COLUMNS - len(BASE[code_rate])) * z

    @classmethod
    def for_payload(cls, n_info: int, code_rate: CodeRate = "1/2") -> LdpcCode:
        """The shortest code of the family that holds `n_info` bits.

        Raises:
            ConfigError: Not between 1 and what the longest code holds, or no such rate.
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
        """Parity bits, all of them sent."""
        return len(BASE[self.code_rate]) * self.z

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
        where, first_of_row, first = _encoder(self.code_rate, self.z)
        message = np.concatenate([bits, np.zeros(self._n_short, np.uint8)])
        sums = np.bitwise_xor.reduceat(message[where], first_of_row, axis=0)  # [rows, z]
        # All rows added: the pair of equal shifts and the double diagonal cancel, the block of shift 0 is left.
        start = np.bitwise_xor.reduce(sums, axis=0)
        for row, shifted in first:
            sums[row] ^= start[shifted]
        parity = np.concatenate([start[None], np.bitwise_xor.accumulate(sums[:-1], axis=0)])
        return np.concatenate([bits, parity.ravel()])

    def decode(self, llr: npt.NDArray[np.float64]) -> tuple[Bits, bool]:
        """Soft values to information bits.

        Args:
            llr: [n_coded], positive means 1.

        Returns:
            Bits [n_info], and whether all parity checks hold.
        """
        full = self._with_shortened(llr)
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

    def _with_shortened(self, llr: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """With the bits that are not sent because they are 0, [24 z]."""
        return np.concatenate([llr[: self.n_info], np.full(self._n_short, -1e4), llr[self.n_info :]])


@dataclass(frozen=True)
class Decoded:
    """A block as its decoder leaves it."""

    llr: npt.NDArray[np.float32]
    """A posteriori, [n_info]; positive means 1."""
    converged: bool
    """Whether all bits are decided and all parity checks hold."""

    @property
    def bits(self) -> Bits:
        """The decisions, [n_info]."""
        return (self.llr > 0).astype(np.uint8)


def decode_blocks(codes: Sequence[LdpcCode], llrs: Sequence[npt.NDArray[np.float64]]) -> list[Decoded]:
    """Several blocks at once, which need not be of one size: 64 of the longest four times sooner than one by one.

    Args:
        codes: Of each block.
        llrs: Its soft values, [n_coded].
    """
    found: dict[int, Decoded] = {}
    for mother in dict.fromkeys((code.code_rate, code.z) for code in codes):
        members = [index for index, code in enumerate(codes) if (code.code_rate, code.z) == mother]
        full = np.stack([codes[index]._with_shortened(llrs[index]) for index in members])
        posterior, converged = decode_batch(*mother, full)
        for row, index in enumerate(members):
            found[index] = Decoded(posterior[row, : codes[index].n_info], bool(converged[row]))
    return [found[index] for index in range(len(codes))]
