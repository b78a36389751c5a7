# SPDX-License-Identifier: GPL-3.0-or-later
"""Burst detection and synchronisation in a stream of samples.

lag-256 correlation > threshold -> peak -> correlation with the preamble over carrier offsets and lags -> header
        -> wait for the end of the burst; meanwhile search for others as strong, so that a weak burst or a forged
           header hides none

The result does not depend on how the stream is cut into chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.gr_blocks.phy.coding.requirements import prepare_decoder
from gened.gr_blocks.phy.equalizer.demodulator import Capture, fft_preamble, fft_symbols
from gened.gr_blocks.phy.framing.header import Header, HeaderFault, decode_header_or_fault
from gened.gr_blocks.phy.ofdm.resource_grid import phasor, symbol_times
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import MIN_VARIANCE, amplitude, derotate, estimate_preamble
from gened.gr_blocks.phy.types import ComplexArray

HALF = WAVEFORM.n_fft
CANDIDATE_THRESHOLD = 0.19
"""Threshold of the normalised lag correlation. Noise exceeds it once in 10^4 samples (exp(-256 t^2)); a burst at -2 dB
reaches 0.33."""
STRONGER_THRESHOLD = 0.33
"""Threshold during a burst. A second burst as strong reaches 0.5; the OFDM symbols of a burst stay below it."""
COHERENCE_THRESHOLD = 0.055
"""Threshold of the fraction of the energy explained by the preamble. Over the 13,000 hypotheses per candidate, noise
exceeds it once in 10^8 candidates."""
TONE_SHARE = 0.3
"""Fraction of the energy in three FFT bins above which a candidate is a tone."""
PEAK_SPAN = WAVEFORM.symbol_len
"""Samples after the first crossing of the threshold in which the peak is searched."""
SEARCH_LAG = 96
"""Largest distance in samples of the lag correlation's peak from the start of the preamble."""
MAX_INTEGER_CFO = 34
"""Largest carrier offset in carriers, either way; 12.5 % of the sample rate are 32."""
MAX_AMPLITUDE = 1e6
"""Samples of this magnitude or more, and those that are not finite, count as 0."""
RETRIED_NORM = tuple(3e-5 * step for step in (1, -1, 2, -2, 3, -3))
"""Carrier offsets relative to the estimate, cycles per sample, at which a header that fails its CRC is decoded
again."""
BLOCK, FIRST_BLOCK = 32768, 2048
"""Largest and first number of indices searched at a time. The search starts small after a burst, since another may
follow at once, and doubles."""
N_CORRELATION = 768
"""Length of the FFT of the correlation with the preamble."""
LEAD = SEARCH_LAG + WAVEFORM.cp_len
"""Samples kept before a candidate, for its verification."""
LOOKAHEAD = PEAK_SPAN + SEARCH_LAG + WAVEFORM.preamble_len + WAVEFORM.n_header_symbols * WAVEFORM.symbol_len + 64
"""Samples after a crossing that its verification may need."""
MAX_OVERLAPPING_BURSTS = 4
"""Maximum number of overlapping bursts. The search pauses beyond it, so forged headers cannot exhaust memory."""
HEADER_END = WAVEFORM.preamble_len + WAVEFORM.n_header_symbols * WAVEFORM.symbol_len
"""Samples of preamble and header."""
END_SLACK = 8
"""Samples that a complete burst may lack at the end of a stream, for clock errors and timing errors."""
TAIL = 24
"""Samples kept after a burst, for clock errors."""


class _Sync(NamedTuple):
    start: int
    """Index of the first sample of the preamble's prefix in the searched array."""
    cfo_norm: float
    """Carrier frequency offset, cycles per sample."""


class Miss(NamedTuple):
    """A preamble without a complete burst."""

    start: int
    """Index of the first sample of the preamble's prefix in the stream."""
    cfo_norm: float
    """Carrier frequency offset, cycles per sample."""
    fault: HeaderFault | None
    """Reason why there is no header; None when there is one but the stream ends within the burst."""


class EqualizedHeader(NamedTuple):
    """OFDM symbols of a header, equalised with the channel estimate of the preamble."""

    symbols: npt.NDArray[np.complexfloating[Any, Any]]
    """Symbols equalised to unit gain, pilots among them, [3, 204] complex."""
    noise_var: npt.NDArray[np.float64]
    """Whole complex noise variance of each symbol, [3, 204]."""
    h: npt.NDArray[np.complexfloating[Any, Any]]
    """Channel estimate of the preamble, [204] complex."""
    snr_est_db: float
    """Es/N0 estimated from the preamble, dB."""
    cfo_norm: float
    """Residual carrier offset estimated from the pilots, cycles per sample."""


@dataclass
class DetectorStats:
    """Counters of a detector."""

    samples: int = 0
    """Samples received."""
    candidates: int = 0
    """Peaks of the lag correlation above the threshold."""
    tones: int = 0
    """Candidates rejected as tones."""
    preambles: int = 0
    """Candidates that match the preamble."""
    headers: int = 0
    """Preambles with a valid header."""
    bad_headers: int = 0
    """Preambles without a valid header."""
    foreign_versions: int = 0
    """Bad headers whose CRC holds but whose format version is another one."""


def lag_metric(samples: ComplexArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.complex128]]:
    """Lag correlation P(n) = sum over m = 0 ... 255 of conj(y[n + m]) y[n + m + 256], and |P| / E.

    E is the mean energy of the two windows of 256 samples.

    Args:
        samples: [n + 511] complex64.

    Returns:
        |P| / E in [0, 1], [n] float64; and P, [n] complex128.

    References:
        Schmidl and Cox, "Robust frequency and timing synchronization for OFDM", IEEE Trans. Commun. 45(12), 1997.
    """
    products = np.conj(samples[:-HALF]) * samples[HALF:]
    sums = np.concatenate([np.zeros(1), np.cumsum(products, dtype=np.complex128)])
    correlation = sums[HALF:] - sums[:-HALF]
    energy = np.concatenate([np.zeros(1), np.cumsum(np.abs(samples) ** 2, dtype=np.float64)])
    window = energy[HALF:] - energy[:-HALF]
    mean = 0.5 * (window[:-HALF] + window[HALF:])
    floor = 1e-9 * max(float(mean.max(initial=0.0)), 1e-20)
    return np.abs(correlation) / np.maximum(mean, floor + 1e-30), correlation


@lru_cache(maxsize=1)
def _preamble_spectra() -> npt.NDArray[np.complex64]:
    """Conjugate spectra of the preamble under each integer carrier offset, [69, 768] complex64."""
    reference = np.concatenate([WAVEFORM.preamble_half] * 2)
    spectrum = np.conj(scipy.fft.fft(reference, N_CORRELATION))
    bins_a_carrier = N_CORRELATION // WAVEFORM.n_fft
    offsets = range(-MAX_INTEGER_CFO, MAX_INTEGER_CFO + 1)
    rows = [np.roll(spectrum, bins_a_carrier * offset) for offset in offsets]
    return np.asarray(np.stack(rows), np.complex64)


def is_tone(segment: ComplexArray) -> bool:
    """Test whether a candidate is a tone, which is periodic with any lag.

    Args:
        segment: Samples from the peak of the lag correlation, [512 or more] complex64.

    Returns:
        True if one FFT bin and its neighbours hold more than `TONE_SHARE` of the energy.
    """
    power = np.abs(scipy.fft.fft(segment[: 2 * HALF])) ** 2
    around = power + np.roll(power, 1) + np.roll(power, -1)
    return bool(around.max() > TONE_SHARE * power.sum())


def synchronize(samples: ComplexArray, peak: int, phase_rad: float) -> _Sync | None:
    """Find the preamble near a peak of the lag correlation.

    The samples are correlated with the preamble over lags of `SEARCH_LAG` and integer carrier offsets of
    `MAX_INTEGER_CFO` either way. The start is the first significant path before the strongest one.

    Args:
        samples: [n] complex64, with at least `LEAD` samples before the peak and 608 after it.
        peak: Index of the peak of the lag correlation.
        phase_rad: Phase of the lag correlation at the peak, rad; gives the fractional carrier offset.

    Returns:
        Start and carrier offset of the preamble; None when its coherence is below `COHERENCE_THRESHOLD`.
    """
    first = peak - SEARCH_LAG
    segment = derotate(samples[first : first + 2 * HALF + 2 * SEARCH_LAG], phase_rad / (2 * np.pi * HALF))
    spectrum = scipy.fft.fft(segment, N_CORRELATION)
    correlation = scipy.fft.ifft(spectrum * _preamble_spectra(), axis=1)[:, : 2 * SEARCH_LAG + 1]
    power = correlation.real**2 + correlation.imag**2
    energy = np.concatenate([np.zeros(1), np.cumsum(np.abs(segment) ** 2, dtype=np.float64)])
    window = energy[2 * HALF :] - energy[: -2 * HALF]
    coherence = power / (2 * HALF * np.maximum(window, 1e-20))
    row, lag = np.unravel_index(int(np.argmax(coherence)), coherence.shape)
    if coherence[row, lag] < COHERENCE_THRESHOLD:
        return None
    arrival = int(lag)
    significant = max(0.1 * power[row, lag], 8 * float(np.median(power[row])))
    for earlier in range(max(0, int(lag) - WAVEFORM.cp_len + 2), int(lag)):
        if power[row, earlier] > significant:
            arrival = earlier
            break
    halves = segment[arrival : arrival + 2 * HALF].reshape(2, HALF)
    residual = float(np.angle(np.vdot(halves[0], halves[1]))) / (2 * np.pi * HALF)
    cfo_norm = phase_rad / (2 * np.pi * HALF) + residual + (int(row) - MAX_INTEGER_CFO) / WAVEFORM.n_fft
    return _Sync(first + arrival - WAVEFORM.cp_len, cfo_norm)


def read_header(found: EqualizedHeader) -> Header | HeaderFault:
    """Decode the header from its equalised symbols.

    At low SNR the thirty pilots determine the residual carrier offset poorly. If the CRC fails, the header is decoded
    again at the offsets `RETRIED_NORM` from the estimate, which lowers the SNR that a header needs by 0.5 dB.

    Args:
        found: Equalised OFDM symbols of the header.

    Returns:
        The header, or the reason why there is none.
    """
    is_header, times = _header_pilots() == 0, symbol_times(WAVEFORM.n_header_symbols)
    noise_var = found.noise_var[is_header]
    first = decode_header_or_fault(found.symbols[is_header], noise_var)
    if first is not HeaderFault.CHECKSUM:
        return first
    for offset_norm in RETRIED_NORM:
        header = decode_header_or_fault((found.symbols * phasor(-offset_norm * times)[:, None])[is_header], noise_var)
        if isinstance(header, Header):
            return header
    return first


@lru_cache(maxsize=1)
def _header_pilots() -> ComplexArray:
    """Pilots of the header's OFDM symbols, 0 elsewhere, [3, 204] complex64."""
    n = WAVEFORM.n_header_symbols
    return np.asarray(np.where(WAVEFORM.pilot_mask(n), WAVEFORM.pilot_grid(n), 0), np.complex64)


@lru_cache(maxsize=1)
def _slopes() -> tuple[npt.NDArray[np.float64], ComplexArray]:
    """Residual carrier offsets to test, [161] cycles per sample, and the phasors that correct each, [161, 3]."""
    slopes = np.linspace(-4e-4, 4e-4, 161)
    return slopes, phasor(-np.outer(slopes, symbol_times(WAVEFORM.n_header_symbols)))


def equalize_header(samples: ComplexArray, cfo_norm: float) -> EqualizedHeader:
    """Equalise the OFDM symbols of a header with the channel estimate of the preamble.

    Args:
        samples: Samples from the first of the preamble's prefix, [`HEADER_END` or more] complex64.
        cfo_norm: Carrier frequency offset estimated from the preamble, cycles per sample.
    """
    n_symbols = WAVEFORM.n_header_symbols
    level = amplitude(samples)
    derotated = derotate(samples[: WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len], cfo_norm) / np.float32(
        level
    )
    preamble = estimate_preamble(fft_preamble(derotated))
    grid, times = fft_symbols(derotated, n_symbols), symbol_times(n_symbols)
    pilots = np.sum(grid * np.conj(preamble.channel.h * _header_pilots()), axis=1)
    # Residual carrier offset: MAP estimate of the slope that aligns the pilots. The prior is Gaussian with the
    # standard deviation of the estimate from the preamble.
    slopes, phasors = _slopes()
    rotated = phasors @ pilots
    snr = max(float(np.mean(np.abs(preamble.channel.h) ** 2)), 1e-12) / max(preamble.noise_var, MIN_VARIANCE)
    deviation = np.sqrt((1 + 1 / snr) / (snr * HALF)) / (2 * np.pi * HALF)
    score = 2 * rotated.real / max(preamble.noise_var, MIN_VARIANCE) - 0.5 * (slopes / max(deviation, 1e-7)) ** 2
    slope = slopes[int(np.argmax(score))]
    grid = grid * phasor(-slope * times)[:, None]
    gain = np.maximum(np.abs(preamble.channel.h) ** 2, 1e-12)
    cells = grid * (np.conj(preamble.channel.h) / gain)
    noise_var = np.broadcast_to((preamble.noise_var + preamble.channel.err_var) / gain, grid.shape)
    return EqualizedHeader(cells, noise_var, level * preamble.channel.h, float(10 * np.log10(snr)), float(slope))


class BurstDetector:
    """Detector of bursts in a stream that comes in chunks of any size; the captures do not depend on the chunks.

    Args:
        on_miss: Called for each preamble whose header fails, and for a burst that the end of the stream cuts off.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, on_miss: Callable[[Miss], None] | None = None) -> None:
        prepare_decoder()
        self._on_miss = on_miss
        self.stats = DetectorStats()
        self._buffer = np.zeros(LEAD, np.complex64)  # history before the first sample: zeros
        self._base = -LEAD  # index of the buffer's first sample in the stream
        self._next = 0  # index in the stream that is searched next
        self._waiting: deque[Capture] = deque()  # detected bursts that are not complete, by their start
        self._ends: list[int] = []  # ends in the stream of the bursts that are on the air at `_next`
        self._block = FIRST_BLOCK

    def push(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> list[Capture]:
        """Process the next chunk.

        Args:
            samples: [n] complex, any n.

        Returns:
            Captures of the bursts that became complete, in the order of their starts.
        """
        chunk = np.asarray(samples, np.complex64).ravel()
        self.stats.samples += len(chunk)
        magnitude = np.abs(chunk)
        bad = ~(magnitude < MAX_AMPLITUDE)  # also true for NaN
        if bad.any():
            chunk = np.where(bad, 0, chunk).astype(np.complex64)
        self._buffer = np.concatenate([self._buffer, chunk])
        return self._search()

    def flush(self) -> list[Capture]:
        """End the stream and reset the detector, except for its counters.

        Returns:
            Captures of the bursts that are complete; the others are reported to `on_miss`.
        """
        end = self._base + len(self._buffer)
        self._buffer = np.concatenate([self._buffer, np.zeros(LOOKAHEAD + TAIL, np.complex64)])
        captures = self._search()
        # Bursts queued after one that is cut off may be complete; those that need the padding are not.
        captures += [capture for waiting in self._waiting if (capture := self._finished(waiting)) is not None]
        whole = [c for c in captures if c.start + WAVEFORM.burst_len(c.header.n_elements) <= end + END_SLACK]
        starts = {capture.start for capture in whole}
        for cut in (c for c in [*captures, *self._waiting] if c.start not in starts):
            starts.add(cut.start)
            self._missed(Miss(cut.start, cut.cfo_norm, None))
        stats = self.stats
        self.__init__(self._on_miss)  # type: ignore[misc]
        self.stats = stats
        return whole

    def _missed(self, miss: Miss) -> None:
        if self._on_miss is not None:
            self._on_miss(miss)

    def _search(self) -> list[Capture]:
        """Search all indices with enough samples after them; return the complete bursts in the order of their
        starts."""
        end = self._base + len(self._buffer) - LOOKAHEAD  # first index without enough samples after it
        while self._next < end:
            self._ends = [last for last in self._ends if last > self._next]
            if self._ends:
                self._scan(min(end, max(self._ends)), STRONGER_THRESHOLD)
            else:
                self._scan(min(end, self._next + self._block), CANDIDATE_THRESHOLD)
                self._block = min(2 * self._block, BLOCK)
        captures = []
        while self._waiting and (capture := self._finished(self._waiting[0])) is not None:
            captures.append(capture)
            self._waiting.popleft()
        self._trim()
        return captures

    def _finished(self, waiting: Capture) -> Capture | None:
        """Cut out a detected burst; None while it is not complete."""
        n_samples = WAVEFORM.burst_len(waiting.header.n_elements) + TAIL
        first = waiting.start - self._base
        if len(self._buffer) < first + n_samples:
            return None
        return Capture(self._buffer[first : first + n_samples].copy(), waiting.start, waiting.header, waiting.cfo_norm)

    def _scan(self, end: int, threshold: float) -> None:
        """Search the indices from `_next` to `end`, up to the first burst."""
        first = self._next - self._base
        metric, correlation = lag_metric(self._buffer[first : end - self._base + PEAK_SPAN + 2 * HALF - 1])
        position, n_judged = 0, end - self._next
        above = metric > threshold
        while position < n_judged:
            ahead = int(np.argmax(above[position:n_judged]))
            if not above[position + ahead]:
                break
            position += ahead
            peak = position + int(np.argmax(metric[position : position + PEAK_SPAN]))
            self.stats.candidates += 1
            if (found := self._verify(first + peak, float(np.angle(correlation[peak])))) is not None:
                self._waiting.append(found)
                self._ends = [last for last in self._ends if last > found.start]
                self._ends.append(found.start + WAVEFORM.burst_len(found.header.n_elements) - TAIL)
                self._next, self._block = found.start + HEADER_END, FIRST_BLOCK
                if len(self._ends) >= MAX_OVERLAPPING_BURSTS:
                    self._next = max(self._next, min(self._ends))
                return
            position = max(position + PEAK_SPAN, peak + PEAK_SPAN // 2)
        self._next += max(position, n_judged)

    def _verify(self, peak: int, phase_rad: float) -> Capture | None:
        """Synchronise to a candidate and decode its header; return the burst, without samples as yet."""
        if peak < LEAD:
            return None
        if is_tone(self._buffer[peak : peak + 2 * HALF]):
            self.stats.tones += 1
            return None
        sync = synchronize(self._buffer, peak, phase_rad)
        if sync is None or sync.start < 0:
            return None
        self.stats.preambles += 1
        found = equalize_header(self._buffer[sync.start :], sync.cfo_norm)
        header, cfo_norm = read_header(found), sync.cfo_norm + found.cfo_norm
        if isinstance(header, HeaderFault):
            self.stats.bad_headers += 1
            self.stats.foreign_versions += header is HeaderFault.VERSION
            self._missed(Miss(self._base + sync.start, sync.cfo_norm, header))
            return None
        self.stats.headers += 1
        return Capture(self._buffer[:0], self._base + sync.start, header, cfo_norm)

    def _trim(self) -> None:
        keep = min([self._next, *(waiting.start for waiting in self._waiting)]) - LEAD - self._base
        if keep > 0:
            self._buffer = self._buffer[keep:].copy()
            self._base += keep
