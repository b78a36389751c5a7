# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes between codec, framing and receiver: plain frozen records of NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ComplexArray = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float32]


class ImageSize(NamedTuple):
    """Height and width of a picture in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Budget:
    """What a frame may spend, from `budget.budget(size, rate, snr_db)`."""

    symbols: int
    """Analogue and side symbols together: floor(3 H W rate)."""
    side_mode: str
    """Digital mode (see `modes.MODES`) in which side information travels at this SNR."""
    n_bursts: int
    """Bursts in which a frame of this size and rate travels."""


@dataclass(frozen=True)
class Encoded:
    """A picture as its codec wants it sent."""

    symbols: ComplexArray
    """[k] complex64, mean power 1 over what is sent; k may depend on the picture and may be 0."""
    side_info: bytes = b""
    """Travels under LDPC and CRC. A single byte rides in the header and costs no symbols."""
    side_mode: str | None = None
    """Digital mode of the side information where its sender wants more margin than the budget's; None: the budget's."""


@dataclass(frozen=True)
class Received:
    """The same picture as the receiver has it."""

    symbols: ComplexArray
    """[k] complex64, equalised to unit gain; 0 where lost."""
    noise_var: FloatArray
    """[k] float32, whole complex noise variance after equalisation; inf where a symbol was lost."""
    side_info: bytes | None
    """None when its CRC failed."""
    size: ImageSize
    rate: Fraction
    snr_design_db: float
    """The SNR the encoder assumed, from the header."""


@dataclass(frozen=True)
class Frame:
    """One picture with its text, ready for the modulator."""

    session: int
    """Random 16-bit number of the sender's run."""
    number: int
    """Frame counter, modulo 2^16."""
    codec_id: int
    """32-bit hash of the codec's name, configuration and weights."""
    size: ImageSize
    rate: Fraction
    snr_design_db: float
    encoded: Encoded
    text: bytes = b""
    """Packed type-length-value records (`records.pack_records`)."""
    text_mode: str = "bpsk-1/2"
    """Digital mode of the text, a key of `modes.MODES`."""


@dataclass(frozen=True)
class PartialBytes:
    """Bytes of which some are doubtful or missing: what is left of a text whose checksum fails."""

    data: bytes
    """As long as was sent; 0 where nothing came."""
    is_sure: npt.NDArray[np.bool_]
    """Of each byte."""


@dataclass(frozen=True)
class ReceivedFrame:
    """One frame as assembled from the bursts that arrived."""

    session: int
    number: int
    codec_id: int
    received: Received
    text: bytes | None
    """The packed records, None when they could not be recovered."""
    has_text: bool
    """Whether the sender sent any text."""
    n_bursts: int
    n_bursts_received: int
    snr_est_db: float
    cfo_est_norm: float
    """Carrier frequency offset in cycles per sample (times the sample rate: Hz)."""
    sfo_est_ppm: float
    on_air_samples: int
    """Samples from first preamble sample to last, over the bursts received."""
    text_symbols: int
    side_symbols: int
    constellation: ComplexArray = field(default_factory=lambda: np.zeros(0, np.complex64))
    """Up to 4096 equalised digital symbols, for screens."""
    evm_db: float = float("nan")
    """Error vector magnitude of these, over the points that were sent; NaN where there are none."""
    partial_text: PartialBytes | None = None
    """What is left of the packed records where `text` is None; None where nothing is."""

    @property
    def erased_fraction(self) -> float:
        """Share of the frame's analogue symbols that never arrived, in [0, 1]."""
        noise_var = self.received.noise_var
        return float(np.mean(~np.isfinite(noise_var))) if len(noise_var) else 0.0
