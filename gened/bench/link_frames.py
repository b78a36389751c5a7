# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of the bench of the link: Gaussian symbols, as of a good codec, and a caption."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize

SAMPLE_RATE = 1e6
N_ANALOG = 8192
TEXT_BYTES = 60


def random_frame(
    number: int,
    rng: np.random.Generator,
    text_mode: str = "bpsk-1/2",
    n_analog: int = N_ANALOG,
    *,
    snr_design_db: float = 4.0,
    session: int = 7,
) -> Frame:
    """Make a frame with Gaussian analogue symbols of mean power 1 and 60 bytes of text."""
    symbols = complex_noise(rng, n_analog, 1.0)
    text = rng.integers(0, 256, TEXT_BYTES, np.uint8).tobytes()
    return Frame(
        session, number % 65536, 1, ImageSize(256, 256), Fraction(1, 24), snr_design_db, Encoded(symbols, b"\x05"),
        text, text_mode,
    )  # fmt: skip
