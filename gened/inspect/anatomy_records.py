# SPDX-License-Identifier: GPL-3.0-or-later
"""What `anatomy.dissect` gives: plain frozen records of NumPy arrays."""

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
    """A piece of the burst, in samples from its start. Cells of one symbol share its time in proportion."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class ChannelView:
    """The channel on the occupied carriers; delay 0 is where the detector says that the burst begins."""

    h: Complex
    """[204] complex; in the middle of the burst."""
    h_ends: Complex | None = None
    """The same in its first and its last symbol, [2, 204]; None where the channel stands still."""

    @property
    def magnitude_db(self) -> Float:
        """Over the mean power of all carriers, [204]."""
        return self._over_mean_db(self.h)

    @property
    def ends_db(self) -> Float | None:
        """First and last symbol over the same mean, [2, 204]; None where the channel stands still."""
        return None if self.h_ends is None else self._over_mean_db(self.h_ends)

    def _over_mean_db(self, h: Complex) -> Float:
        power, mean = np.abs(h) ** 2, max(float(np.mean(np.abs(self.h) ** 2)), 1e-30)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-12 * power.max() + 1e-30) / mean))

    @property
    def phase_rad(self) -> Float:
        """Unwrapped over the carriers, the mean taken off, [204]."""
        phase = np.unwrap(np.angle(self.h))
        return np.asarray(phase - phase.mean())

    @property
    def group_delay(self) -> Float:
        """Samples, -d(phase)/d(omega), [204]; wild where the channel has a zero."""
        return np.asarray(-np.gradient(self.phase_rad, WAVEFORM.carriers) * WAVEFORM.n_fft / (2 * np.pi))


@dataclass(frozen=True)
class PilotView:
    """Common phase of each symbol, from its pilots."""

    times: Float
    """Middle of each symbol, samples from the burst's start, [n_symbols]."""
    before_rad: Float
    """With the detector's carrier offset taken off alone, unwrapped, [n_symbols]."""
    after_rad: Float
    """As equalised, in (-pi, pi], [n_symbols]."""


@dataclass(frozen=True)
class Section:
    """Digital or analogue cells of one part."""

    name: str
    symbols: ComplexArray
    """Equalised to unit gain, [n] complex64."""
    mode: str | None = None
    """Digital mode; None: analogue."""
    crc_ok: bool | None = None
    evm_db: float | None = None
    """Error over reference, RMS; the reference is what was sent where the CRC holds, else the nearest points."""

    @property
    def points(self) -> ComplexArray:
        """Where cells of this mode ought to lie; none for analogue ones."""
        return np.zeros(0, np.complex64) if self.mode is None else _points(bits_per_symbol(self.mode))


@dataclass(frozen=True)
class ElementView:
    """All cells behind the preamble, pilots among them."""

    grid: Complex
    """Equalised, [n_symbols, 204]."""
    noise_var: Float
    """What the receiver claims of each, whole complex variance, [n_symbols, 204]; inf where lost."""
    error_var: Float
    """Measured at known symbols around each, averaged as by `anatomy.ERROR_SIGMA`; NaN where none is near."""
    bias_db: float | None
    """Mean of what was measured over mean of what was claimed; None where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One burst; what lies behind the point at which it fails is None or empty."""

    samples: ComplexArray
    """Around the burst, [n] complex64."""
    first: int
    """Index of the first of them in the stream."""
    start: int
    """Index of the first preamble sample in the stream; without a preamble, the place looked at."""
    sample_rate: float
    """Hz."""
    metric: Float
    """Detection metric at each sample, [n - 511]: |P| / E of `detector.lag_metric`."""
    coherence: Float
    """Share of the energy from there on that the known preamble explains, [n - 511]; empty without a preamble."""
    fault: str = ""
    """Why it goes no further; empty for a burst that was read."""
    parts: tuple[Part, ...] = ()
    cfo_detector_norm: float | None = None
    """Carrier offset as the detector saw it, cycles per sample."""
    cfo_norm: float | None = None
    """After all pilots were asked."""
    sfo_ppm: float | None = None
    snr_est_db: float | None = None
    """Es/N0 on an occupied carrier."""
    papr_db: float | None = None
    """Of the burst as received, noise included: see `papr_reduction.papr_db`."""
    channel: ChannelView | None = None
    pilots: PilotView | None = None
    elements: ElementView | None = None
    header: Header | None = None
    sections: tuple[Section, ...] = ()
    """header, side information, caption, picture: those that are there, in this order."""
    caption: str | None = None
    """Where this burst alone restores the frame's text."""

    @property
    def burst(self) -> ComplexArray:
        """The samples of the burst, as far as they are known to be its own."""
        first = self.start - self.first
        return self.samples[first : first + round(self.parts[-1].end)] if self.parts else self.samples[:0]

    @property
    def noise(self) -> ComplexArray:
        """What lies before the burst."""
        return self.samples[: max(0, self.start - self.first - WAVEFORM.cp_len)] if self.parts else self.samples

    @property
    def evm_db(self) -> float | None:
        """Of all digital cells together."""
        powers = [(len(one.symbols), 10 ** (one.evm_db / 10)) for one in self.sections if one.evm_db is not None]
        n_elements = sum(n for n, _ in powers)
        return None if n_elements == 0 else float(10 * np.log10(sum(n * power for n, power in powers) / n_elements))

    def section(self, name: str) -> Section | None:
        """One of `sections`; None where the burst has none of that name."""
        return next((one for one in self.sections if one.name == name), None)


def bits_per_symbol(mode_name: str) -> int:
    """Of a digital mode, or of the header's `qpsk`."""
    return 2 if mode_name == "qpsk" else mode(mode_name).bits_per_symbol


def _points(n_bits: int) -> ComplexArray:
    codes = np.arange(2**n_bits)
    bits = (codes[:, None] >> np.arange(n_bits - 1, -1, -1)) & 1
    return modulate(bits.ravel().astype(np.uint8), n_bits)
