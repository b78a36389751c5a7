# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that pass between codec, framing and receiver: frozen dataclasses of NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ComplexArray = npt.NDArray[np.complex64]
FloatArray = npt.NDArray[np.float32]
MAX_SYMBOL = 1e3
"""Magnitude from which an equalised symbol, whose mean power is 1, is a fault."""
NOISE_VAR_RANGE = (1e-6, 1e6)
"""Noise variances of -60 to 60 dB: beyond it their inverses leave the digits of float32."""


class ImageSize(NamedTuple):
    """Height and width of a picture in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Budget:
    """Symbols and bursts of a frame, from `budget.budget(size, rate, snr_db)`."""

    symbols: int
    """Analogue and side symbols together: floor(3 H W rate)."""
    side_mode: str
    """Digital mode of side information at this SNR, a key of `modes.MODES`."""
    n_bursts: int
    """Number of bursts of a frame of this size and rate."""


@dataclass(frozen=True)
class Encoded:
    """An encoded picture: the output of a codec's encoder."""

    symbols: ComplexArray
    """Analogue symbols, [k] complex64, mean power 1; k may depend on the picture and may be 0."""
    side_info: bytes = b""
    """Bytes sent with LDPC and CRC. A single byte is sent in the header and costs no symbols."""
    side_mode: str | None = None
    """Digital mode of the side information, a key of `modes.MODES`; None for the mode of the budget."""


@dataclass(frozen=True)
class Received:
    """An encoded picture as received: the input of a codec's decoder."""

    symbols: ComplexArray
    """Analogue symbols, [k] complex64, equalised to unit gain; 0 where lost."""
    noise_var: FloatArray
    """Whole complex noise variance of each symbol after equalisation, [k] float32; inf where lost."""
    side_info: bytes | None
    """Side information; None when its CRC failed."""
    size: ImageSize
    """Size of the picture."""
    rate: Fraction
    """Analogue and side symbols per source value, (analogue + side) / (3 H W)."""
    snr_design_db: float
    """Es/N0 for which the encoder designed the symbols, dB; from the header."""

    def usable(self, n: int) -> tuple[ComplexArray, FloatArray]:
        """The first n symbols and their noise variances, as a decoder can use them whatever arrived.

        Symbols that are missing, not finite, larger than `MAX_SYMBOL` or without a noise variance are 0, with the noise
        variance inf. Other noise variances are limited to `NOISE_VAR_RANGE`.

        Returns:
            [n] complex64 and [n] float32, both writable copies.
        """
        symbols, noise_var = np.zeros(n, np.complex64), np.full(n, np.inf, np.float32)
        count = min(n, len(self.symbols), len(self.noise_var))
        given, given_var = self.symbols[:count], self.noise_var[:count]
        good = np.isfinite(given) & np.isfinite(given_var) & (given_var >= 0)
        good &= np.abs(np.where(good, given, 0)) < MAX_SYMBOL
        symbols[:count] = np.where(good, given, 0)
        noise_var[:count] = np.where(good, np.clip(np.where(good, given_var, 1), *NOISE_VAR_RANGE), np.inf)
        return symbols, noise_var


@dataclass(frozen=True)
class Frame:
    """One encoded picture with its text, ready for the modulator."""

    session: int
    """Random 16-bit number of the sender's run."""
    number: int
    """Frame counter, modulo 2^16."""
    codec_id: int
    """32-bit hash of the codec's name, configuration and weights."""
    size: ImageSize
    """Size of the picture."""
    rate: Fraction
    """Analogue and side symbols per source value."""
    snr_design_db: float
    """Es/N0 for which the frame is designed, dB."""
    encoded: Encoded
    """Encoded picture."""
    text: bytes = b""
    """Packed type-length-value records (`records.pack_records`)."""
    text_mode: str = "bpsk-1/2"
    """Digital mode of the text, a key of `modes.MODES`."""


@dataclass(frozen=True)
class PartialBytes:
    """Bytes of a text whose checksum fails, some of which are doubtful or missing."""

    data: bytes
    """Bytes, as many as were sent; 0 where nothing was received."""
    is_sure: npt.NDArray[np.bool_]
    """Whether each byte is certain, [len(data)] bool."""


@dataclass(frozen=True)
class ReceivedFrame:
    """One frame, assembled from the bursts that arrived."""

    session: int
    """Random 16-bit number of the sender's run."""
    number: int
    """Frame counter, modulo 2^16."""
    codec_id: int
    """32-bit hash of the codec's name, configuration and weights."""
    received: Received
    """Received picture."""
    text: bytes | None
    """Packed records (`records.unpack_records`); None when they could not be recovered."""
    has_text: bool
    """Whether the sender sent any text."""
    n_bursts: int
    """Number of bursts sent, 1 to 256."""
    n_bursts_received: int
    """Number of bursts received, 1 to `n_bursts`."""
    snr_est_db: float
    """Estimated Es/N0 on an occupied carrier, mean power ratio over the bursts, dB."""
    cfo_est_norm: float
    """Mean carrier frequency offset, cycles per sample (times the sample rate: Hz)."""
    sfo_est_ppm: float
    """Mean sampling frequency offset, ppm; positive when the burst arrived with fewer samples than were sent."""
    on_air_samples: int
    """Samples from the first of the preamble to the last of the payload, summed over the bursts received."""
    text_symbols: int
    """Number of symbols that the text took, over all bursts sent."""
    side_symbols: int
    """Number of symbols that the side information took, over all bursts sent."""
    constellation: ComplexArray = field(default_factory=lambda: np.zeros(0, np.complex64))
    """Up to 4096 equalised digital symbols for display, [n] complex64."""
    evm_db: float = float("nan")
    """Error vector magnitude of `constellation` relative to the symbols sent, dB; NaN without digital symbols."""
    partial_text: PartialBytes | None = None
    """Certain bytes of the packed records when `text` is None; None when there are none."""

    @property
    def erased_fraction(self) -> float:
        """Fraction of the frame's analogue symbols that did not arrive, in [0, 1]."""
        noise_var = self.received.noise_var
        return float(np.mean(~np.isfinite(noise_var))) if len(noise_var) else 0.0
