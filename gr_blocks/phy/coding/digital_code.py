# SPDX-License-Identifier: GPL-3.0-or-later
"""A digital code of any rate: bytes in a given number of symbols, at the rate that an SNR allows.

    payload -> scrambler -> + CRC-32 -> LDPC of 5G NR -> QAM

Which modulation and how many bytes follows from the number of symbols, the SNR and the reserve alone, by the table of
measured thresholds in `nr_thresholds.json`: both ends compute it, and nothing about it needs to be sent. All arithmetic
of the choice is on integers, so that machines agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.crc import crc32
from gened.gr_blocks.phy.coding.interleave import hash_stream
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.coding.nr_ldpc import NrLdpc, choose_base_graph, segment
from gened.gr_blocks.phy.types import ComplexArray

CRC_BYTES = 4
SCRAMBLER_SEED = 104
RATE_STEPS = 64
"""Code rates are multiples of 1/64."""
LOSS_TARGET = 0.01
MIN_BYTES = 8
"""Shorter payloads are refused: their code would be shorter than any that was measured."""


@dataclass(frozen=True)
class DigitalCode:
    """How a payload fills symbols."""

    bits_per_symbol: int
    n_bytes: int
    """Payload."""
    n_symbols: int

    @property
    def ldpc(self) -> NrLdpc:
        """The error-correcting code of payload and CRC."""
        return NrLdpc(8 * (self.n_bytes + CRC_BYTES), self.n_symbols * self.bits_per_symbol, self.bits_per_symbol)

    def transmit(self, payload: bytes) -> ComplexArray:
        """Bytes to symbols of mean energy 1, [n_symbols] complex64; a shorter payload is filled up with zeros.

        Raises:
            ConfigError: A longer payload.
        """
        if len(payload) > self.n_bytes:
            raise ConfigError(f"a payload of {len(payload)} bytes; this code carries {self.n_bytes}")
        data = _scrambled(payload.ljust(self.n_bytes, b"\0"))
        bits = np.unpackbits(np.frombuffer(data + crc32(data).to_bytes(CRC_BYTES, "big"), np.uint8))
        return modulate(self.ldpc.encode(bits), self.bits_per_symbol)

    def receive(self, symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]]) -> bytes | None:
        """The inverse; None when a parity check or the CRC fails.

        Args:
            symbols: [n_symbols], equalised.
            noise_var: Whole complex variance of each; inf where lost.
        """
        llr = demodulate(symbols, noise_var, self.bits_per_symbol)
        bits, is_good = self.ldpc.decode(llr)
        data = np.packbits(bits).tobytes()
        payload, check = data[: self.n_bytes], data[self.n_bytes :]
        return _scrambled(payload) if is_good and crc32(payload).to_bytes(CRC_BYTES, "big") == check else None


def _scrambled(data: bytes) -> bytes:
    """The bytes XORed with a fixed stream: runs of zeros would be symbols of one energy. Its own inverse."""
    mask = (hash_stream(len(data), SCRAMBLER_SEED) & np.uint64(255)).astype(np.uint8)
    return (np.frombuffer(data, np.uint8) ^ mask).tobytes()


@dataclass(frozen=True)
class _Thresholds:
    """Measured thresholds in hundredths of a decibel, by modulation and code rate."""

    block_bits: tuple[int, ...]
    """Information bits of the blocks that were measured, rising."""
    at_target: dict[int, npt.NDArray[np.int64]]
    """By bits per symbol: Es/N0 at which 1 % of the blocks are lost, [RATE_STEPS, len(block_bits)]."""
    per_decade: dict[int, npt.NDArray[np.int64]]
    """By bits per symbol: what a tenth of the loss costs, same shape."""


@lru_cache(maxsize=1)
def _thresholds() -> _Thresholds:
    text = resources.files("gened.gr_blocks.phy.coding").joinpath("nr_thresholds.json").read_text()
    table = json.loads(text)

    def arrays(key: str) -> dict[int, npt.NDArray[np.int64]]:
        return {int(m): np.array(rows, np.int64) for m, rows in table[key].items()}

    return _Thresholds(tuple(table["block_bits"]), arrays("snr_cdb_1e2"), arrays("cdb_per_decade"))


def required_snr_cdb(bits_per_symbol: int, rate_step: int, n_bits: int, loss_decades_cdb: int = 0) -> int:
    """Es/N0 in hundredths of a decibel at which a payload is lost with the target probability.

    Args:
        bits_per_symbol: 2, 4, 6 or 8.
        rate_step: Code rate in 1/64.
        n_bits: Payload with its CRC; one that needs several blocks is lost with any of them.
        loss_decades_cdb: Hundredths of decades by which the loss is to lie below 1 %; negative: above.
    """
    table = _thresholds()
    parts = segment(n_bits, choose_base_graph(n_bits, rate_step / RATE_STEPS))
    size = int(np.clip(parts.n_data, table.block_bits[0], table.block_bits[-1]))
    above = max(1, int(np.searchsorted(table.block_bits, size)))
    low, high = table.block_bits[above - 1], table.block_bits[above]

    def at(rows: npt.NDArray[np.int64]) -> int:
        first, last = int(rows[rate_step, above - 1]), int(rows[rate_step, above])
        # linear in 1 / size, which is close to how the penalty of short blocks falls
        return last + (first - last) * (low * (high - size)) // (size * (high - low))

    # decades for several blocks: 100 log10(n), from the number's length in bits, rounded up
    several = 30 * (parts.n_blocks - 1).bit_length()
    return (
        at(table.at_target[bits_per_symbol])
        + at(table.per_decade[bits_per_symbol]) * (several + loss_decades_cdb) // 100
    )


@lru_cache(maxsize=1024)
def choose_code(n_symbols: int, snr_db: float, loss: float = LOSS_TARGET) -> DigitalCode | None:
    """The code that carries most bytes in so many symbols and is lost at most with probability `loss` in AWGN.

    Args:
        n_symbols: Symbols to be filled.
        snr_db: Es/N0, rounded to hundredths of a decibel.
        loss: From 1e-6 to 0.5.

    Returns:
        None where no code holds, or it would carry less than `MIN_BYTES`.

    Raises:
        ConfigError: A loss out of range.
    """
    if not 1e-6 <= loss <= 0.5:
        raise ConfigError(f"a loss of {loss:g}; from 1e-6 to 0.5 is possible")
    decades = round(100 * float(np.log10(LOSS_TARGET / loss)))
    available = round(100 * snr_db)
    best: DigitalCode | None = None
    for bits_per_symbol in _thresholds().at_target:
        for step in range(RATE_STEPS - 1, 0, -1):
            n_bytes = n_symbols * bits_per_symbol * step // (8 * RATE_STEPS) - CRC_BYTES
            if n_bytes < MIN_BYTES or (best is not None and n_bytes <= best.n_bytes):
                break
            if _thresholds().at_target[bits_per_symbol][step, -1] >= UNUSABLE:
                continue
            if required_snr_cdb(bits_per_symbol, step, 8 * (n_bytes + CRC_BYTES), decades) <= available:
                best = DigitalCode(bits_per_symbol, n_bytes, n_symbols)
                break
    return best


UNUSABLE = 10_000
"""Threshold of a rate that the table does not have."""
