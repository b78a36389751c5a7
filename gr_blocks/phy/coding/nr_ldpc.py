# SPDX-License-Identifier: GPL-3.0-or-later
"""The LDPC codes of 5G NR at any rate: base graphs, lifting, encoding, rate matching, segmentation.

    bits -> blocks (+ CRC-24B each, where several) -> filler -> LDPC -> circular buffer, read to the rate -> interleaver

The tables in `nr_base_graphs.npz` are tables 5.3.2-2 and 5.3.2-3 of the standard: shifts V of each base graph for the
eight sets of lifting sizes, [8, rows, columns] int16, -1 where the block is zero.

References:
    3GPP TS 38.212 V17, sections 5.1 (CRC), 5.2.2 (segmentation), 5.3.2 (LDPC), 5.4.2 (rate matching).
    Richardson and Kudekar, "Design of low-density parity check codes for 5G new radio", IEEE Commun. Mag. 56(3), 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.crc import crc24b
from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder

BaseGraph = Literal[1, 2]
Bits = npt.NDArray[np.uint8]

LIFTING_SETS = tuple(tuple(a * 2**j for j in range(8) if a * 2**j <= 384) for a in (2, 3, 5, 7, 9, 11, 13, 15))
"""Lifting sizes by set index, table 5.3.2-1."""
LIFTING_SIZES = tuple(sorted(z for sizes in LIFTING_SETS for z in sizes))
N_SYSTEMATIC = {1: 22, 2: 10}
"""Systematic columns of each base graph."""
N_COLUMNS = {1: 68, 2: 52}
MAX_BLOCK_BITS = {1: 8448, 2: 3840}
"""K_cb: most information bits of a block, its CRC included."""
N_CORE = 4
"""Rows of the core, whose parity part is not diagonal."""
N_PUNCTURED = 2
"""Systematic columns that are never sent."""
_SMALL_COLUMNS = ((10, 640), (9, 560), (8, 192), (6, -1))
"""K_b of base graph 2, and the payload above which it holds."""
CRC_BITS = 24
MAX_ITERATIONS = 50
"""At the 1 % point of a block of 4000 bits 17 are needed in the mean; with 20 the threshold rises by 0.15 dB."""
SCALE, OFFSET = 0.9, 0.35
"""Scaling and offset (LLR) of the minimum-sum messages. Of blocks of 4000 bits in QPSK at rate 1/2 and 1 dB 0.7 % are
lost; with a scale of 0.75 alone 8 %, with an offset of 0.5 alone 0.7 %."""
MIN_CODED_RATE, MAX_CODED_RATE = 1 / 72, 0.96
"""Rates of a block (information over coded bits) that are allowed: repetition below 1/5, near punctured beyond 0.95."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, npt.NDArray[np.int16]]:
    path = resources.files("gened.gr_blocks.phy.coding").joinpath("nr_base_graphs.npz")
    with path.open("rb") as file, np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


@lru_cache(maxsize=128)
def shifts(base_graph: BaseGraph, z: int) -> npt.NDArray[np.int64]:
    """Circulant shifts of a base graph lifted by `z`, [rows, columns]; -1 is the zero block.

    A block of shift s has its ones at (r, (r + s) mod z).

    Raises:
        ConfigError: `z` is no lifting size.
    """
    for index, sizes in enumerate(LIFTING_SETS):
        if z in sizes:
            table = _tables()[f"base_graph_{base_graph}"][index].astype(np.int64)
            return np.where(table < 0, -1, table % z)
    raise ConfigError(f"{z} is no lifting size of 5G NR; there are {', '.join(map(str, LIFTING_SIZES))}")


def choose_base_graph(n_bits: int, code_rate: float) -> BaseGraph:
    """The base graph for a payload and a rate, TS 38.212 section 7.2.2.

    Args:
        n_bits: Payload without CRCs.
        code_rate: Information over coded bits.
    """
    is_small = n_bits <= 292 or (n_bits <= 3824 and code_rate <= 0.67) or code_rate <= 0.25
    return 2 if is_small else 1


@dataclass(frozen=True)
class Segmentation:
    """How a payload is divided into blocks of equal length (section 5.2.2)."""

    base_graph: BaseGraph
    n_bits: int
    """Payload bits."""
    n_blocks: int
    n_data: int
    """Payload bits per block; the last block is padded with zeros."""
    n_info: int
    """K': information bits per block, the CRC-24B included."""
    z: int
    """Lifting size."""

    @property
    def n_systematic(self) -> int:
        """K: information bits per block, filler bits included."""
        return N_SYSTEMATIC[self.base_graph] * self.z

    @property
    def n_filler(self) -> int:
        """Filler bits per block: zeros that are known and never sent."""
        return self.n_systematic - self.n_info

    @property
    def n_buffer(self) -> int:
        """N: length of the circular buffer, filler bits included."""
        return (N_COLUMNS[self.base_graph] - N_PUNCTURED) * self.z


@lru_cache(maxsize=4096)
def segment(n_bits: int, base_graph: BaseGraph) -> Segmentation:
    """The blocks of a payload.

    Raises:
        ConfigError: A payload without bits.
    """
    if n_bits < 1:
        raise ConfigError(f"a payload of {n_bits} bits; at least one is needed")
    most = MAX_BLOCK_BITS[base_graph]
    n_blocks = 1 if n_bits <= most else -(-n_bits // (most - CRC_BITS))
    n_data = -(-n_bits // n_blocks)
    n_info = n_data + (CRC_BITS if n_blocks > 1 else 0)
    columns = (
        22 if base_graph == 1 else next(k for k, over in ((10, 640), (9, 560), (8, 192), (6, -1)) if n_bits > over)
    )
    z = next(size for size in LIFTING_SIZES if columns * size >= n_info)
    return Segmentation(base_graph, n_bits, n_blocks, n_data, n_info, z)


def encode(systematic: Bits, base_graph: BaseGraph, z: int) -> Bits:
    """Systematic bits to the code's words (section 5.3.2), with the punctured columns at their head.

    Args:
        systematic: [K, B] uint8 of 0 and 1, filler bits as 0.
        base_graph: 1 or 2.
        z: Lifting size.

    Returns:
        [columns z, B] uint8.
    """
    table, n_systematic = shifts(base_graph, z), N_SYSTEMATIC[base_graph]
    word = np.zeros((N_COLUMNS[base_graph], z, systematic.shape[1]), np.uint8)
    word[:n_systematic] = systematic.reshape(n_systematic, z, -1)

    def syndrome(row: int, columns: npt.NDArray[np.int64]) -> Bits:
        total = np.zeros(word.shape[1:], np.uint8)
        for column in columns:
            total ^= np.roll(word[column], -table[row, column], axis=0)
        return total

    sent = [np.flatnonzero(table[row] >= 0) for row in range(len(table))]
    core = [syndrome(row, sent[row][sent[row] < n_systematic]) for row in range(N_CORE)]
    first = table[:N_CORE, n_systematic]
    # The sum of the core's rows leaves the first parity column alone, under the one shift that occurs an odd number of
    # times; every other parity column occurs twice with shift 0.
    odd = [shift for shift in first[first >= 0] if np.count_nonzero(first == shift) % 2]
    assert len(set(odd)) == 1
    word[n_systematic] = np.roll(core[0] ^ core[1] ^ core[2] ^ core[3], odd[0], axis=0)
    for row in range(N_CORE - 1):
        known = sent[row][(sent[row] >= n_systematic) & (sent[row] <= n_systematic + row)]
        word[n_systematic + row + 1] = core[row] ^ syndrome(row, known)
    for row in range(N_CORE, len(table)):
        word[n_systematic + row] = syndrome(row, sent[row][:-1])
    return word.reshape(-1, systematic.shape[1])


@dataclass(frozen=True)
class NrLdpc:
    """A payload's code: blocks, rate matching and interleaving, with redundancy version 0.

    Raises:
        ConfigError: The number of coded bits is no multiple of the bits per symbol, or the rate is out of range.
    """

    n_bits: int
    """Payload."""
    n_coded: int
    """Coded bits in all."""
    bits_per_symbol: int

    def __post_init__(self) -> None:
        if self.n_coded % self.bits_per_symbol:
            raise ConfigError(f"{self.n_coded} coded bits do not fill symbols of {self.bits_per_symbol} bits")
        if not MIN_CODED_RATE <= self.n_bits / max(self.n_coded, 1) <= MAX_CODED_RATE:
            raise ConfigError(
                f"{self.n_bits} bits in {self.n_coded}: rates from {MIN_CODED_RATE} to {MAX_CODED_RATE} are possible"
            )

    @property
    def segmentation(self) -> Segmentation:
        """The blocks."""
        return segment(self.n_bits, choose_base_graph(self.n_bits, self.n_bits / self.n_coded))

    def block_lengths(self) -> list[int]:
        """E_r: coded bits of each block (section 5.4.2.1); the longer ones last."""
        count = self.segmentation.n_blocks
        whole, left = divmod(self.n_coded // self.bits_per_symbol, count)
        return [self.bits_per_symbol * (whole + (index >= count - left)) for index in range(count)]

    def encode(self, bits: Bits) -> Bits:
        """Payload to coded bits, [n_bits] to [n_coded], uint8 of 0 and 1."""
        parts = self.segmentation
        padded = np.zeros(parts.n_blocks * parts.n_data, np.uint8)
        padded[: self.n_bits] = bits
        systematic = np.zeros((parts.n_systematic, parts.n_blocks), np.uint8)
        systematic[: parts.n_data] = padded.reshape(parts.n_blocks, -1).T
        if parts.n_blocks > 1:
            for index in range(parts.n_blocks):
                systematic[parts.n_data : parts.n_info, index] = _crc_bits(systematic[: parts.n_data, index])
        word = encode(systematic, parts.base_graph, parts.z)
        buffer = word[_buffer_places(parts)]  # [N without filler, B]
        return np.concatenate(
            [
                _interleaved(np.resize(buffer[:, index], length), self.bits_per_symbol)
                for index, length in enumerate(self.block_lengths())
            ]
        )

    def decode(self, llr: npt.NDArray[np.floating[Any]]) -> tuple[Bits, bool]:
        """LLRs of the coded bits to the payload.

        Args:
            llr: [n_coded], positive means 1; 0 where nothing is known.

        Returns:
            [n_bits] uint8, and whether every block's parity checks hold and, where there are several, its CRC. The
            first block that fails ends the work, and all bits are then 0.
        """
        parts = self.segmentation
        bits = np.empty((parts.n_blocks, parts.n_data), np.uint8)
        at = 0
        for index, length in enumerate(self.block_lengths()):
            block = np.asarray(llr[at : at + length], np.float32).reshape(-1, self.bits_per_symbol).T.ravel()
            at += length
            found, is_good = self._decode_block(block)
            if is_good and parts.n_blocks > 1:
                is_good = np.array_equal(_crc_bits(found[: parts.n_data]), found[parts.n_data :])
            if not is_good:
                return np.zeros(self.n_bits, np.uint8), False
            bits[index] = found[: parts.n_data]
        return bits.reshape(-1)[: self.n_bits], True

    def _decode_block(self, llr: npt.NDArray[np.float32]) -> tuple[Bits, bool]:
        """Information bits of a block, [K'], and whether its parity checks hold."""
        parts = self.segmentation
        places = _buffer_places(parts)
        wrapped = np.zeros(-(-len(llr) // len(places)) * len(places), np.float32)
        wrapped[: len(llr)] = llr
        word = np.zeros(N_COLUMNS[parts.base_graph] * parts.z, np.float32)
        word[places] = wrapped.reshape(-1, len(places)).sum(0)
        totals, is_good = _decoder(parts, len(llr)).decode(word, slice(parts.n_info, parts.n_systematic))
        return (totals[: parts.n_info] > 0).astype(np.uint8), is_good


@lru_cache(maxsize=64)
def _decoder(parts: Segmentation, n_sent: int) -> LdpcDecoder:
    """Decoder of a block. A row whose own parity bits were not sent carries no information and is left out."""
    reach = N_PUNCTURED * parts.z + parts.n_filler + min(n_sent, parts.n_buffer - parts.n_filler)
    table = shifts(parts.base_graph, parts.z)
    n_rows = max(N_CORE, -(-reach // parts.z) - N_SYSTEMATIC[parts.base_graph])
    return LdpcDecoder.from_base_matrix(
        table[:n_rows], parts.z, scale=SCALE, offset=OFFSET, max_iterations=MAX_ITERATIONS
    )


@lru_cache(maxsize=64)
def _buffer_places(parts: Segmentation) -> npt.NDArray[np.int64]:
    """Places in the word of the bits of the circular buffer, filler bits left out."""
    places = np.arange(N_PUNCTURED * parts.z, N_COLUMNS[parts.base_graph] * parts.z)
    return places[(places < parts.n_info) | (places >= parts.n_systematic)]


def _interleaved(bits: Bits, bits_per_symbol: int) -> Bits:
    """Section 5.4.2.2: systematic bits go to the most reliable bits of the symbols."""
    return bits.reshape(bits_per_symbol, -1).T.ravel()


def _crc_bits(bits: Bits) -> Bits:
    """CRC-24B of a block, [24]; zeros ahead of the bits do not change it, so that whole bytes can be processed."""
    value = crc24b(np.packbits(np.concatenate([np.zeros(-len(bits) % 8, np.uint8), bits])).tobytes())
    return np.array([value >> (CRC_BITS - 1 - i) & 1 for i in range(CRC_BITS)], np.uint8)
