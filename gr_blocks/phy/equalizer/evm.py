# SPDX-License-Identifier: GPL-3.0-or-later
"""Error vector magnitude of what a frame carried as bits: against what was sent, where that is known."""

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
"""-120 dB, of a link without noise."""


def digital_evm_db(header: Header, cells: Mapping[int, ComplexArray], side: bytes | None, text: bytes | None) -> float:
    """Root mean square of the error over that of the points, dB, over the digital cells of a frame.

    Args:
        header: Of any of its bursts.
        cells: The first equalised digital cells of each burst that came, side information before text.
        side: The side information as restored: coded again it is what was sent, and what the cells are held against.
            None where it was not; then they are held against the nearest points, which is too good below some 8 dB.
        text: The same of the text.

    Returns:
        NaN where there are no such cells. Cells that are lost, 0 or not finite, do not count.
    """
    error, n_elements = 0.0, 0
    sides = None if side is None or header.side_len <= 1 else erasure_code.encode(side, header.n_bursts)
    texts = None if text is None else erasure_code.encode(text, header.n_bursts)
    for number, found in cells.items():
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


def _nearest(cells: ComplexArray, mode_name: str) -> ComplexArray:
    """The point next to each cell."""
    n_bits = mode(mode_name).bits_per_symbol
    llr = demodulate(cells, np.full(len(cells), 0.01), n_bits)  # so little noise that the nearest point decides
    return modulate((llr > 0).astype(np.uint8), n_bits)
