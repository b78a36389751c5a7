# SPDX-License-Identifier: GPL-3.0-or-later
"""PAPR reduction by repeated clipping and filtering.

    grid -> samples, 2 times oversampled -> excess over the limit -> its occupied carriers, times 1.6 -> added to the
    grid

An amplifier must pass the peaks, so each decibel of PAPR less allows a decibel more of mean power. The cost is an error
in the symbols, far below the noise at the design SNR: the limit rises with the design SNR. The error stays within the
occupied carriers, receivers need not know of it, and bursts with and without it have the same format. Pilots are
clipped as well, since a receiver estimates its noise variance, clipping error included, from their errors.

References:
    Armstrong, "Peak-to-average power reduction for OFDM by repeated clipping and frequency domain filtering",
    Electronics Letters 38(5), 2002.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

OVERSAMPLING = 2
"""Oversampling of the samples that are clipped. At 4 peaks would be 0.05 dB lower for twice the work."""
PASSES, STEP = 2, 1.6
"""Number of passes, and factor of each correction: the filter lets peaks regrow, a factor above 1 compensates that."""
LIMITS_DB = ((10.0, 5.85), (20.0, 7.0))
"""Design SNR and limit over the mean power, dB; linear between the points, constant outside. The error lies 23 and 28
dB below the symbols, which costs about 0.15 dB of SNR at 10 dB and 0.4 dB at 20 dB."""
ERRORS_DB = ((10.0, -24.3), (20.0, -30.4))
"""Design SNR and mean squared error of analogue symbols under these limits, dB; interpolated in the same way."""
MAX_EXCESS_DB = 3.0
"""Largest excess of the mean squared clipping error of a burst's analogue symbols over `ERRORS_DB`, dB. Bursts of
Gaussian symbols stay below it (standard deviation 0.6 dB at 10 dB, 1.1 dB at 20 dB). Where few symbols have most of the
power, the power of OFDM symbols varies, and the limit alone would clip the strong ones at an error of 7 dB more
(python -m gened.bench.whiteness)."""
CODED_MARGIN_DB = 14.0
"""Distance in dB of the clipping error of coded symbols below the noise. A text in 64-QAM fills one or two OFDM
symbols; where those had the highest peaks, it was lost at an SNR 1 dB higher."""
QUANTILE = 0.999
"""Fraction of samples below the peak power of `papr_db`."""
PAPR_OVERSAMPLING = 4
"""Oversampling of `papr_db`."""


def clipping_limit_db(snr_design_db: float) -> float:
    """Clipping limit over the mean power, dB; between the samples peaks reach about 0.6 dB more.

    Args:
        snr_design_db: Es/N0 for which the burst is designed, dB.
    """
    snrs_db, limits_db = zip(*LIMITS_DB, strict=True)
    return float(np.interp(snr_design_db, snrs_db, limits_db))


def clipping_error_var(snr_design_db: float) -> float:
    """Mean squared clipping error of symbols of unit energy.

    Args:
        snr_design_db: Es/N0 for which the burst is designed, dB.
    """
    snrs_db, errors_db = zip(*ERRORS_DB, strict=True)
    return float(10 ** (np.interp(snr_design_db, snrs_db, errors_db) / 10))


def reduce_papr(grid: ComplexArray, snr_design_db: float, coded: slice = slice(0, 0)) -> ComplexArray:
    """Reduce the PAPR of a burst and keep its energy.

    Args:
        grid: Resource grid, [n_symbols, 204] complex64.
        snr_design_db: Es/N0 for which the burst is designed, dB.
        coded: OFDM symbols with digital symbols, after the header. The error of each stays `CODED_MARGIN_DB` below the
            noise, whatever its peaks; that of the OFDM symbols behind them stays below `ERRORS_DB` plus `MAX_EXCESS_DB`
            on average.

    Returns:
        Grid of the same shape, type and energy. The correlation with the input is the same in every OFDM symbol.
    """
    result = clip_and_filter(grid, snr_design_db, coded)
    analog = slice(max(coded.stop, WAVEFORM.n_header_symbols), None)
    result[analog] = _with_bounded_error(grid[analog], result[analog], snr_design_db)
    before, after = (float(np.vdot(cells, cells).real) for cells in (grid, result))
    return np.asarray(result * np.float32(np.sqrt(before / after) if after > 0 else 1), np.complex64)


def _with_bounded_error(grid: ComplexArray, clipped: ComplexArray, snr_design_db: float) -> ComplexArray:
    """Reduce the largest clipping errors among OFDM symbols, as far as their mean exceeds its bound."""
    error = clipped - grid
    power = np.mean(error.real**2 + error.imag**2, axis=1, dtype=np.float64)
    allowed = clipping_error_var(snr_design_db) * 10 ** (MAX_EXCESS_DB / 10)
    if not len(power) or float(np.mean(power)) <= allowed:
        return clipped
    ceiling = _ceiling(power, allowed)
    factors = np.sqrt(np.minimum(1, ceiling / np.maximum(power, 1e-30))).astype(np.float32)
    return np.asarray(grid + factors[:, None] * error, np.complex64)


def _ceiling(values: npt.NDArray[np.float64], mean: float) -> float:
    """Ceiling under which positive values have a given mean, which is less than their own."""
    ordered = np.sort(values)
    n_above = len(ordered) - np.arange(len(ordered))
    below = np.concatenate([[0], np.cumsum(ordered)[:-1]])
    ceilings = (mean * len(ordered) - below) / n_above
    return float(ceilings[np.argmax(ceilings <= ordered)])


def clip_and_filter(grid: ComplexArray, snr_design_db: float, coded: slice = slice(0, 0)) -> ComplexArray:
    """Clip and filter each OFDM symbol by itself, without normalising the energy of the burst.

    Since the result of an OFDM symbol depends on that symbol alone, a receiver that has decoded a header can compute
    the clipped header symbols as they were sent.

    Args:
        grid: Resource grid, [n_symbols, 204] complex64.
        snr_design_db: Es/N0 for which the burst is designed, dB.
        coded: As for `reduce_papr`.

    Returns:
        Grid of the same shape and type, with slightly more energy.
    """
    length = OVERSAMPLING * WAVEFORM.n_fft
    bins = WAVEFORM.carriers % length
    limit = np.float32(
        WAVEFORM.n_occupied / length * 10 ** (clipping_limit_db(snr_design_db) / 10)
    )  # symbols have unit energy
    result = grid.copy()
    full = np.zeros((len(grid), length), np.complex64)
    for _ in range(PASSES):
        full[:] = 0
        full[:, bins] = result
        samples = scipy.fft.ifft(full, axis=1, norm="ortho")
        power = samples.real**2 + samples.imag**2
        over = np.flatnonzero(power > limit)  # one sample in fifty
        cut = np.zeros_like(samples)
        cut.flat[over] = samples.flat[over] * (np.sqrt(limit / power.flat[over]) - 1)
        result += np.float32(STEP) * scipy.fft.fft(cut, axis=1, norm="ortho")[:, bins]
    error = result[coded] - grid[coded]
    relative = np.sum(error.real**2 + error.imag**2, axis=1) / np.maximum(
        np.sum(np.abs(grid[coded]) ** 2, axis=1), 1e-30
    )
    allowed = 10 ** (-(snr_design_db + CODED_MARGIN_DB) / 10)
    result[coded] = grid[coded] + np.sqrt(np.minimum(1, allowed / np.maximum(relative, 1e-30)))[:, None] * error
    # Clipping attenuates the symbols that make up the peaks; scale each OFDM symbol back to its correlation before.
    energy = np.sum(grid.real**2 + grid.imag**2, axis=1)
    left = np.sum(result.real * grid.real + result.imag * grid.imag, axis=1)
    result *= np.where(left > 0, energy / np.where(left > 0, left, 1), 1).astype(np.float32)[:, None]
    return result


def papr_db(samples: ComplexArray) -> float:
    """Peak to average power ratio of a burst, dB: the 99.9 % quantile of the power, 4 times oversampled, over its mean.

    Args:
        samples: Samples of the burst alone, [n] complex.
    """
    n = len(samples)
    spectrum = scipy.fft.fft(samples)
    wide = np.zeros(PAPR_OVERSAMPLING * n, spectrum.dtype)
    half = n // 2
    wide[:half], wide[len(wide) - (n - half) :] = spectrum[:half], spectrum[half:]
    power = np.abs(scipy.fft.ifft(wide)) ** 2
    return float(10 * np.log10(np.quantile(power, QUANTILE) / np.mean(power)))
