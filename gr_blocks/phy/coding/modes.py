# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital modes: how bytes become symbols, at a cost that anybody can compute beforehand.

payload + CRC-32 -> blocks of equal size -> LDPC, shortened -> interleaver -> repetition -> modulation
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.crc import crc32
from gened.gr_blocks.phy.coding.interleave import permutation
from gened.gr_blocks.phy.coding.ldpc import Bits, LdpcCode
from gened.gr_blocks.phy.coding.ldpc_matrices import CodeRate
from gened.gr_blocks.phy.coding.mode_table import MODES as MODES
from gened.gr_blocks.phy.coding.mode_table import Mode as Mode
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.types import ComplexArray, PartialBytes

CRC_BYTES = 4
INTERLEAVER_SEED = 2
SURE_LLR = 12.0
"""LLR a posteriori from which a bit of a block that failed counts as known. LLRs of such blocks are too large: of bits
with LLRs of 8 or more, one in a thousand was wrong, where exp(-8) would be three in ten thousand. `gened bench ldpc`
measures it."""


SIDE_MODES = ("bpsk-1/2x2", "bpsk-1/2", "qpsk-1/2", "16qam-1/2")
"""Among which `budget` chooses for side information. Not all: plans of trained codecs and the figures of every codec
with side information count its cost in these, and a codec's symbols are what is left."""

FADE_RESERVE_DB = 3.0
"""A caption is some hundred symbols of nine thousand, and lost as a whole: what the faster modes save is not worth
being 1 dB away from that."""

MODE_NAMES: dict[int, str] = {mode.number: name for name, mode in MODES.items()}


def mode(name: str) -> Mode:
    """The mode called `name`.

    Raises:
        ConfigError: No such mode; the message lists them.
    """
    if name not in MODES:
        raise ConfigError(f"digital mode {name!r}; known are {', '.join(MODES)}")
    return MODES[name]


def mode_for_snr(snr_db: float) -> str:
    """The mode for a text: the fastest that holds at this SNR, with something to spare for fades where it only saves a
    few symbols; the most robust one where none does."""
    return _fastest(tuple(MODES), snr_db, FADE_RESERVE_DB)


def side_mode_for_snr(snr_db: float) -> str:
    """The same among `SIDE_MODES`."""
    return _fastest(SIDE_MODES, snr_db)


def _fastest(names: tuple[str, ...], snr_db: float, reserve_db: float = 0.0) -> str:
    """Of two that are as fast the one that holds longer; those beyond `SIDE_MODES` ask for `reserve_db` more."""
    needed = {name: MODES[name].min_snr_db + (0.0 if name in SIDE_MODES else reserve_db) for name in names}
    holding = [name for name in names if needed[name] <= snr_db]
    return max(holding, key=lambda name: (MODES[name].info_bits_per_symbol, -MODES[name].min_snr_db), default=names[0])


@lru_cache(maxsize=256)
def _codes(n_bytes: int, code_rate: CodeRate) -> tuple[LdpcCode, ...]:
    """Blocks of a payload: as few as hold it, their information bits equal to within one, the longer ones first."""
    n_bits = 8 * (n_bytes + CRC_BYTES)
    n_blocks = -(-n_bits // LdpcCode.max_info(code_rate))
    sizes = [n_bits // n_blocks + (i < n_bits % n_blocks) for i in range(n_blocks)]
    return tuple(LdpcCode.for_payload(size, code_rate) for size in sizes)


def n_symbols(n_bytes: int, mode_name: str) -> int:
    """Symbols that `digital_encode` makes of `n_bytes` bytes, all included (CRC, parity, shortening, repetition);
    0 for none."""
    return count_symbols(n_bytes, mode(mode_name))


def count_symbols(n_bytes: int, chosen: Mode) -> int:
    """The same for a mode that need not be one of the wire's."""
    if n_bytes == 0:
        return 0
    n_coded = sum(code.n_coded for code in _codes(n_bytes, chosen.code_rate))
    return -(-n_coded * chosen.repetition // chosen.bits_per_symbol)


def digital_encode(payload: bytes, mode_name: str) -> ComplexArray:
    """Bytes to symbols.

    Args:
        payload: Any bytes; none give no symbols.
        mode_name: A key of `MODES`.

    Returns:
        [n_symbols(len(payload), mode_name)] complex64, mean energy 1.
    """
    return encode_payload(payload, mode(mode_name))


def encode_payload(payload: bytes, chosen: Mode) -> ComplexArray:
    """The same for a mode that need not be one of the wire's."""
    if not payload:
        return np.zeros(0, np.complex64)
    data = payload + crc32(payload).to_bytes(CRC_BYTES, "big")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    coded: list[Bits] = []
    first = 0
    for code in _codes(len(payload), chosen.code_rate):
        block = code.encode(bits[first : first + code.n_info])
        coded.append(block[permutation(code.n_coded, INTERLEAVER_SEED)])
        first += code.n_info
    return modulate(np.tile(np.concatenate(coded), chosen.repetition), chosen.bits_per_symbol)


def digital_decode(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, mode_name: str
) -> bytes | None:
    """Symbols to bytes; None when the CRC fails.

    Args:
        symbols: As many as `n_symbols` says, equalised.
        noise_var: Whole complex variance of each; inf where lost.
        n_bytes: Length of the payload.
        mode_name: A key of `MODES`.
    """
    return decode_payload(symbols, noise_var, n_bytes, mode(mode_name))


def decode_payload(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, chosen: Mode
) -> bytes | None:
    """The same for a mode that need not be one of the wire's."""
    if n_bytes == 0:
        return b""
    if len(symbols) != count_symbols(n_bytes, chosen):
        return None
    codes, llrs = _block_llrs(symbols, noise_var, n_bytes, chosen)
    bits = np.concatenate([code.decode(llr)[0] for code, llr in zip(codes, llrs, strict=True)])
    data = np.packbits(bits).tobytes()
    payload, check = data[:n_bytes], data[n_bytes:]
    return payload if crc32(payload).to_bytes(CRC_BYTES, "big") == check else None


def salvage(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, mode_name: str
) -> PartialBytes:
    """What can be told of bytes whose CRC fails: those of blocks whose parity checks hold, and single bytes whose bits
    the decoder is sure of.

    Args:
        symbols: As for `digital_decode`.
        noise_var: As for `digital_decode`.
        n_bytes: Length of the payload.
        mode_name: A key of `MODES`.
    """
    chosen = mode(mode_name)
    if len(symbols) != count_symbols(n_bytes, chosen) or n_bytes == 0:
        return PartialBytes(bytes(n_bytes), np.zeros(n_bytes, bool))
    codes, llrs = _block_llrs(symbols, noise_var, n_bytes, chosen)
    blocks = [code.decode_soft(llr) for code, llr in zip(codes, llrs, strict=True)]
    bits = np.concatenate([block.bits for block in blocks])
    if all(block.converged for block in blocks):  # to a wrong word somewhere, and nobody knows where
        is_sure = np.zeros(len(bits), bool)
    else:
        is_sure = np.concatenate([block.converged | (np.abs(block.llr) >= SURE_LLR) for block in blocks])
    data = np.packbits(bits).tobytes()[:n_bytes]
    return PartialBytes(data, is_sure[: 8 * n_bytes].reshape(-1, 8).all(axis=1))


def _block_llrs(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, chosen: Mode
) -> tuple[tuple[LdpcCode, ...], list[npt.NDArray[np.float64]]]:
    """Codes of a payload's blocks, and the soft values of each in the order of its code."""
    codes = _codes(n_bytes, chosen.code_rate)
    n_coded = sum(code.n_coded for code in codes)
    llr = demodulate(symbols, noise_var, chosen.bits_per_symbol)[: n_coded * chosen.repetition]
    llr = llr.reshape(chosen.repetition, n_coded).sum(0)
    blocks, first = [], 0
    for code in codes:
        block = np.empty(code.n_coded)
        block[permutation(code.n_coded, INTERLEAVER_SEED)] = llr[first : first + code.n_coded]
        blocks.append(block)
        first += code.n_coded
    return codes, blocks
