# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimators that detector and demodulator share: preamble, channel taps, residual carrier and clock, common phase."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import ComplexArray
from gened.gr_blocks.phy.waveform import WAVEFORM

WINDOW_BACKOFF = 4
"""FFT windows begin so many samples before the end of the prefix: a fractional delay leaks to both sides of its tap."""
FIRST_TAP, LAST_TAP = -4, 15
"""Delays, from the window's point of view, in which the channel may have energy: a prefix, and leakage."""
MIN_VARIANCE = 1e-9

Complex = npt.NDArray[np.complexfloating[Any, Any]]
Float = npt.NDArray[np.float64]


class ChannelEstimate(NamedTuple):
    """The channel on the occupied carriers."""

    h: Complex
    """[204]."""
    err_var: Float
    """Variance of the error of each, [204]."""


class PreambleFit(NamedTuple):
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


def derotate(samples: ComplexArray, cfo_cps: float) -> ComplexArray:
    """Samples without a carrier offset of `cfo_cps` cycles a sample; the phase of the first sample stays."""
    return np.asarray(samples * np.exp(-2j * np.pi * cfo_cps * np.arange(len(samples))), np.complex64)


def fit_taps(total: Complex, weight: Float, noise_var: float) -> ChannelEstimate:
    """Taps by empirical Bayes: least squares first, then each tap shrunk by how far it stands above its own error.

    Args:
        total: Sum of received times conj(sent) over the known cells of each carrier, [204].
        weight: Sum of |sent|^2 over them, [204].
        noise_var: Of a cell.
    """
    matrix = tap_matrix()
    gram = matrix.conj().T @ (weight[:, None] * matrix)
    projection = matrix.conj().T @ total
    noise_var = max(noise_var, MIN_VARIANCE)
    ridge = 1e-3 * float(np.trace(gram).real) / len(gram)
    covariance = noise_var * np.linalg.inv(gram + ridge * np.eye(len(gram)))
    taps = covariance @ projection / noise_var
    own = np.maximum(np.abs(taps) ** 2 - covariance.diagonal().real, 0.02 * covariance.diagonal().real)
    posterior = np.linalg.inv(gram / noise_var + np.diag(1 / np.maximum(own, MIN_VARIANCE)))
    h = matrix @ (posterior @ projection / noise_var)
    err_var = np.sum((matrix @ posterior) * matrix.conj(), axis=1).real
    return ChannelEstimate(h, np.maximum(err_var, 0))


def fit_preamble(halves: Complex) -> PreambleFit:
    """Channel and noise from the two halves of the preamble, carrier offset taken off; [2, 204] cells."""
    noise_var = float(np.mean(np.abs(halves[0] - halves[1]) ** 2) / 2)
    total = halves.sum(0) * np.conj(WAVEFORM.preamble_freq)
    return PreambleFit(fit_taps(total, np.full(len(total), 2.0), noise_var), noise_var, total)


class Drift(NamedTuple):
    """Residual carrier and clock error over a burst."""

    phase_rad: float
    cfo_cps: float
    sfo_ppm: float


def drift_phase(drift: Drift, times: Float) -> Float:
    """Phase of each cell under a drift, [n_symbols, 204]; `times` in samples from the preamble's middle."""
    slope = 1e-6 * drift.sfo_ppm / WAVEFORM.n_fft * WAVEFORM.carriers
    result: Float = drift.phase_rad + 2 * np.pi * np.outer(times, drift.cfo_cps + slope)
    return result


def fit_drift(
    z: Complex, power: Float, times: Float, max_cfo_cps: float, max_sfo_ppm: float, near_ppm: float = 0.0
) -> Drift:
    """Residual carrier and clock offsets that line up the known cells of a burst.

    A coarse search over both (an FFT over the symbols for each clock error), then Gauss-Newton steps on the phase.

    Args:
        z: received times conj(h sent) at known cells, 0 elsewhere, [n_symbols, 204].
        power: |h sent|^2 there, 0 elsewhere.
        times: Middle of each symbol in samples, uniform, [n_symbols].
        max_cfo_cps: Largest residual carrier offset looked for, cycles a sample.
        max_sfo_ppm: Largest clock error looked for, either side of `near_ppm`.
        near_ppm: What is known of the clock error already.
    """
    n, spacing = len(z), times[1] - times[0]
    n_grid = 1 << int(np.ceil(np.log2(8 * n)))
    freqs = np.fft.fftfreq(n_grid, spacing)
    inside = np.abs(freqs) <= max_cfo_cps
    reach = 1e-6 * abs(times).max() * 0.4  # cycles at the outer carriers for each ppm
    clocks = np.arange(-max_sfo_ppm, max_sfo_ppm + 1e-9, min(max_sfo_ppm, 0.15 / reach))
    best, drift = -1.0, Drift(0.0, 0.0, 0.0)
    rows, columns = np.nonzero(power > 0)  # a burst knows one cell in twenty: work on those alone
    known, weight, at = z[rows, columns], power[rows, columns], times[rows]
    slopes = 1e-6 / WAVEFORM.n_fft * at * WAVEFORM.carriers[columns]  # cycles for each ppm
    for sfo_ppm in near_ppm + clocks:
        turned = known * np.exp(-2j * np.pi * sfo_ppm * slopes)
        aligned = np.bincount(rows, turned.real, n) + 1j * np.bincount(rows, turned.imag, n)
        spectrum = np.where(inside, np.fft.fft(aligned, n_grid), 0)
        peak = int(np.argmax(np.abs(spectrum)))
        if abs(spectrum[peak]) > best:
            best = float(abs(spectrum[peak]))
            phase = float(np.angle(spectrum[peak])) - 2 * np.pi * freqs[peak] * times[0]
            drift = Drift(phase, float(freqs[peak]), float(sfo_ppm))
    scale = np.array([1.0, 1 / abs(times).max(), 1 / (2 * np.pi * reach)])  # well-conditioned unknowns
    design = np.stack([np.ones(len(at)), 2 * np.pi * at, 2 * np.pi * slopes], axis=1) * scale
    normal = design.T @ (weight[:, None] * design) + 1e-9 * np.eye(3)
    for _ in range(4):
        left = drift.phase_rad + 2 * np.pi * (drift.cfo_cps * at + drift.sfo_ppm * slopes)
        step = scale * np.linalg.solve(normal, design.T @ (known * np.exp(-1j * left)).imag)
        drift = Drift(drift.phase_rad + step[0], drift.cfo_cps + step[1], drift.sfo_ppm + step[2])
    return drift


def smooth_phase(z: Complex, power: Float) -> tuple[Float, float]:
    """Common phase of each symbol that is left without the drift (phase noise), smoothed as much as the data asks for.

    The width of a Gaussian kernel is chosen by leaving each symbol out and predicting it from its neighbours.

    Args:
        z: received times conj(h sent) at known cells, drift taken off, [n_symbols, 204].
        power: |h sent|^2 there.

    Returns:
        Phase in radians, [n_symbols], and the variance of its error.
    """
    sums, weights = z.sum(1), np.maximum(power.sum(1), 1e-12)
    values = sums / weights
    distance = np.abs(np.subtract.outer(np.arange(len(sums)), np.arange(len(sums))))
    best = np.inf
    phase, variance = np.zeros(len(sums)), 0.0
    for width in (0.7, 1.5, 3.0, 6.0, 12.0, 1e3):
        kernel = np.exp(-0.5 * (distance / width) ** 2)
        others = kernel * (1 - np.eye(len(sums)))
        predicted = (others @ sums) / np.maximum(others @ weights, 1e-12)
        error = float(np.sum(weights * np.abs(values - predicted) ** 2))
        if error < best:
            best = error
            phase = np.angle((kernel @ sums) / (kernel @ weights))
            spread = np.mean(
                np.abs(values - predicted) ** 2 * weights
            )  # noise of one symbol's estimate, times its weight
            variance = float(np.mean(0.5 * spread * (kernel**2 @ weights) / (kernel @ weights) ** 2))
    return phase, variance
