# SPDX-License-Identifier: GPL-3.0-or-later
"""Budget of symbols: the number that a frame may use, and the numbers that its parts take. Counted here alone."""

from __future__ import annotations

from fractions import Fraction

from gened.errors import FrameError
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.modes import n_symbols, side_mode_for_snr
from gened.gr_blocks.phy.types import Budget, ImageSize

MAX_BURST_SYMBOLS = 16384
"""Most analogue symbols in one burst."""
MAX_BURSTS = 256
"""Most bursts of one frame."""
SNR_STEP_DB = 0.5
SNR_MIN_DB = -8.0
SNR_MAX_DB = 23.5
SIDE_BACKOFF_DB = 1.0
"""Margin of side information in dB: it gets a mode of `modes.SIDE_MODES` that holds at an SNR lower by this. A picture
without it is lost, so it must be lost no more often than the header (python -m gened.bench.modes)."""


def snr_class(snr_db: float) -> int:
    """Number of a design SNR (dB) in the header, 0 to 63; values outside -8 to 23.5 dB are clipped."""
    return round((min(max(snr_db, SNR_MIN_DB), SNR_MAX_DB) - SNR_MIN_DB) / SNR_STEP_DB)


def quantize_snr_db(snr_db: float) -> float:
    """Quantise a design SNR as the header does: to half decibels from -8 to 23.5.

    Encoders design for the quantised value, so that both ends use the same.

    Args:
        snr_db: Es/N0, dB.

    Returns:
        Es/N0, dB.
    """
    return SNR_MIN_DB + SNR_STEP_DB * snr_class(snr_db)


def frame_symbols(size: ImageSize, rate: Fraction) -> int:
    """Number of analogue and side symbols of a frame, floor(3 H W rate).

    Args:
        size: Size of the picture in pixels.
        rate: Symbols per source value.
    """
    return int(3 * size.height * size.width * rate)


def n_bursts(size: ImageSize, rate: Fraction) -> int:
    """Number of bursts of a frame, 1 to 256.

    Args:
        size: Size of the picture in pixels.
        rate: Analogue and side symbols per source value.

    Raises:
        FrameError: The frame needs more than 256 bursts.
    """
    count = max(1, -(-frame_symbols(size, rate) // MAX_BURST_SYMBOLS))
    if count > MAX_BURSTS:
        raise FrameError(
            f"{size.width}x{size.height} at rate {rate} needs {count} bursts; "
            f"a frame has at most {MAX_BURSTS}: lower the rate"
        )
    return count


def budget(size: ImageSize, rate: Fraction, snr_db: float, side_margin_db: float = 0.0) -> Budget:
    """Symbols, bursts and side mode of a frame.

    Args:
        size: Size of the picture in pixels.
        rate: Analogue and side symbols per source value, (analogue + side) / (3 H W).
        snr_db: Es/N0 for which the sender designs, dB; quantised as in the header.
        side_margin_db: Fade below `snr_db` that the side information withstands, dB.

    Raises:
        FrameError: The frame needs more than 256 bursts.
    """
    side_mode = side_mode_for_snr(quantize_snr_db(snr_db) - SIDE_BACKOFF_DB - side_margin_db)
    return Budget(frame_symbols(size, rate), side_mode, n_bursts(size, rate))


def side_symbols(n_bytes: int, side_mode: str, n_bursts: int = 1) -> int:
    """Number of symbols that side information takes over a whole frame.

    Args:
        n_bytes: Bytes of side information; up to one byte is sent in the header and takes no symbols.
        side_mode: Its digital mode, a key of `modes.MODES`.
        n_bursts: Bursts of the frame.
    """
    if n_bytes <= 1:
        return 0
    packets = erasure_code.plan(n_bytes, n_bursts)
    return packets.m * n_symbols(packets.packet_len, side_mode)


def text_symbols(n_bytes: int, text_mode: str, n_bursts: int = 1) -> int:
    """Number of symbols that a text takes over a whole frame, in addition to the budget.

    Args:
        n_bytes: Bytes of the packed text.
        text_mode: Its digital mode, a key of `modes.MODES`.
        n_bursts: Bursts of the frame.
    """
    packets = erasure_code.plan(n_bytes, n_bursts)
    return packets.m * n_symbols(packets.packet_len, text_mode)


def analog_budget(size: ImageSize, rate: Fraction, snr_db: float, n_side_bytes: int) -> int:
    """Number of analogue symbols of a frame: its budget less its side information, 0 or more.

    Args:
        size: Size of the picture in pixels.
        rate: Analogue and side symbols per source value.
        snr_db: Es/N0 for which the sender designs, dB.
        n_side_bytes: Bytes of side information.
    """
    allowed = budget(size, rate, snr_db)
    return max(0, allowed.symbols - side_symbols(n_side_bytes, allowed.side_mode, allowed.n_bursts))
