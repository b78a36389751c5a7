# SPDX-License-Identifier: GPL-3.0-or-later
"""The digital link of `hevc-ldpc`: bytes to symbols, in the scheme of largest capacity at a design SNR.

    bytes, padded with zeros -> scrambler -> + CRC-32 -> equal blocks -> LDPC, shortened -> interleaver
        -> repetition -> QAM

Schemes are chosen for a loss of at most 1 % of the pictures in AWGN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.coding.crc import crc32
from gened.gr_blocks.phy.coding.interleave import hash_stream, permutation
from gened.gr_blocks.phy.coding.ldpc import Bits, LdpcCode
from gened.gr_blocks.phy.coding.ldpc_matrices import N_COLUMNS, Z_LIST, CodeRate
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.types import ComplexArray

CRC_BYTES = 4
SCRAMBLER_SEED = 104
INTERLEAVER_SEED = 105
SHORT_BLOCK_DB = 0.3
"""SNR loss per halving of the block length below n = 2304 at a block error rate of 1e-2, dB; see
`python -m gened.models.evaluation.run.hevc_thresholds`."""


@dataclass(frozen=True)
class Scheme:
    """A modulation with a code rate."""

    bits_per_symbol: int
    code_rate: CodeRate
    """Rate of the mother code."""
    shortening: float
    """Share of the mother code's information bits that are used, in (0, 1]; less than 1 lowers the rate."""
    repetition: int
    snr_db_1e2: float
    """Es/N0 in dB at which 1 % of blocks of n = 2304 are lost (`gened.models.evaluation.run.hevc_thresholds`)."""
    snr_db_1e3: float
    """As `snr_db_1e2`, for 0.1 % of the blocks."""

    @property
    def effective_rate(self) -> float:
        """Information bits per transmitted bit, repetition included."""
        mother = LdpcCode.max_info(self.code_rate)
        n_info = self.shortening * mother
        return n_info / (n_info + N_COLUMNS * Z_LIST[-1] - mother) / self.repetition

    @property
    def efficiency(self) -> float:
        """Information bits per symbol."""
        return self.bits_per_symbol * self.effective_rate

    def max_info(self, z: int = Z_LIST[-1]) -> int:
        """Information bits of a block of expansion factor `z`."""
        return int(self.shortening * LdpcCode.max_info(self.code_rate, z))

    def required_snr_db(self, n_bytes: int) -> float:
        """Es/N0 at which at most one picture in a hundred of this size is lost.

        The logarithm of the block error rate is taken as linear in the SNR (dB), also below 1e-3: an extrapolation by
        less than three decades for the largest pictures.
        """
        blocks = _blocks(self, n_bytes)
        decades = math.log10(sum(count for _, count in blocks))  # of a lower block error rate
        waterfall = self.snr_db_1e2 + decades * (self.snr_db_1e3 - self.snr_db_1e2)
        return waterfall + SHORT_BLOCK_DB * math.log2(Z_LIST[-1] / min(code.z for code, _ in blocks))

    def codes(self, n_bytes: int) -> list[LdpcCode]:
        """Blocks of a payload, their information bits equal to within one, the longer ones first."""
        return [code for code, count in _blocks(self, n_bytes) for _ in range(count)]

    def n_symbols(self, n_bytes: int) -> int:
        """Number of symbols of a payload of `n_bytes`; CRC, parity and shortening included."""
        n_coded = sum(count * code.n_coded for code, count in _blocks(self, n_bytes)) * self.repetition
        return -(-n_coded // self.bits_per_symbol)

    def capacity(self, n_symbols: int) -> int:
        """Largest payload of `n_symbols`, bytes; may be 0."""
        n_bytes = int(n_symbols * self.efficiency / 8) - CRC_BYTES + 1
        while n_bytes > 0 and self.n_symbols(n_bytes) > n_symbols:
            n_bytes -= 1
        return max(n_bytes, 0)


@lru_cache(maxsize=1024)
def _blocks(scheme: Scheme, n_bytes: int) -> tuple[tuple[LdpcCode, int], ...]:
    """Codes of a payload's blocks and the number of each; their lengths differ by one information bit."""
    n_bits = 8 * (n_bytes + CRC_BYTES)
    n_blocks = -(-n_bits // scheme.max_info())
    n_short_blocks, n_info = n_blocks - n_bits % n_blocks, n_bits // n_blocks
    kinds = [(n_info + 1, n_blocks - n_short_blocks), (n_info, n_short_blocks)]
    return tuple(
        (LdpcCode(scheme.code_rate, next(z for z in Z_LIST if scheme.max_info(z) >= size), size), count)
        for size, count in kinds
        if count
    )


SCHEMES: tuple[Scheme, ...] = (
    Scheme(1, "1/2", 1 / 3, 4, -9.24, -8.52),
    Scheme(1, "1/2", 1 / 3, 2, -6.23, -5.51),
    Scheme(1, "1/2", 1 / 3, 1, -3.22, -2.5),
    Scheme(1, "1/2", 1 / 2, 1, -2.86, -2.06),
    Scheme(1, "1/2", 1, 1, -1.5, -1.26),
    Scheme(1, "2/3", 1, 1, 0.43, 0.68),
    Scheme(2, "1/2", 0.65, 1, 0.5, 1.2),
    Scheme(2, "1/2", 1, 1, 1.51, 1.75),
    Scheme(2, "2/3", 1, 1, 3.44, 3.69),
    Scheme(2, "3/4", 1, 1, 4.55, 4.75),
    Scheme(4, "1/2", 0.85, 1, 6.35, 6.8),
    Scheme(4, "1/2", 1, 1, 6.92, 7.12),
    Scheme(4, "2/3", 1, 1, 9.34, 9.62),
    Scheme(4, "3/4", 1, 1, 10.73, 11.0),
    Scheme(6, "2/3", 1, 1, 14.4, 14.75),
    Scheme(6, "3/4", 1, 1, 15.99, 16.22),
)
"""The schemes of the side information, 4 bits. Omitted: 64-QAM 1/2 has the efficiency of 16-QAM 3/4 and needs 0.6 dB
more, BPSK 3/4 carries less than QPSK 1/2 at the same SNR, and the waterfall of QPSK 1/3 is less steep than that of
BPSK 2/3. Repetition by two gains 3 dB, and BPSK needs 3 dB less than QPSK."""


def choose_scheme(n_symbols: int, snr_db: float) -> int:
    """Index of the scheme of largest capacity among those whose required SNR is met.

    If none is met, the most robust scheme with a capacity; if none has a capacity, the first.
    """
    usable = [(scheme.capacity(n_symbols), index) for index, scheme in enumerate(SCHEMES)]
    usable = [(n_bytes, index) for n_bytes, index in usable if n_bytes > 0]
    holding = [pair for pair in usable if SCHEMES[pair[1]].required_snr_db(pair[0]) <= snr_db]
    if holding:
        return max(holding)[1]
    return min(usable, key=lambda pair: SCHEMES[pair[1]].snr_db_1e2)[1] if usable else 0


def _scrambled(data: bytes) -> bytes:
    """Data XOR a pseudo-random sequence, its own inverse; runs of zeros would give symbols of one energy."""
    mask = (hash_stream(len(data), SCRAMBLER_SEED) & np.uint64(255)).astype(np.uint8)
    return (np.frombuffer(data, np.uint8) ^ mask).tobytes()


def transmit(payload: bytes, scheme: Scheme) -> ComplexArray:
    """Bytes to [scheme.n_symbols(len(payload))] complex64 symbols of mean energy 1."""
    data = _scrambled(payload)
    bits = np.unpackbits(np.frombuffer(data + crc32(data).to_bytes(CRC_BYTES, "big"), np.uint8))
    coded, first = [], 0
    for code in scheme.codes(len(payload)):
        coded.append(code.encode(bits[first : first + code.n_info])[permutation(code.n_coded, INTERLEAVER_SEED)])
        first += code.n_info
    return modulate(np.tile(np.concatenate(coded), scheme.repetition), scheme.bits_per_symbol)


def receive(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, scheme: Scheme
) -> bytes | None:
    """The inverse of `transmit`; None if a block does not decode, which ends the decoding, or the CRC fails.

    Args:
        symbols: [scheme.n_symbols(n_bytes)], equalised.
        noise_var: Complex noise variance of each symbol; inf for lost ones.
        n_bytes: Length of the payload.
        scheme: The sender's scheme.
    """
    codes = scheme.codes(n_bytes)
    n_coded = sum(code.n_coded for code in codes)
    llr = demodulate(symbols, noise_var, scheme.bits_per_symbol)[: n_coded * scheme.repetition]
    llr = llr.reshape(scheme.repetition, n_coded).sum(0)
    bits: list[Bits] = []
    first = 0
    for code in codes:
        block = np.empty(code.n_coded)
        block[permutation(code.n_coded, INTERLEAVER_SEED)] = llr[first : first + code.n_coded]
        decoded, converged = code.decode(block)
        if not converged:
            return None
        bits.append(decoded)
        first += code.n_coded
    data = np.packbits(np.concatenate(bits)).tobytes()
    payload, check = data[:n_bytes], data[n_bytes:]
    return _scrambled(payload) if crc32(payload).to_bytes(CRC_BYTES, "big") == check else None
