# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of one burst: its content before modulation, and the result of demodulation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.types import ComplexArray, FloatArray


@dataclass(frozen=True)
class BurstContent:
    """Content of a burst before modulation."""

    header: Header
    """Header of the burst."""
    symbols: ComplexArray
    """Payload symbols in the order side information, text, analogue symbols, [header.n_elements] complex64."""


@dataclass(frozen=True)
class ReceivedBurst:
    """A demodulated burst."""

    header: Header
    """Decoded header."""
    symbols: ComplexArray
    """Payload symbols equalised to unit gain, in the order of `BurstContent.symbols`; [header.n_elements] complex64."""
    noise_var: FloatArray
    """Whole complex noise variance of each payload symbol, [header.n_elements] float32; inf where lost."""
    snr_est_db: float = float("nan")
    """Estimated Es/N0 on an occupied carrier, dB."""
    cfo_norm: float = 0.0
    """Carrier frequency offset, cycles per sample."""
    sfo_ppm: float = 0.0
    """Sampling frequency offset, ppm; positive when the burst arrived with fewer samples than were sent."""
    start: int = 0
    """Index of the first sample of the preamble in the receiver's stream."""
    n_samples: int = 0
    """Length of the burst in samples, preamble included."""
    h_hat: ComplexArray = field(default_factory=lambda: np.zeros(0, np.complex64))
    """Channel estimate on the occupied carriers in the middle of the burst, [204] complex64."""
