# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts to samples."""

from __future__ import annotations

import numpy as np

from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import encode_header
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.papr_reduction import reduce_papr
from gened.gr_blocks.phy.ofdm.waveform import PADDING_SEED, WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray, Frame


def burst_grid(content: BurstContent) -> ComplexArray:
    """Cells of a burst's header and payload symbols, pilots among them, [n_symbols, 204]."""
    n_payload = WAVEFORM.n_payload_symbols(len(content.symbols))
    n_symbols = WAVEFORM.n_header_symbols + n_payload
    grid, is_data = WAVEFORM.pilot_grid(n_symbols).copy(), ~WAVEFORM.pilot_mask(n_symbols)
    header = encode_header(content.header, WAVEFORM.n_header_elements)
    n_padding = int(is_data.sum()) - len(header) - len(content.symbols)
    grid[is_data] = np.concatenate([header, content.symbols, qpsk_stream(n_padding, PADDING_SEED)])
    return grid


def modulate_burst(content: BurstContent, *, reduces_papr: bool = True) -> ComplexArray:
    """One burst: preamble, header, payload.

    Args:
        content: What is in it.
        reduces_papr: Lower peaks, for an error far under the noise of the design SNR; see `papr_reduction.py`.

    Returns:
        [WAVEFORM.burst_len(n_elements)] complex64; mean power 1 where the payload's is.
    """
    half = WAVEFORM.preamble_half
    grid = burst_grid(content)
    if reduces_papr:
        n_header, header = WAVEFORM.n_header_symbols, content.header
        n_coded = WAVEFORM.n_payload_symbols(header.n_side + header.n_text)
        grid = reduce_papr(grid, header.snr_design_db, slice(n_header, n_header + n_coded))
    body = WAVEFORM.to_time(grid)
    body = np.concatenate([body[:, -WAVEFORM.cp_len :], body], axis=1)
    return np.concatenate([half[-WAVEFORM.cp_len :], half, half, body.ravel()])


def modulate_frame(frame: Frame, *, reduces_papr: bool = True) -> list[ComplexArray]:
    """The bursts of a frame as samples, without gaps.

    Args:
        frame: What is sent.
        reduces_papr: See `modulate_burst`.

    Raises:
        FrameError: See `framing.plan_bursts`.
    """
    return [modulate_burst(content, reduces_papr=reduces_papr) for content in plan_bursts(frame)]
