# SPDX-License-Identifier: GPL-3.0-or-later
"""Detect interference: excess noise variance per subcarrier and per OFDM symbol.

Two observations carry it: the squared error of each reference symbol against the channel estimate, and the energy of
each payload symbol against the gain of the channel. Narrow-band interference raises both on its subcarriers, a
colliding burst raises both over a run of OFDM symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.equalizer.channel_estimation import BurstChannelEstimate, ReferenceSymbols
from gened.gr_blocks.phy.ofdm.resource_grid import ResourceGrid
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import MIN_VARIANCE, Complex, Float

LEVELS = np.concatenate([[0.0], 2.0 ** np.arange(-1, 17)])
"""Levels of interference tested on each carrier, relative to the background noise variance."""
PRIOR = 1e-3
"""Prior probability that a carrier has interference."""
ROUNDS = 4
"""Iterations of the detection of carriers and of the estimate of the background noise on the others."""
STEP_THRESHOLD = 12.0
"""Least log-likelihood ratio of interference on a run of OFDM symbols; its false alarms are in
`test_interference.py`."""
MIN_STEP_DB = 0.5
"""Least increase of the noise variance on a run of OFDM symbols, dB."""


@dataclass(frozen=True)
class Interference:
    """Noise variance of the resource elements: background, plus excess per carrier and per OFDM symbol."""

    noise_var: float
    """Background noise variance of a payload symbol."""
    carrier_var: Float
    """Excess noise variance of each carrier, [204]; 0 without interference."""
    symbol_var: Float
    """Excess noise variance of each OFDM symbol, [n_symbols]; 0 without interference."""

    @property
    def is_present(self) -> bool:
        """Whether any interference was detected."""
        return bool(self.carrier_var.any() or self.symbol_var.any())

    def reference_weight(self, resource_grid: ResourceGrid) -> Float:
        """Weights of the reference symbols, background over total noise variance, [n_reference], in (0, 1]."""
        extra = self.carrier_var[resource_grid.columns] + self.symbol_var[resource_grid.rows]
        return self.noise_var / (self.noise_var + extra)

    def element_var(self) -> Float:
        """Noise variance of each resource element, [n_symbols, 204]."""
        return self.noise_var + self.symbol_var[:, None] + self.carrier_var


def detect_interference(
    resource_grid: ResourceGrid,
    reference: ReferenceSymbols,
    estimate: BurstChannelEstimate,
    grid: npt.NDArray[np.complexfloating[Any, Any]],
) -> Interference:
    """Detect interference in a burst.

    Args:
        resource_grid: Resource grid of the burst.
        reference: Reference symbols.
        estimate: Channel estimate of the burst.
        grid: All received symbols, [n_symbols, 204] complex.
    """
    residual, n_header = estimate.residual(resource_grid, reference), resource_grid.n_header_reference
    residual[:n_header] /= max(
        float(np.median(residual[:n_header])) / np.log(2), MIN_VARIANCE
    )  # mean of an exponential, from its median
    residual[n_header:] /= estimate.noise_var
    # First the OFDM symbols, each without its largest error, which narrow-band interference may have caused.
    mean, extra = _stretch(*_without_largest(resource_grid, residual))
    relative = residual.copy()
    relative[n_header:] /= (mean + extra)[resource_grid.rows[n_header:]]
    levels = _carriers(resource_grid, estimate, relative, mean * estimate.noise_var, float(np.mean(extra)) / mean, grid)
    if not levels.any() and not extra.any():
        return Interference(estimate.noise_var, levels, extra)
    # Then again with all errors, given the excess of the carriers.
    mean, extra = _stretch(
        resource_grid.sum_symbols(residual / (1 + levels[resource_grid.columns])), resource_grid.n_reference
    )
    noise_var = max(mean * estimate.noise_var, MIN_VARIANCE)
    return Interference(noise_var, noise_var * levels, estimate.noise_var * extra)


def _without_largest(resource_grid: ResourceGrid, relative: Float) -> tuple[Float, Float]:
    """Sum over the reference symbols of each OFDM symbol without the largest, and its expectation; [n_symbols] each."""
    counts = resource_grid.n_reference
    largest = np.maximum.reduceat(relative, resource_grid.first_reference)
    harmonic = np.log(counts) + np.euler_gamma + 0.5 / counts  # expectation of the largest of n exponentials
    return resource_grid.sum_symbols(relative) - largest, np.maximum(counts - harmonic, 0.5)


def _carriers(
    resource_grid: ResourceGrid,
    estimate: BurstChannelEstimate,
    relative: Float,
    noise_var: float,
    lift: float,
    grid: Complex,
) -> Float:
    """Excess noise of single carriers relative to the background, [204]: the posterior mean over `LEVELS`.

    Args:
        resource_grid: Resource grid of the burst.
        estimate: Channel estimate of the burst.
        relative: Squared errors of the reference symbols over the noise variance of their OFDM symbol, [n_reference].
        noise_var: Background noise variance.
        lift: Mean excess of the OFDM symbols relative to the background.
        grid: All received symbols, [n_symbols, 204] complex.
    """
    n_carriers, first, reference = WAVEFORM.n_occupied, WAVEFORM.n_header_symbols, resource_grid.n_header_reference
    gain = estimate.h.real**2 + estimate.h.imag**2
    gain = np.mean(gain, axis=0) if estimate.is_time_varying else gain
    n_reference = np.bincount(resource_grid.columns, minlength=n_carriers)
    errors = np.bincount(resource_grid.columns, relative, n_carriers)
    # Energies of the payload symbols of each carrier and their squares: those of all symbols less those of the pilots.
    energy = grid.real[first:].astype(np.float64) ** 2 + grid.imag[first:].astype(np.float64) ** 2
    at_pilots = energy.ravel()[resource_grid.reference_index[reference:] - first * n_carriers]
    n_payload, pilots = resource_grid.n_payload, resource_grid.columns[reference:]
    sums, squares = (
        every.sum(0) - np.bincount(pilots, of_pilots, n_carriers)
        for every, of_pilots in ((energy, at_pilots), (energy**2, at_pilots**2))
    )
    # Payload symbols whose energies spread more than those of a Gaussian (relative variance 1) carry less information
    # about the mean, so their log-likelihood is tempered.
    expected = gain + noise_var
    total = max(float(np.sum(sums / expected)), 1e-30)
    spread = float(np.sum(squares / expected**2)) * max(int(n_payload.sum()), 1) / total**2 - 1
    temper = 1 / max(spread, 1.0)
    log_prior = np.full(len(LEVELS), np.log(PRIOR / (len(LEVELS) - 1)))
    log_prior[0] = np.log(1 - PRIOR)
    scale = 1.0
    for _ in range(ROUNDS):
        of_reference = scale * (1 + LEVELS)
        of_payload = gain[:, None] + noise_var * (of_reference + lift)
        log_likelihood = -n_reference[:, None] * np.log(of_reference) - errors[:, None] / of_reference
        log_likelihood -= temper * (n_payload[:, None] * np.log(of_payload) + sums[:, None] / of_payload)
        log_likelihood += log_prior
        odds = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
        odds /= odds.sum(1, keepdims=True)
        is_clean = odds[:, 0] > 0.5
        if is_clean.all():
            break
        n_clean = int(n_reference[is_clean].sum())
        if n_clean == 0:
            return np.zeros(n_carriers)
        scale = max(float(errors[is_clean].sum()) / n_clean, 1e-6)
    return np.where(is_clean, 0.0, odds @ LEVELS)


def _stretch(sums: Float, counts: Float) -> tuple[float, Float]:
    """Detect a run of OFDM symbols with excess noise by maximum likelihood over all runs.

    Args:
        sums: Sum of the squared errors of the reference symbols of each OFDM symbol, [n_symbols].
        counts: Number of these errors, [n_symbols].

    Returns:
        Mean squared error outside the run, and the excess of each OFDM symbol, [n_symbols]; 0 outside the run.
    """
    first, extra = WAVEFORM.n_header_symbols, np.zeros(len(sums))
    total, n_total = float(sums[first:].sum()), float(counts[first:].sum())
    if n_total == 0:
        return 1.0, extra
    up_to, n_up_to = (np.concatenate([[0.0], np.cumsum(values[first:])]) for values in (sums, counts))
    e_in, n_in = up_to[None, :] - up_to[:, None], n_up_to[None, :] - n_up_to[:, None]
    usable = (n_in > 0) & (n_in < n_total)
    mean_in = np.maximum(e_in, 1e-30) / np.where(usable, n_in, 1.0)
    mean_out = np.maximum(total - e_in, 1e-30) / np.where(usable, n_total - n_in, 1.0)
    mean = max(total, 1e-30) / n_total
    gain = n_total * np.log(mean) - n_in * np.log(mean_in) - (n_total - n_in) * np.log(mean_out)
    gain[~usable | (mean_in < mean_out * 10 ** (MIN_STEP_DB / 10))] = 0
    begin, end = np.unravel_index(int(np.argmax(gain)), gain.shape)
    if gain[begin, end] < STEP_THRESHOLD:
        return mean, extra
    extra[first + begin : first + end] = mean_in[begin, end] - mean_out[begin, end]
    return float(mean_out[begin, end]), extra
