# SPDX-License-Identifier: GPL-3.0-or-later
"""Error vector magnitude of the digital symbols of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.modes import digital_encode, mode
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.types import ComplexArray

MIN_ERROR = 1e-12
"""Floor of the squared error: an EVM of -120 dB, for links without noise."""


def digital_evm_db(
    header: Header, symbols: Mapping[int, ComplexArray], side: bytes | None, text: bytes | None
) -> float:
    """Error vector magnitude: RMS of the error over RMS of the constellation, over the digital symbols of a frame.

    Where side information or text was recovered, the reference is the symbols sent, from coding it again. Otherwise it
    is the nearest constellation points, which gives too small an EVM below about 8 dB of SNR.

    Args:
        header: Header of any burst of the frame.
        symbols: First equalised digital symbols by burst, side information before text, [n] complex64 each. Symbols
            that are lost (0 or not finite) are ignored.
        side: Side information; None if it was not recovered.
        text: Packed text; None if it was not recovered.

    Returns:
        EVM in dB; NaN without digital symbols.
    """
    error, n_elements = 0.0, 0
    sides = None if side is None or header.side_len <= 1 else erasure_code.encode(side, header.n_bursts)
    texts = None if text is None else erasure_code.encode(text, header.n_bursts)
    for number, found in symbols.items():
        burst = replace(header, burst=number)
        for mode_name, sent, part in (
            (header.side_mode, sides, found[: burst.n_side]),
            (header.text_mode, texts, found[burst.n_side : burst.n_side + burst.n_text]),
        ):
            if len(part) == 0:
                continue
            points = _nearest(part, mode_name) if sent is None else digital_encode(sent[number], mode_name)[: len(part)]
            there = np.isfinite(part) & (part != 0)
            error += float(np.sum(np.abs(part[there].astype(complex) - points[there]) ** 2))
            n_elements += int(there.sum())
    return float(10 * np.log10(max(error / n_elements, MIN_ERROR))) if n_elements else float("nan")


def _nearest(symbols: ComplexArray, mode_name: str) -> ComplexArray:
    """Constellation points nearest to the symbols, [n] complex64."""
    n_bits = mode(mode_name).bits_per_symbol
    llr = demodulate(symbols, np.full(len(symbols), 0.01), n_bits)  # at this noise variance the nearest point decides
    return modulate((llr > 0).astype(np.uint8), n_bits)
