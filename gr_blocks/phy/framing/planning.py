# SPDX-License-Identifier: GPL-3.0-or-later
"""Split a frame into bursts.

Encoded.symbols --permutation over the whole frame--> slices, one per burst
side_info, text --erasure code (any k of m)---------> one packet per burst, each in its own digital mode

A symbol that no radio can send is sent as 0, so that it costs its own value and not its burst.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gened.errors import FrameError
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.interleave import FRAME_SEED, permutation
from gened.gr_blocks.phy.coding.modes import digital_encode, mode
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, MAX_BURSTS, budget, n_bursts, side_symbols
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import MAX_BURST_ELEMENTS, VERSION, Header, quantize_snr_db
from gened.gr_blocks.phy.framing.records import MAX_TEXT_BYTES
from gened.gr_blocks.phy.types import ComplexArray, Frame

MAX_SIDE_BYTES = 65535
MAX_MAGNITUDE = float(np.sqrt(MAX_BURSTS * MAX_BURST_SYMBOLS))
"""Largest magnitude of an analogue symbol, 2048: all energy of the longest frame of mean power 1 in one symbol."""


def is_sendable(symbols: ComplexArray) -> npt.NDArray[np.bool_]:
    """Whether each analogue symbol is finite and at most `MAX_MAGNITUDE`, [n] bool; the others are sent as 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.abs(symbols) <= MAX_MAGNITUDE)


def sendable(symbols: ComplexArray) -> ComplexArray:
    """The symbols with 0 in place of those that cannot be sent, [n] complex64."""
    return np.where(is_sendable(symbols), symbols, np.complex64(0))


def plan_bursts(frame: Frame, *, version: int = VERSION) -> list[BurstContent]:
    """Split a frame into bursts.

    Args:
        frame: Encoded picture with its text.
        version: Format version, one of `header.VERSIONS`; receivers of earlier releases decode version 1 alone.

    Returns:
        One content per burst, in the order of sending.

    Raises:
        FrameError: The frame has more symbols than its rate allows, or its text or side information is too long.
        ConfigError: There is no such mode of the text or of the side information.
    """
    mode(frame.text_mode)
    encoded = frame.encoded
    allowed = budget(frame.size, frame.rate, quantize_snr_db(frame.snr_design_db))
    side_mode = allowed.side_mode if encoded.side_mode is None else encoded.side_mode
    count = n_bursts(frame.size, frame.rate)
    side_cost = side_symbols(len(encoded.side_info), side_mode, count)
    if len(encoded.symbols) + side_cost > allowed.symbols and len(encoded.symbols) > 0:
        raise FrameError(
            f"{len(encoded.symbols)} analogue and {side_cost} side symbols; rate {frame.rate} allows {allowed.symbols}"
        )
    if len(encoded.side_info) > MAX_SIDE_BYTES or len(frame.text) > MAX_TEXT_BYTES:
        raise FrameError(
            f"{len(encoded.side_info)} bytes of side information and {len(frame.text)} of text; "
            f"a frame carries {MAX_SIDE_BYTES} and {MAX_TEXT_BYTES}"
        )
    single = encoded.side_info[0] if len(encoded.side_info) == 1 else 0
    side = erasure_code.encode(encoded.side_info if len(encoded.side_info) > 1 else b"", count)
    text = erasure_code.encode(frame.text, count)
    symbols = sendable(encoded.symbols)[permutation(len(encoded.symbols), FRAME_SEED)]
    bursts = []
    for index in range(count):
        header = Header(
            session=frame.session, frame=frame.number, burst=index, n_bursts=count, codec_id=frame.codec_id,
            size=frame.size,
            rate=frame.rate, snr_design_db=quantize_snr_db(frame.snr_design_db), side_mode=side_mode,
            text_mode=frame.text_mode, n_symbols=len(symbols), side_len=len(encoded.side_info),
            text_len=len(frame.text),
            side_byte=single, version=version,
        )  # fmt: skip
        if header.n_elements > MAX_BURST_ELEMENTS:
            raise FrameError(
                f"a burst of {header.n_elements} payload symbols; at most {MAX_BURST_ELEMENTS}: "
                f"send less side information or choose a faster mode"
            )
        parts = [
            digital_encode(side[index], side_mode) if index < len(side) else symbols[:0],
            digital_encode(text[index], frame.text_mode) if index < len(text) else symbols[:0],
            symbols[header.first_symbol : header.first_symbol + header.n_analog],
        ]
        bursts.append(BurstContent(header, np.concatenate(parts).astype(np.complex64)))
    return bursts
