# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that counts symbols: what a frame may spend, and what its parts cost."""

from __future__ import annotations

from fractions import Fraction

from gened.errors import FrameError
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.modes import n_symbols, side_mode_for_snr
from gened.gr_blocks.phy.types import Budget, ImageSize

MAX_BURST_SYMBOLS = 16384
"""Analogue symbols in one burst."""
MAX_BURSTS = 256
SNR_STEP_DB = 0.5
SNR_MIN_DB = -8.0
SNR_MAX_DB = 23.5
SIDE_BACKOFF_DB = 1.0
"""Side information takes a mode (of `modes.SIDE_MODES`) that holds at an SNR lower by so much: it decides everything,
and is lost no oftener than the header (python -m gened.bench.modes)."""


def snr_class(snr_db: float) -> int:
    """The design SNR as its number in the header, 0 to 63."""
    return round((min(max(snr_db, SNR_MIN_DB), SNR_MAX_DB) - SNR_MIN_DB) / SNR_STEP_DB)


def quantize_snr_db(snr_db: float) -> float:
    """The design SNR as the header tells it: half decibels from -8 to 23.5.

    An encoder designs for this value, so that both ends agree.
    """
    return SNR_MIN_DB + SNR_STEP_DB * snr_class(snr_db)


def frame_symbols(size: ImageSize, rate: Fraction) -> int:
    """Analogue and side symbols of a frame: floor(3 H W rate)."""
    return int(3 * size.height * size.width * rate)


def n_bursts(size: ImageSize, rate: Fraction) -> int:
    """Bursts that a frame travels in.

    Raises:
        FrameError: More than 256.
    """
    count = max(1, -(-frame_symbols(size, rate) // MAX_BURST_SYMBOLS))
    if count > MAX_BURSTS:
        raise FrameError(
            f"{size.width}x{size.height} at rate {rate} needs {count} bursts; "
            f"a frame has at most {MAX_BURSTS}: lower the rate"
        )
    return count


def budget(size: ImageSize, rate: Fraction, snr_db: float, side_margin_db: float = 0.0) -> Budget:
    """What a frame may spend.

    Args:
        size: Of the picture.
        rate: (analogue + side symbols) / (3 H W).
        snr_db: Es/N0 that the sender was told; counted as the header will tell it.
        side_margin_db: How far a burst may fade below that before the side information is lost.
    """
    side_mode = side_mode_for_snr(quantize_snr_db(snr_db) - SIDE_BACKOFF_DB - side_margin_db)
    return Budget(frame_symbols(size, rate), side_mode, n_bursts(size, rate))


def side_symbols(n_bytes: int, side_mode: str, n_bursts: int = 1) -> int:
    """What side information costs over the whole frame; up to one byte rides in the header and costs nothing."""
    if n_bytes <= 1:
        return 0
    packets = erasure_code.plan(n_bytes, n_bursts)
    return packets.m * n_symbols(packets.packet_len, side_mode)


def text_symbols(n_bytes: int, text_mode: str, n_bursts: int = 1) -> int:
    """What a text costs over the whole frame; it is not paid from the budget."""
    packets = erasure_code.plan(n_bytes, n_bursts)
    return packets.m * n_symbols(packets.packet_len, text_mode)


def analog_budget(size: ImageSize, rate: Fraction, snr_db: float, n_side_bytes: int) -> int:
    """Analogue symbols that are left when the side information is paid; never negative."""
    allowed = budget(size, rate, snr_db)
    return max(0, allowed.symbols - side_symbols(n_side_bytes, allowed.side_mode, allowed.n_bursts))
