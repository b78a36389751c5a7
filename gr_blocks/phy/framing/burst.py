# SPDX-License-Identifier: GPL-3.0-or-later
"""One burst, as it is planned and as it came."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.types import ComplexArray, FloatArray


@dataclass(frozen=True)
class BurstContent:
    """What a burst carries."""

    header: Header
    symbols: ComplexArray
    """Payload symbols: side information, text, analogue symbols; [header.n_elements] complex64."""


@dataclass(frozen=True)
class ReceivedBurst:
    """A burst whose header was read, demodulated."""

    header: Header
    symbols: ComplexArray
    """Payload symbols equalised to unit gain, in the order of `BurstContent.symbols`; [header.n_elements] complex64."""
    noise_var: FloatArray
    """Whole complex variance of each, [header.n_elements] float32; inf where lost."""
    snr_est_db: float = float("nan")
    cfo_norm: float = 0.0
    """Carrier frequency offset in cycles per sample."""
    sfo_ppm: float = 0.0
    start: int = 0
    """Index of the first preamble sample in the receiver's stream."""
    n_samples: int = 0
    """Samples of the burst, preamble included."""
    h_hat: ComplexArray = field(default_factory=lambda: np.zeros(0, np.complex64))
    """Channel on the occupied carriers, [204] complex64."""
