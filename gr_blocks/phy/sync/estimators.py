# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimators used by detector and demodulator: preamble, channel taps, residual carrier and clock offset, CPE."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.gr_blocks.phy.ofdm.resource_grid import ResourceGrid, phasor
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

WINDOW_BACKOFF = 4
"""Samples by which FFT windows begin before the end of the prefix, since a fractional delay leaks to both sides of its
tap."""
FIRST_TAP, LAST_TAP = -4, 15
"""Delays of the channel model in samples, relative to the window: the cyclic prefix, and leakage."""
N_TAPS = LAST_TAP - FIRST_TAP + 1
MIN_VARIANCE = 1e-9
"""Floor of noise variances, for symbols of unit energy."""
MIN_POWER = 1e-30
"""Floor of powers that are divisors."""
RIDGE = 1e-3
"""Ridge of the least-squares solution relative to the mean diagonal. It bounds the part of the channel that the
occupied carriers do not determine, at the free carriers at the edges of the band."""
ENERGY_FLOOR = 0.02
"""Least prior energy of a tap, relative to the variance of its estimate."""

Complex = npt.NDArray[np.complexfloating[Any, Any]]
Float = npt.NDArray[np.float64]


class ChannelEstimate(NamedTuple):
    """Channel estimate on the occupied carriers."""

    h: Complex
    """Channel, [204] complex."""
    err_var: Float
    """Variance of its error, [204]."""
    energies: Float
    """Prior energies of the taps, [20]."""


class Gram(NamedTuple):
    """Gram matrix of the taps at the reference symbols: the information that these carry about the taps."""

    matrix: npt.NDArray[np.complex128]
    """Gram matrix, [20, 20] complex."""
    inverse: npt.NDArray[np.complex128]
    """Inverse of the matrix with a ridge (`RIDGE`), [20, 20] complex."""


class PreambleEstimate(NamedTuple):
    """Channel and noise estimated from the preamble."""

    channel: ChannelEstimate
    """Channel estimate."""
    noise_var: float
    """Noise variance of a resource element."""
    total: Complex
    """Sum over both halves of received times conj(sent), [204] complex."""


@lru_cache(maxsize=1)
def tap_matrix() -> npt.NDArray[np.complex128]:
    """Frequency response of each tap of the model on the occupied carriers, [204, 20] complex."""
    delays = np.arange(FIRST_TAP, LAST_TAP + 1) + WINDOW_BACKOFF
    matrix: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * np.outer(WAVEFORM.carriers, delays) / WAVEFORM.n_fft)
    return matrix


@lru_cache(maxsize=1)
def _differences() -> tuple[Float, npt.NDArray[np.intp]]:
    """Tables for Gram matrices, whose entries depend on the difference of two taps' delays alone.

    Returns:
        Phasors of each carrier for the differences -19 to 19, real parts then imaginary parts, [204, 78]; and the index
        of the difference of each pair of taps, [20, 20].
    """
    apart = np.arange(1 - N_TAPS, N_TAPS)
    phasors = np.exp(-2j * np.pi * np.outer(WAVEFORM.carriers, apart) / WAVEFORM.n_fft)
    taps = np.arange(N_TAPS)
    return np.concatenate([phasors.real, phasors.imag], axis=1), np.subtract.outer(taps, taps).T + N_TAPS - 1


def tap_gram(weight: Float) -> npt.NDArray[np.complex128]:
    """Gram matrices of the taps.

    Args:
        weight: Weighted energy of the reference symbols on each carrier, [..., 204].

    Returns:
        [..., 20, 20] complex.
    """
    phasors, which = _differences()
    parts = weight @ phasors
    half = parts.shape[-1] // 2
    result: npt.NDArray[np.complex128] = (parts[..., :half] + 1j * parts[..., half:])[..., which]
    return result


def make_gram(weight: Float) -> Gram:
    """Gram matrix and its inverse for `estimate_taps`.

    Args:
        weight: Weighted energy of the reference symbols on each carrier, [204].
    """
    matrix = tap_gram(weight)
    ridge = RIDGE * float(np.trace(matrix).real) / N_TAPS
    return Gram(matrix, np.asarray(np.linalg.inv(matrix + ridge * np.eye(N_TAPS)), np.complex128))


def derotate(samples: ComplexArray, cfo_norm: float) -> ComplexArray:
    """Correct a carrier frequency offset; the phase of the first sample does not change.

    Args:
        samples: [n] complex.
        cfo_norm: Carrier frequency offset, cycles per sample.

    Returns:
        [n] complex64.
    """
    return np.asarray(samples * phasor(-cfo_norm * np.arange(len(samples))), np.complex64)


def amplitude(samples: ComplexArray) -> float:
    """Root mean square of the preamble, for normalising a burst to unit power.

    Args:
        samples: Samples of a burst from the first of the preamble's prefix, [n] complex.
    """
    preamble = samples[: WAVEFORM.preamble_len]
    return float(np.sqrt(max(float(np.vdot(preamble, preamble).real) / WAVEFORM.preamble_len, MIN_POWER)))


def estimate_taps(total: Complex, gram: Gram, noise_var: float) -> ChannelEstimate:
    """Estimate the channel by empirical Bayes.

    A least-squares estimate gives the prior energy of each tap (its power less the variance of its error); the result
    is the MMSE estimate under these priors.

    Args:
        total: Sum of weight times received times conj(sent) over the reference symbols of each carrier, [204] complex.
        gram: Gram matrix of the sum of weight times |sent|^2 over the same symbols.
        noise_var: Noise variance of a resource element of weight 1.
    """
    matrix, noise_var = tap_matrix(), max(noise_var, MIN_VARIANCE)
    projection = matrix.conj().T @ total
    variance = noise_var * gram.inverse.diagonal().real
    energies = np.maximum(np.abs(gram.inverse @ projection) ** 2 - variance, ENERGY_FLOOR * variance)
    posterior = np.linalg.inv(gram.matrix / noise_var + np.diag(1 / np.maximum(energies, MIN_VARIANCE)))
    h = matrix @ (posterior @ projection / noise_var)
    return ChannelEstimate(h, np.maximum(carrier_variance(posterior), 0), energies)


def carrier_variance(covariance: npt.NDArray[np.complex128]) -> Float:
    """Variance of a channel on each occupied carrier.

    Args:
        covariance: Covariance of the taps, [20, 20] complex.

    Returns:
        [204] float64.
    """
    phasors, which = _differences()
    n, where = 2 * N_TAPS - 1, which.ravel()
    parts = [np.bincount(where, part.ravel(), n) for part in (covariance.real, covariance.imag)]
    result: Float = phasors @ np.concatenate(parts)
    return result


@lru_cache(maxsize=1)
def preamble_gram() -> Gram:
    """Gram matrix of the preamble's two halves."""
    return make_gram(np.full(WAVEFORM.n_occupied, 2.0))


def estimate_preamble(halves: Complex) -> PreambleEstimate:
    """Estimate channel and noise variance from the preamble.

    The noise variance is half of the mean squared difference of the halves.

    Args:
        halves: Symbols of the two halves after correction of the carrier offset, [2, 204] complex.
    """
    noise_var = float(np.mean(np.abs(halves[0] - halves[1]) ** 2) / 2)
    total = halves.sum(0) * np.conj(WAVEFORM.preamble_freq)
    return PreambleEstimate(estimate_taps(total, preamble_gram(), noise_var), noise_var, total)


class Drift(NamedTuple):
    """Residual phase, carrier offset and clock error of a burst."""

    phase_rad: float
    """Phase at the centre of the preamble, rad."""
    cfo_norm: float
    """Residual carrier frequency offset, cycles per sample."""
    sfo_ppm: float
    """Sampling frequency offset, ppm."""


def drift_cycles(drift: Drift, times: Float) -> Float:
    """Phase of each resource element under a drift.

    Args:
        drift: Phase, carrier offset and clock error.
        times: Centres of the OFDM symbols in samples from the centre of the preamble, [n_symbols].

    Returns:
        Phase in cycles, [n_symbols, 204].
    """
    slope = 1e-6 * drift.sfo_ppm / WAVEFORM.n_fft * WAVEFORM.carriers
    result: Float = drift.phase_rad / (2 * np.pi) + np.outer(times, drift.cfo_norm + slope)
    return result


def search_drift(resource_grid: ResourceGrid, z: ComplexArray, reach_norm: float) -> Drift:
    """Coarse search for the drift that aligns the reference symbols: one FFT over the OFDM symbols per clock error.

    Args:
        resource_grid: Resource grid of the burst.
        z: Received times conj(h sent) at the reference symbols, [n_reference] complex64.
        reach_norm: Largest residual carrier offset, either way, cycles per sample.
    """
    clocks, phasors = resource_grid.sfo_phasors
    aligned = resource_grid.sum_symbols(phasors * z)
    n_grid = 1 << int(np.ceil(np.log2(8 * resource_grid.n_symbols)))
    freqs = np.fft.fftfreq(n_grid, WAVEFORM.symbol_len)
    spectrum = scipy.fft.fft(aligned, n_grid, axis=1)
    power = np.where(np.abs(freqs) <= reach_norm, spectrum.real**2 + spectrum.imag**2, -1)
    row, column = np.unravel_index(int(np.argmax(power)), power.shape)
    phase = float(np.angle(spectrum[row, column])) - 2 * np.pi * freqs[column] * resource_grid.times[0]
    return Drift(phase, float(freqs[column]), float(clocks[row]))


def refine_drift(resource_grid: ResourceGrid, z: Complex, weight: Float, drift: Drift, n_steps: int = 3) -> Drift:
    """Refine a drift by Gauss-Newton steps on the phases of the reference symbols.

    Args:
        resource_grid: Resource grid of the burst.
        z: Weight times received times conj(h sent) at the reference symbols, [n_reference] complex.
        weight: Weight times |h sent|^2 at the same symbols, [n_reference].
        drift: Initial value, from `search_drift`.
        n_steps: Number of steps. Convergence is quadratic; three suffice after the coarse search.
    """
    design, units = resource_grid.drift_design
    normal = np.linalg.inv(design.T @ (weight[:, None] * design) + 1e-9 * np.eye(3))
    found = np.array(drift) / units
    for _ in range(n_steps):
        found += normal @ (design.T @ (z * phasor(design @ (found / (-2 * np.pi)))).imag)
    return Drift(*(float(value) for value in found * units))


def smooth_cpe(resource_grid: ResourceGrid, sums: Complex, weights: Float, noise_var: float) -> tuple[Float, float]:
    """Common phase error of each OFDM symbol after drift correction (phase noise), smoothed over time.

    The width of the Gaussian kernel is chosen by leave-one-out cross-validation: each symbol is predicted from its
    neighbours. An error of lag, where the phase moves faster than the kernel, is not in the returned variance; it
    raises the residual of the reference symbols as much as that of the payload, and so the noise estimate.

    Args:
        resource_grid: Resource grid of the burst.
        sums: Sum of received times conj(h sent) over the reference symbols of each OFDM symbol, [n_symbols] complex.
        weights: Sum of |h sent|^2 over the same, [n_symbols].
        noise_var: Noise variance of a resource element.

    Returns:
        Phase in radians, [n_symbols], and the variance that noise leaves in it, rad^2.
    """
    weights = np.maximum(weights, 1e-12)
    kernels = resource_grid.kernels
    smoothed = kernels @ np.stack([sums.real, sums.imag, weights], axis=1)  # [6, n_symbols, 3]
    smooth, totals = smoothed[..., 0] + 1j * smoothed[..., 1], smoothed[..., 2]
    others = (smooth - sums) / np.maximum(totals - weights, 1e-12)  # a kernel is 1 at its middle
    errors = weights * np.abs(sums / weights - others) ** 2
    best = int(np.argmin(errors.sum(1)))
    variance = float(np.mean(0.5 * noise_var * (kernels[best] ** 2 @ weights) / totals[best] ** 2))
    return np.angle(smooth[best]), variance
