# SPDX-License-Identifier: GPL-3.0-or-later
"""Table of the digital modes; `modes` computes with them. It loads without NumPy, so that a command can list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gened.gr_blocks.phy.coding.ldpc_matrices import CodeRate


@dataclass(frozen=True)
class Mode:
    """Modulation, code rate and repetition of a digital mode."""

    number: int
    """Number of the mode in the header, 0 to 15."""
    bits_per_symbol: int
    """Coded bits per symbol: 1 BPSK, 2 QPSK, 4 16-QAM, 6 64-QAM."""
    code_rate: CodeRate
    """Rate of the mother code; shortening lowers it."""
    repetition: int
    """How often each coded bit is sent, 1 or more."""
    min_snr_db: float
    """Es/N0 in dB from which a text of 60 bytes is lost less than once in a thousand, with 1 dB of margin for a real
    receiver (python -m gened.bench.modes)."""

    @property
    def info_bits_per_symbol(self) -> float:
        """Information bits per symbol, before CRC and shortening."""
        numerator, denominator = map(int, self.code_rate.split("/"))
        return self.bits_per_symbol * numerator / denominator / self.repetition


MODES: dict[str, Mode] = {
    "bpsk-1/2x2": Mode(0, 1, "1/2", 2, -3.0),
    "bpsk-1/2": Mode(1, 1, "1/2", 1, 0.0),
    "qpsk-1/2": Mode(2, 2, "1/2", 1, 3.0),
    "qpsk-3/4": Mode(4, 2, "3/4", 1, 6.0),
    "16qam-1/2": Mode(3, 4, "1/2", 1, 8.5),
    "16qam-3/4": Mode(5, 4, "3/4", 1, 12.5),
    "64qam-1/2": Mode(6, 6, "1/2", 1, 13.0),
    "64qam-3/4": Mode(7, 6, "3/4", 1, 17.5),
}
"""Modes by name, the most robust first; the numbers 8 to 15 are reserved. A receiver that does not know a number
discards the burst (`header.HeaderFault.CONTENT`)."""
