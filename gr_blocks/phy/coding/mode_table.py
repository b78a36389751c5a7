# SPDX-License-Identifier: GPL-3.0-or-later
"""The digital modes by name; their arithmetic is in `modes`. Loads without NumPy, so that a command can list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gened.gr_blocks.phy.coding.ldpc_matrices import CodeRate


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
    python -m gened.bench.modes"""

    @property
    def info_bits_per_symbol(self) -> float:
        """Information bits a symbol, before CRC and shortening."""
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
"""By name, the most robust first; numbers 8 to 15 are kept for modes to come. A receiver that does not know a number
takes the burst for none (`header.HeaderFault.CONTENT`)."""
