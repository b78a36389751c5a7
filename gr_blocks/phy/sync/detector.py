# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts in a stream of samples, whatever the chunks it comes in.

lag-256 correlation > threshold -> peak -> known preamble over carrier offsets and lags -> header
        -> wait for the burst's end, and look out meanwhile for another that is as strong: a weak burst or a forged
           header hides nothing
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
"""Normalised lag correlation; noise passes it once in 10^4 samples (exp(-256 t^2)), a burst at -2 dB gives 0.33."""
STRONGER_THRESHOLD = 0.33
"""The same while a burst is on the air: one as strong gives 0.5 against it. A burst's own symbols do not pass it."""
COHERENCE_THRESHOLD = 0.055
"""Share of the energy that the known preamble explains; over 13,000 trials noise passes it once in 10^8 candidates."""
TONE_SHARE = 0.3
"""A candidate with more than this share of its energy in three bins is a tone."""
PEAK_SPAN = WAVEFORM.symbol_len
"""The peak is looked for so far behind the first crossing of the threshold."""
SEARCH_LAG = 96
"""Samples by which the correlation's peak may miss the preamble."""
MAX_INTEGER_CFO = 34
"""Carriers either way: 12.5 % of the sample rate is 32."""
MAX_AMPLITUDE = 1e6
RETRIED_NORM = tuple(3e-5 * step for step in (1, -1, 2, -2, 3, -3))
"""Carrier offsets beside the best guess, cycles per sample, under which a header is read that failed its checksum."""
BLOCK, FIRST_BLOCK = 32768, 2048
"""Indices judged at a time: few where a burst has just ended, since another may follow, then more and more."""
N_CORRELATION = 768
LEAD = SEARCH_LAG + WAVEFORM.cp_len
"""Samples kept before a candidate."""
LOOKAHEAD = PEAK_SPAN + SEARCH_LAG + WAVEFORM.preamble_len + WAVEFORM.n_header_symbols * WAVEFORM.symbol_len + 64
"""Samples behind a crossing that its verification may touch."""
MAX_OVERLAPPING_BURSTS = 4
"""Bursts on the air at once: nobody looks for more until one of them ends, whatever forged headers tell of."""
HEADER_END = WAVEFORM.preamble_len + WAVEFORM.n_header_symbols * WAVEFORM.symbol_len
END_SLACK = 8
"""Samples that a whole burst may lack at the end of a stream: clocks differ, and timing is known to a few samples."""
TAIL = 24
"""Samples kept behind a burst, for clocks that differ."""


class _Sync(NamedTuple):
    start: int
    """Of the preamble's prefix, in the array that was looked at."""
    cfo_norm: float


class Miss(NamedTuple):
    """A preamble with no burst behind it that could be given out."""

    start: int
    """Of the preamble's prefix, in the stream."""
    cfo_norm: float
    fault: HeaderFault | None
    """Why there is no header; None: there is one, but the stream ends within the burst."""


class EqualizedHeader(NamedTuple):
    """The header symbols behind a preamble, pilots among them."""

    symbols: npt.NDArray[np.complexfloating[Any, Any]]
    """Equalised to unit gain, [3, 204]."""
    noise_var: npt.NDArray[np.float64]
    """Whole complex variance of each, [3, 204]."""
    h: npt.NDArray[np.complexfloating[Any, Any]]
    """The channel as the preamble tells it, [204]."""
    snr_est_db: float
    """By the preamble alone."""
    cfo_norm: float
    """What the pilots say that the preamble left of the carrier offset."""


@dataclass
class DetectorStats:
    """Counters, for screens and tests."""

    samples: int = 0
    candidates: int = 0
    tones: int = 0
    preambles: int = 0
    headers: int = 0
    bad_headers: int = 0
    foreign_versions: int = 0
    """Of these, whole ones of another format version."""


def lag_metric(samples: ComplexArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.complex128]]:
    """|P| / E and P at each n, with P(n) = sum over 256 of conj(y[n + m]) y[n + m + 256], E the halves' mean energy.

    Args:
        samples: [n + 511] complex64.

    Returns:
        Both [n].

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
    """Conjugate spectra of the two halves under each integer carrier offset, [69, 768]."""
    reference = np.concatenate([WAVEFORM.preamble_half] * 2)
    spectrum = np.conj(scipy.fft.fft(reference, N_CORRELATION))
    bins_a_carrier = N_CORRELATION // WAVEFORM.n_fft
    offsets = range(-MAX_INTEGER_CFO, MAX_INTEGER_CFO + 1)
    rows = [np.roll(spectrum, bins_a_carrier * offset) for offset in offsets]
    return np.asarray(np.stack(rows), np.complex64)


def is_tone(segment: ComplexArray) -> bool:
    """Whether a candidate's 512 samples are mostly one carrier, which repeats after any number of samples."""
    power = np.abs(scipy.fft.fft(segment[: 2 * HALF])) ** 2
    around = power + np.roll(power, 1) + np.roll(power, -1)
    return bool(around.max() > TONE_SHARE * power.sum())


def synchronize(samples: ComplexArray, peak: int, phase_rad: float) -> _Sync | None:
    """The preamble near a peak of the lag correlation.

    Args:
        samples: Array with at least `LEAD` samples before the peak and 608 behind.
        peak: Where the correlation peaks.
        phase_rad: Its phase there: the fractional carrier offset.

    Returns:
        Where it starts and at what carrier offset; None when nothing there resembles the preamble.
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
    """The header in the symbols behind a preamble, or why there is none.

    Near the noise thirty pilots say little of the carrier offset that the preamble left; what lies beside their best
    guess is tried where that fails, which takes half a decibel off the SNR that a header needs.
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
    """Pilots of the header's symbols, 0 elsewhere, [3, 204]."""
    n = WAVEFORM.n_header_symbols
    return np.asarray(np.where(WAVEFORM.pilot_mask(n), WAVEFORM.pilot_grid(n), 0), np.complex64)


@lru_cache(maxsize=1)
def _slopes() -> tuple[npt.NDArray[np.float64], ComplexArray]:
    """Carrier offsets that a preamble may have left, [161] cycles per sample, and what takes each off, [161, 3]."""
    slopes = np.linspace(-4e-4, 4e-4, 161)
    return slopes, phasor(-np.outer(slopes, symbol_times(WAVEFORM.n_header_symbols)))


def equalize_header(samples: ComplexArray, cfo_norm: float) -> EqualizedHeader:
    """The header's symbols, equalised by the preamble alone; `samples` begin at the preamble's prefix."""
    n_symbols = WAVEFORM.n_header_symbols
    level = amplitude(samples)
    still = derotate(samples[: WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len], cfo_norm) / np.float32(level)
    preamble = estimate_preamble(fft_preamble(still))
    grid, times = fft_symbols(still, n_symbols), symbol_times(n_symbols)
    pilots = np.sum(grid * np.conj(preamble.channel.h * _header_pilots()), axis=1)
    # What carrier offset the preamble left: the slope that lines up the pilots, held near zero as well
    # as the preamble can tell.
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
    """Finds bursts; takes chunks of any size, and gives the same captures for any slicing of the same stream.

    Args:
        on_miss: Told of each preamble whose header fails, and of a burst that the stream's end cuts off.
    """

    def __init__(self, on_miss: Callable[[Miss], None] | None = None) -> None:
        prepare_decoder()
        self._on_miss = on_miss
        self.stats = DetectorStats()
        self._buffer = np.zeros(LEAD, np.complex64)  # history before the first sample: silence
        self._base = -LEAD  # index of the buffer's first sample in the stream
        self._next = 0  # index in the stream that is searched next
        self._waiting: deque[Capture] = deque()  # bursts found, in the order in which they began
        self._ends: list[int] = []  # where in the stream the bursts end that are on the air at `_next`
        self._block = FIRST_BLOCK

    def push(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> list[Capture]:
        """Take the next chunk, [n]; the bursts that are complete with it."""
        chunk = np.asarray(samples, np.complex64).ravel()
        self.stats.samples += len(chunk)
        magnitude = np.abs(chunk)
        bad = ~(magnitude < MAX_AMPLITUDE)  # also true for what is not a number
        if bad.any():
            chunk = np.where(bad, 0, chunk).astype(np.complex64)
        self._buffer = np.concatenate([self._buffer, chunk])
        return self._search()

    def flush(self) -> list[Capture]:
        """The end of the stream: what is complete although nothing follows. The detector is then as new."""
        end = self._base + len(self._buffer)
        self._buffer = np.concatenate([self._buffer, np.zeros(LOOKAHEAD + TAIL, np.complex64)])
        captures = self._search()
        # What waits behind a burst that was cut off may be whole; what needs the padding is not.
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
        """Judge all that can be judged; the bursts that are complete, in the order in which they began."""
        end = self._base + len(self._buffer) - LOOKAHEAD  # first index that cannot be judged yet
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
        """The burst that was waited for, when all of it is there."""
        n_samples = WAVEFORM.burst_len(waiting.header.n_elements) + TAIL
        first = waiting.start - self._base
        if len(self._buffer) < first + n_samples:
            return None
        return Capture(self._buffer[first : first + n_samples].copy(), waiting.start, waiting.header, waiting.cfo_norm)

    def _scan(self, end: int, threshold: float) -> None:
        """Judge the indices from `_next` to `end`, up to the first burst."""
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
        """Look closer at a candidate: the burst that begins there, its samples still to come."""
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
