# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital modes: coding and modulation of bytes, and the number of symbols that they take.

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
"""Modes among which `budget` chooses for side information. The set is frozen: trained codecs and published figures
count the cost of side information in these modes, and the analogue symbols get the remainder of the budget."""

FADE_RESERVE_DB = 3.0
"""Extra SNR in dB that `mode_for_snr` asks for the modes beyond `SIDE_MODES`. A caption takes about a hundred of nine
thousand symbols and is lost as a whole, so the few symbols that a faster mode saves are not worth a margin of 1 dB."""

MODE_NAMES: dict[int, str] = {mode.number: name for name, mode in MODES.items()}
"""Names of the modes by their number in the header."""


def mode(name: str) -> Mode:
    """Look up a mode by its name.

    Raises:
        ConfigError: No such mode; the message lists them.
    """
    if name not in MODES:
        raise ConfigError(f"digital mode {name!r}; known are {', '.join(MODES)}")
    return MODES[name]


def mode_for_snr(snr_db: float) -> str:
    """Choose the mode of a text: the fastest that holds at an SNR, with `FADE_RESERVE_DB` of reserve for fast modes.

    Args:
        snr_db: Es/N0, dB.

    Returns:
        A key of `MODES`; the most robust mode where none holds.
    """
    return _fastest(tuple(MODES), snr_db, FADE_RESERVE_DB)


def side_mode_for_snr(snr_db: float) -> str:
    """Choose the mode of side information: the fastest of `SIDE_MODES` that holds at an SNR, without reserve.

    Args:
        snr_db: Es/N0, dB.

    Returns:
        A key of `MODES`; the most robust mode where none holds.
    """
    return _fastest(SIDE_MODES, snr_db)


def _fastest(names: tuple[str, ...], snr_db: float, reserve_db: float = 0.0) -> str:
    """Choose the fastest mode that holds, and of two equally fast ones the more robust one."""
    needed = {name: MODES[name].min_snr_db + (0.0 if name in SIDE_MODES else reserve_db) for name in names}
    holding = [name for name in names if needed[name] <= snr_db]
    return max(holding, key=lambda name: (MODES[name].info_bits_per_symbol, -MODES[name].min_snr_db), default=names[0])


@lru_cache(maxsize=256)
def _codes(n_bytes: int, code_rate: CodeRate) -> tuple[LdpcCode, ...]:
    """Codes of a payload's blocks: as few as hold it, their lengths equal to within one bit, the longer ones first."""
    n_bits = 8 * (n_bytes + CRC_BYTES)
    n_blocks = -(-n_bits // LdpcCode.max_info(code_rate))
    sizes = [n_bits // n_blocks + (i < n_bits % n_blocks) for i in range(n_blocks)]
    return tuple(LdpcCode.for_payload(size, code_rate) for size in sizes)


def n_symbols(n_bytes: int, mode_name: str) -> int:
    """Number of symbols that `digital_encode` makes, with CRC, parity, shortening and repetition.

    Args:
        n_bytes: Bytes of the payload; 0 bytes take 0 symbols.
        mode_name: A key of `MODES`.

    Raises:
        ConfigError: No such mode.
    """
    return count_symbols(n_bytes, mode(mode_name))


def count_symbols(n_bytes: int, chosen: Mode) -> int:
    """As `n_symbols`, for a `Mode` that is not registered in `MODES`."""
    if n_bytes == 0:
        return 0
    n_coded = sum(code.n_coded for code in _codes(n_bytes, chosen.code_rate))
    return -(-n_coded * chosen.repetition // chosen.bits_per_symbol)


def digital_encode(payload: bytes, mode_name: str) -> ComplexArray:
    """Code and modulate bytes.

    Args:
        payload: Any bytes; an empty payload gives no symbols.
        mode_name: A key of `MODES`.

    Returns:
        [n_symbols(len(payload), mode_name)] complex64, mean energy 1.
    """
    return encode_payload(payload, mode(mode_name))


def encode_payload(payload: bytes, chosen: Mode) -> ComplexArray:
    """As `digital_encode`, for a `Mode` that is not registered in `MODES`."""
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
    """Demodulate and decode symbols.

    Args:
        symbols: [n_symbols(n_bytes, mode_name)] complex, equalised to unit gain.
        noise_var: Whole complex noise variance of each symbol, same shape; inf where lost.
        n_bytes: Bytes of the payload.
        mode_name: A key of `MODES`.

    Returns:
        The payload; None when the CRC fails or the number of symbols is not that of the payload.

    Raises:
        ConfigError: No such mode.
    """
    return decode_payload(symbols, noise_var, n_bytes, mode(mode_name))


def decode_payload(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, chosen: Mode
) -> bytes | None:
    """As `digital_decode`, for a `Mode` that is not registered in `MODES`."""
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
    """Recover single bytes of a payload whose CRC fails.

    A byte counts as certain when it lies in blocks whose parity checks hold, or when the LLRs a posteriori of its bits
    reach `SURE_LLR`.

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
    if all(block.converged for block in blocks):  # at least one to a wrong codeword, and which one is not known
        is_sure = np.zeros(len(bits), bool)
    else:
        is_sure = np.concatenate([block.converged | (np.abs(block.llr) >= SURE_LLR) for block in blocks])
    data = np.packbits(bits).tobytes()[:n_bytes]
    return PartialBytes(data, is_sure[: 8 * n_bytes].reshape(-1, 8).all(axis=1))


def _block_llrs(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], n_bytes: int, chosen: Mode
) -> tuple[tuple[LdpcCode, ...], list[npt.NDArray[np.float64]]]:
    """Codes of a payload's blocks, and the LLRs of each block in the order of its code, [n_coded] each."""
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
