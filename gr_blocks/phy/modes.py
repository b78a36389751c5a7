# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital modes: how bytes become symbols, at a cost that anybody can compute beforehand.

payload + CRC-32 -> blocks of equal size -> LDPC, shortened -> interleaver -> repetition -> modulation
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.crc import crc32
from gened.gr_blocks.phy.errors import ConfigError
from gened.gr_blocks.phy.interleave import permutation
from gened.gr_blocks.phy.ldpc import Bits, CodeRate, LdpcCode
from gened.gr_blocks.phy.modulation import demodulate, modulate
from gened.gr_blocks.phy.types import ComplexArray

CRC_BYTES = 4
INTERLEAVER_SEED = 2


@dataclass(frozen=True)
class Mode:
    """A way to send bytes."""

    number: int
    """On the wire, 0 to 15."""
    bits_per_symbol: int
    code_rate: CodeRate
    repetition: int
    min_snr_db: float
    """Es/N0 from which a 60-byte text is lost less than once in a thousand, with 1 dB to spare for a real receiver:
    python -m gened.gr_blocks.bench.modes"""


MODES: dict[str, Mode] = {
    "bpsk-1/2x2": Mode(0, 1, "1/2", 2, -3.0),
    "bpsk-1/2": Mode(1, 1, "1/2", 1, 0.0),
    "qpsk-1/2": Mode(2, 2, "1/2", 1, 3.0),
    "16qam-1/2": Mode(3, 4, "1/2", 1, 8.5),
}
"""By name, the most robust first; numbers 4 to 15 are kept for modes to come."""

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
    """The fastest mode that holds at this SNR; the most robust one where none does."""
    holding = [name for name, candidate in MODES.items() if candidate.min_snr_db <= snr_db]
    return holding[-1] if holding else next(iter(MODES))


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
    codes = _codes(n_bytes, chosen.code_rate)
    n_coded = sum(code.n_coded for code in codes)
    if len(symbols) != count_symbols(n_bytes, chosen):
        return None
    llr = demodulate(symbols, noise_var, chosen.bits_per_symbol)[: n_coded * chosen.repetition]
    llr = llr.reshape(chosen.repetition, n_coded).sum(0)
    bits: list[Bits] = []
    first = 0
    for code in codes:
        block = np.empty(code.n_coded)
        block[permutation(code.n_coded, INTERLEAVER_SEED)] = llr[first : first + code.n_coded]
        bits.append(code.decode(block)[0])
        first += code.n_coded
    data = np.packbits(np.concatenate(bits)).tobytes()
    payload, check = data[:n_bytes], data[n_bytes:]
    return payload if crc32(payload).to_bytes(CRC_BYTES, "big") == check else None
