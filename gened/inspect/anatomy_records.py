# SPDX-License-Identifier: GPL-3.0-or-later
"""Result of `anatomy.dissect`: frozen records of NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.coding.modes import mode
from gened.gr_blocks.phy.coding.modulation import modulate
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

Complex = npt.NDArray[np.complexfloating[Any, Any]]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Part of a burst in time. Parts within one OFDM symbol divide its duration in proportion to their symbols."""

    name: str
    """preamble, header, side information, caption, picture or padding."""
    begin: float
    """Start in samples from the start of the burst."""
    end: float
    """End in samples from the start of the burst."""


@dataclass(frozen=True)
class ChannelView:
    """Channel estimate on the occupied carriers; delay 0 is the start of the burst by the detector."""

    h: Complex
    """Channel in the middle of the burst, [204] complex."""
    h_ends: Complex | None = None
    """Channel in the first and the last OFDM symbol, [2, 204] complex; None for a time-invariant channel."""

    @property
    def magnitude_db(self) -> Float:
        """Power of each carrier over the mean of all, dB, [204]."""
        return self._over_mean_db(self.h)

    @property
    def ends_db(self) -> Float | None:
        """Power in the first and the last OFDM symbol over the same mean, dB, [2, 204]; None if time-invariant."""
        return None if self.h_ends is None else self._over_mean_db(self.h_ends)

    def _over_mean_db(self, h: Complex) -> Float:
        power, mean = np.abs(h) ** 2, max(float(np.mean(np.abs(self.h) ** 2)), 1e-30)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-12 * power.max() + 1e-30) / mean))

    @property
    def phase_rad(self) -> Float:
        """Phase unwrapped over the carriers, less its mean, rad, [204]."""
        phase = np.unwrap(np.angle(self.h))
        return np.asarray(phase - phase.mean())

    @property
    def group_delay(self) -> Float:
        """Group delay -d(phase)/d(omega) in samples, [204]; large near zeros of the channel."""
        return np.asarray(-np.gradient(self.phase_rad, WAVEFORM.carriers) * WAVEFORM.n_fft / (2 * np.pi))


@dataclass(frozen=True)
class PilotView:
    """Common phase of the pilots of each OFDM symbol."""

    times: Float
    """Centre of each OFDM symbol in samples from the start of the burst, [n_symbols]."""
    before_rad: Float
    """Phase after correction of the detector's carrier offset alone, unwrapped, rad, [n_symbols]."""
    after_rad: Float
    """Phase after all corrections, rad in (-pi, pi], [n_symbols]."""


@dataclass(frozen=True)
class Section:
    """Digital or analogue symbols of one part."""

    name: str
    """header, side information, caption or picture."""
    symbols: ComplexArray
    """Symbols equalised to unit gain, [n] complex64."""
    mode: str | None = None
    """Digital mode, or `qpsk` for the header; None for analogue symbols."""
    crc_ok: bool | None = None
    """Whether the CRC holds; None for analogue symbols."""
    evm_db: float | None = None
    """RMS of the error over RMS of the reference, dB. The reference is the symbols sent if the CRC holds, else the
    nearest points."""

    @property
    def points(self) -> ComplexArray:
        """Constellation points of the mode, [2^bits] complex64; empty for analogue symbols."""
        return np.zeros(0, np.complex64) if self.mode is None else _points(bits_per_symbol(self.mode))


@dataclass(frozen=True)
class ElementView:
    """All resource elements after the preamble, pilots among them."""

    grid: Complex
    """Equalised symbols, [n_symbols, 204] complex."""
    noise_var: Float
    """Noise variance of each symbol by the receiver, whole complex variance, [n_symbols, 204]; inf where lost."""
    error_var: Float
    """Mean squared error of the known symbols near each element (`anatomy.ERROR_SIGMA`), [n_symbols, 204]; NaN where
    there is none."""
    bias_db: float | None
    """Mean squared error of the known symbols over their mean noise variance by the receiver, dB; None without known
    symbols."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One burst; fields of stages after a failure are None or empty."""

    samples: ComplexArray
    """Samples of the burst and around it, [n] complex64."""
    first: int
    """Index of the first of these samples in the stream."""
    start: int
    """Index of the first sample of the preamble in the stream; without a preamble, the requested place."""
    sample_rate: float
    """Hz."""
    metric: Float
    """Detection metric |P| / E of `detector.lag_metric` at each sample, [n - 511]."""
    coherence: Float
    """Coherence with the preamble at each sample (`anatomy.coherence`), [n - 511]; empty without a preamble."""
    fault: str = ""
    """Reason why the burst was not demodulated; empty if it was."""
    parts: tuple[Part, ...] = ()
    """Parts of the burst in the order of time."""
    cfo_detector_norm: float | None = None
    """Carrier offset estimated by the detector, cycles per sample."""
    cfo_norm: float | None = None
    """Carrier offset estimated from all reference symbols, cycles per sample."""
    sfo_ppm: float | None = None
    """Sampling frequency offset, ppm."""
    snr_est_db: float | None = None
    """Estimated Es/N0 on an occupied carrier, dB."""
    papr_db: float | None = None
    """PAPR of the burst as received, noise included, dB (`papr_reduction.papr_db`)."""
    channel: ChannelView | None = None
    """Channel estimate."""
    pilots: PilotView | None = None
    """Common phases of the pilots."""
    elements: ElementView | None = None
    """Resource elements with claimed and measured noise."""
    header: Header | None = None
    """Decoded header."""
    sections: tuple[Section, ...] = ()
    """Sections of the burst, of header, side information, caption and picture those that exist, in this order."""
    caption: str | None = None
    """Caption of the frame, if this burst alone recovers it."""

    @property
    def burst(self) -> ComplexArray:
        """Samples of the known parts of the burst, [n] complex64."""
        first = self.start - self.first
        return self.samples[first : first + round(self.parts[-1].end)] if self.parts else self.samples[:0]

    @property
    def noise(self) -> ComplexArray:
        """Samples before the burst, [n] complex64."""
        return self.samples[: max(0, self.start - self.first - WAVEFORM.cp_len)] if self.parts else self.samples

    @property
    def evm_db(self) -> float | None:
        """EVM of all digital symbols together, dB."""
        powers = [(len(one.symbols), 10 ** (one.evm_db / 10)) for one in self.sections if one.evm_db is not None]
        n_elements = sum(n for n, _ in powers)
        return None if n_elements == 0 else float(10 * np.log10(sum(n * power for n, power in powers) / n_elements))

    def section(self, name: str) -> Section | None:
        """Section of a name; None if the burst has none."""
        return next((one for one in self.sections if one.name == name), None)


def bits_per_symbol(mode_name: str) -> int:
    """Coded bits per symbol of a digital mode, or of `qpsk` for the header."""
    return 2 if mode_name == "qpsk" else mode(mode_name).bits_per_symbol


def _points(n_bits: int) -> ComplexArray:
    codes = np.arange(2**n_bits)
    bits = (codes[:, None] >> np.arange(n_bits - 1, -1, -1)) & 1
    return modulate(bits.ravel().astype(np.uint8), n_bits)
