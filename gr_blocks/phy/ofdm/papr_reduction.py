# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of a burst, and what is done about them: clipped, and the error kept inside the carriers that are ours.

    cells -> samples, twice as many -> what is over the limit, cut off -> cells of the cut, a little enlarged -> + cells

An amplifier has to hold the peaks: each decibel less is a decibel more of mean power. The price is an error in the
cells, far under the noise that the burst was made for: the limit rises with the design SNR. Nothing leaves the occupied
carriers, a receiver need not know of it, and bursts with and without are one format. Pilots bear their share: what they
miss by is how a receiver learns of its noise.

References:
    Armstrong, "Peak-to-average power reduction for OFDM by repeated clipping and frequency domain filtering",
    Electronics Letters 38(5), 2002.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

OVERSAMPLING = 2
"""Between the samples at this rate peaks rise by 0.05 dB more; at 4 the work is twice as much."""
PASSES, STEP = 2, 1.6
"""What is cut off grows again where the rest of it was filtered away; a step of more than 1 makes up for it."""
LIMITS_DB = ((10.0, 5.85), (20.0, 7.0))
"""Design SNR and limit over the mean, dB; straight between, level outside. The error in the cells lies 23 and 28 dB
under them: some 0.15 dB are lost at 10 dB of SNR, 0.4 at 20."""
ERRORS_DB = ((10.0, -24.3), (20.0, -30.4))
"""Design SNR and mean squared error of a picture's cells under these limits, dB; as above."""
CODED_MARGIN_DB = 14.0
"""A text in 64-QAM sits in one or two symbols; where those had the highest peaks, it was lost a decibel sooner."""
QUANTILE = 0.999
"""Of the samples that `papr_db` looks at."""
PAPR_OVERSAMPLING = 4


def clipping_limit_db(snr_design_db: float) -> float:
    """Largest power over the mean that a burst is cut to, dB; samples in between reach some 0.6 dB more.

    Args:
        snr_design_db: Es/N0 that the burst is made for.
    """
    snrs_db, limits_db = zip(*LIMITS_DB, strict=True)
    return float(np.interp(snr_design_db, snrs_db, limits_db))


def clipping_error_var(snr_design_db: float) -> float:
    """Mean squared error that lowered peaks leave in unit cells.

    Args:
        snr_design_db: Es/N0 that the burst is made for.
    """
    snrs_db, errors_db = zip(*ERRORS_DB, strict=True)
    return float(10 ** (np.interp(snr_design_db, snrs_db, errors_db) / 10))


def reduce_papr(grid: ComplexArray, snr_design_db: float, coded: slice = slice(0, 0)) -> ComplexArray:
    """Cells whose samples have lower peaks.

    Args:
        grid: Cells of all symbols, [n_symbols, 204].
        snr_design_db: Es/N0 that the burst is made for.
        coded: Symbols with coded cells, which all share what is cut off one peak: their error stays `CODED_MARGIN_DB`
            under the noise, whatever their peaks.

    Returns:
        The same shape and mean energy; what the cells have in common with those that were meant is the same in every
        symbol.
    """
    result = clip_and_filter(grid, snr_design_db, coded)
    before, after = (float(np.vdot(cells, cells).real) for cells in (grid, result))
    return np.asarray(result * np.float32(np.sqrt(before / after) if after > 0 else 1), np.complex64)


def clip_and_filter(grid: ComplexArray, snr_design_db: float, coded: slice = slice(0, 0)) -> ComplexArray:
    """The same with a little more energy than before: what a symbol becomes depends on that symbol alone.

    So a receiver that has read a header knows what was sent in its place.
    """
    length = OVERSAMPLING * WAVEFORM.n_fft
    bins = WAVEFORM.carriers % length
    limit = np.float32(
        WAVEFORM.n_occupied / length * 10 ** (clipping_limit_db(snr_design_db) / 10)
    )  # cells have unit energy
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
    share = np.sum(error.real**2 + error.imag**2, axis=1) / np.maximum(np.sum(np.abs(grid[coded]) ** 2, axis=1), 1e-30)
    allowed = 10 ** (-(snr_design_db + CODED_MARGIN_DB) / 10)
    result[coded] = grid[coded] + np.sqrt(np.minimum(1, allowed / np.maximum(share, 1e-30)))[:, None] * error
    # What is left of a symbol's cells is a little less than they were: its peaks are made of them.
    energy = np.sum(grid.real**2 + grid.imag**2, axis=1)
    left = np.sum(result.real * grid.real + result.imag * grid.imag, axis=1)
    result *= np.where(left > 0, energy / np.where(left > 0, left, 1), 1).astype(np.float32)[:, None]
    return result


def papr_db(samples: ComplexArray) -> float:
    """Peak to mean power of a burst: 4 times oversampled, the power that 99.9 % of the samples keep under, dB.

    Args:
        samples: Of the burst alone, [n].
    """
    n = len(samples)
    spectrum = scipy.fft.fft(samples)
    wide = np.zeros(PAPR_OVERSAMPLING * n, spectrum.dtype)
    half = n // 2
    wide[:half], wide[len(wide) - (n - half) :] = spectrum[:half], spectrum[half:]
    power = np.abs(scipy.fft.ifft(wide)) ** 2
    return float(10 * np.log10(np.quantile(power, QUANTILE) / np.mean(power)))
