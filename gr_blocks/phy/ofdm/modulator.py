# SPDX-License-Identifier: GPL-3.0-or-later
"""OFDM modulation: bursts to samples."""

from __future__ import annotations

import numpy as np

from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import VERSION, encode_header
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.papr_reduction import reduce_papr
from gened.gr_blocks.phy.ofdm.payload_phases import payload_phases
from gened.gr_blocks.phy.ofdm.waveform import PADDING_SEED, WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray, Frame


def burst_grid(content: BurstContent) -> ComplexArray:
    """Fill the resource grid of a burst: header, pilots, payload with its phases, padding.

    Args:
        content: Header and payload symbols.

    Returns:
        [n_symbols, 204] complex64, the OFDM symbols after the preamble.
    """
    n_payload = WAVEFORM.n_payload_symbols(len(content.symbols))
    n_symbols = WAVEFORM.n_header_symbols + n_payload
    grid, is_data = WAVEFORM.pilot_grid(n_symbols).copy(), ~WAVEFORM.pilot_mask(n_symbols)
    header = encode_header(content.header, WAVEFORM.n_header_elements)
    n_padding = int(is_data.sum()) - len(header) - len(content.symbols)
    payload = content.symbols * payload_phases(len(content.symbols), content.header.version)
    grid[is_data] = np.concatenate([header, payload, qpsk_stream(n_padding, PADDING_SEED)])
    return grid


def modulate_burst(content: BurstContent, *, reduces_papr: bool = True) -> ComplexArray:
    """Modulate one burst: preamble, header, payload.

    Args:
        content: Header and payload symbols.
        reduces_papr: Clip and filter peaks, at an error far below the noise at the design SNR; see `papr_reduction`.

    Returns:
        [WAVEFORM.burst_len(n_elements)] complex64; mean power 1 if the payload symbols have mean power 1.
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


def modulate_frame(frame: Frame, *, reduces_papr: bool = True, version: int = VERSION) -> list[ComplexArray]:
    """Modulate all bursts of a frame.

    Args:
        frame: Encoded picture with its text.
        reduces_papr: As for `modulate_burst`.
        version: As for `planning.plan_bursts`.

    Returns:
        Samples of each burst, complex64, without gaps between bursts.

    Raises:
        FrameError: As `planning.plan_bursts`.
        ConfigError: As `planning.plan_bursts`.
    """
    contents = plan_bursts(frame, version=version)
    return [modulate_burst(content, reduces_papr=reduces_papr) for content in contents]
