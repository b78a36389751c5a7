# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimators that detector and demodulator share: preamble, channel taps, residual carrier and clock, common phase."""

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
"""FFT windows begin so many samples before the end of the prefix: a fractional delay leaks to both sides of its tap."""
FIRST_TAP, LAST_TAP = -4, 15
"""Delays, from the window's point of view, in which the channel may have energy: a prefix, and leakage."""
N_TAPS = LAST_TAP - FIRST_TAP + 1
MIN_VARIANCE = 1e-9
MIN_POWER = 1e-30
RIDGE = 1e-3
"""Of the mean diagonal: what least squares may not see (the free carriers at the band's edges) stays bounded."""
OWN_FLOOR = 0.02
"""Least energy of a tap, in variances of its estimate."""

Complex = npt.NDArray[np.complexfloating[Any, Any]]
Float = npt.NDArray[np.float64]


class ChannelEstimate(NamedTuple):
    """The channel on the occupied carriers."""

    h: Complex
    """[204]."""
    err_var: Float
    """Variance of the error of each, [204]."""
    energies: Float
    """Of the taps that it is made of, [20]."""


class Gram(NamedTuple):
    """How well reference symbols pin the taps down."""

    matrix: npt.NDArray[np.complex128]
    """[20, 20]."""
    inverse: npt.NDArray[np.complex128]
    """Of the matrix, with a little more on its diagonal."""


class PreambleEstimate(NamedTuple):
    """What the two halves tell."""

    channel: ChannelEstimate
    noise_var: float
    """Of a cell."""
    total: Complex
    """Sum over both halves of received times conj(sent), [204]."""


@lru_cache(maxsize=1)
def tap_matrix() -> npt.NDArray[np.complex128]:
    """Response of each allowed tap on each occupied carrier, [204, 20]; delay 0 is the window's own."""
    delays = np.arange(FIRST_TAP, LAST_TAP + 1) + WINDOW_BACKOFF
    matrix: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * np.outer(WAVEFORM.carriers, delays) / WAVEFORM.n_fft)
    return matrix


@lru_cache(maxsize=1)
def _differences() -> tuple[Float, npt.NDArray[np.intp]]:
    """Two taps meet on a carrier by the difference of their delays alone.

    Returns:
        What a unit of weight on each carrier adds for differences -19 .. 19, real and imaginary parts, [204, 78]; and
        which of them each pair of taps has, [20, 20].
    """
    apart = np.arange(1 - N_TAPS, N_TAPS)
    phasors = np.exp(-2j * np.pi * np.outer(WAVEFORM.carriers, apart) / WAVEFORM.n_fft)
    taps = np.arange(N_TAPS)
    return np.concatenate([phasors.real, phasors.imag], axis=1), np.subtract.outer(taps, taps).T + N_TAPS - 1


def tap_gram(weight: Float) -> npt.NDArray[np.complex128]:
    """Gram matrix of the taps under so much known energy on each carrier, [..., 204] to [..., 20, 20]."""
    phasors, which = _differences()
    parts = weight @ phasors
    half = parts.shape[-1] // 2
    result: npt.NDArray[np.complex128] = (parts[..., :half] + 1j * parts[..., half:])[..., which]
    return result


def make_gram(weight: Float) -> Gram:
    """The matrix and its inverse, for `estimate_taps`."""
    matrix = tap_gram(weight)
    ridge = RIDGE * float(np.trace(matrix).real) / N_TAPS
    return Gram(matrix, np.asarray(np.linalg.inv(matrix + ridge * np.eye(N_TAPS)), np.complex128))


def derotate(samples: ComplexArray, cfo_norm: float) -> ComplexArray:
    """Samples without a carrier offset of `cfo_norm` cycles per sample; the phase of the first sample stays."""
    return np.asarray(samples * phasor(-cfo_norm * np.arange(len(samples))), np.complex64)


def amplitude(samples: ComplexArray) -> float:
    """Root mean square of the preamble at the beginning of a burst: estimators work on bursts of unit power, so that
    their floors mean the same at any level."""
    preamble = samples[: WAVEFORM.preamble_len]
    return float(np.sqrt(max(float(np.vdot(preamble, preamble).real) / WAVEFORM.preamble_len, MIN_POWER)))


def estimate_taps(total: Complex, gram: Gram, noise_var: float) -> ChannelEstimate:
    """Taps by empirical Bayes: least squares first, then each tap shrunk by how far it stands above its own error.

    Args:
        total: Sum of weight times received times conj(sent) over the reference symbols of each carrier, [204].
        gram: Of the sum of weight times |sent|^2 over them.
        noise_var: Of a cell of weight 1.
    """
    matrix, noise_var = tap_matrix(), max(noise_var, MIN_VARIANCE)
    projection = matrix.conj().T @ total
    variance = noise_var * gram.inverse.diagonal().real
    energies = np.maximum(np.abs(gram.inverse @ projection) ** 2 - variance, OWN_FLOOR * variance)
    posterior = np.linalg.inv(gram.matrix / noise_var + np.diag(1 / np.maximum(energies, MIN_VARIANCE)))
    h = matrix @ (posterior @ projection / noise_var)
    return ChannelEstimate(h, np.maximum(carrier_variance(posterior), 0), energies)


def carrier_variance(covariance: npt.NDArray[np.complex128]) -> Float:
    """Variance on each carrier, [204], of a channel whose taps have this covariance, [20, 20]."""
    phasors, which = _differences()
    n, where = 2 * N_TAPS - 1, which.ravel()
    parts = [np.bincount(where, part.ravel(), n) for part in (covariance.real, covariance.imag)]
    result: Float = phasors @ np.concatenate(parts)
    return result


@lru_cache(maxsize=1)
def preamble_gram() -> Gram:
    """What the preamble's two halves pin down."""
    return make_gram(np.full(WAVEFORM.n_occupied, 2.0))


def estimate_preamble(halves: Complex) -> PreambleEstimate:
    """Channel and noise from the two halves of the preamble, carrier offset taken off; [2, 204] cells."""
    noise_var = float(np.mean(np.abs(halves[0] - halves[1]) ** 2) / 2)
    total = halves.sum(0) * np.conj(WAVEFORM.preamble_freq)
    return PreambleEstimate(estimate_taps(total, preamble_gram(), noise_var), noise_var, total)


class Drift(NamedTuple):
    """Residual carrier and clock error over a burst."""

    phase_rad: float
    cfo_norm: float
    sfo_ppm: float


def drift_cycles(drift: Drift, times: Float) -> Float:
    """Cycles that each cell turns under a drift, [n_symbols, 204]; `times` in samples from the preamble's middle."""
    slope = 1e-6 * drift.sfo_ppm / WAVEFORM.n_fft * WAVEFORM.carriers
    result: Float = drift.phase_rad / (2 * np.pi) + np.outer(times, drift.cfo_norm + slope)
    return result


def search_drift(resource_grid: ResourceGrid, z: ComplexArray, reach_norm: float) -> Drift:
    """Where the reference symbols of a burst line up best, coarsely: an FFT over the symbols for each clock error.

    Args:
        resource_grid: Of the burst.
        z: Received times conj(h sent) at reference symbols, [n_reference].
        reach_norm: Largest residual carrier offset looked for, cycles per sample.
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
    """Gauss-Newton steps on the phase of the reference symbols.

    Args:
        resource_grid: Of the burst.
        z: As in `search_drift`, times how far each is trusted.
        weight: |h sent|^2 there, times the same, [n_reference].
        drift: Where to begin.
        n_steps: The error falls by its square in each; three are enough from a coarse search.
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
    smooth, shares = smoothed[..., 0] + 1j * smoothed[..., 1], smoothed[..., 2]
    others = (smooth - sums) / np.maximum(shares - weights, 1e-12)  # a kernel is 1 at its middle
    errors = weights * np.abs(sums / weights - others) ** 2
    best = int(np.argmin(errors.sum(1)))
    variance = float(np.mean(0.5 * noise_var * (kernels[best] ** 2 @ weights) / shares[best] ** 2))
    return np.angle(smooth[best]), variance
