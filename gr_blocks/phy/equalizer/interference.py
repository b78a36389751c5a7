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
"""Interference that a carrier is tried for, in background noise variances."""
PRIOR = 1e-3
"""Share of the carriers that are hit, before anything is known."""
ROUNDS = 4
"""Each finds what is hit against the background so far, and the background anew where nothing is."""
STEP_THRESHOLD = 12.0
"""Log-likelihood by which a change of the noise must explain the errors better; see `test_interference.py`."""
MIN_STEP_DB = 0.5


@dataclass(frozen=True)
class Interference:
    """Variances beside the background's."""

    noise_var: float
    """Background, of a payload symbol."""
    carrier_var: Float
    """What a carrier has more, [204]."""
    symbol_var: Float
    """What a symbol has more, [n_symbols]."""

    @property
    def is_any(self) -> bool:
        """Whether there is any beside the background."""
        return bool(self.carrier_var.any() or self.symbol_var.any())

    def reference_weight(self, resource_grid: ResourceGrid) -> Float:
        """How far reference symbols are to be trusted, [n_reference]."""
        extra = self.carrier_var[resource_grid.columns] + self.symbol_var[resource_grid.rows]
        return self.noise_var / (self.noise_var + extra)

    def element_var(self) -> Float:
        """Noise variance of each cell, [n_symbols, 204]."""
        return self.noise_var + self.symbol_var[:, None] + self.carrier_var


def detect_interference(
    resource_grid: ResourceGrid,
    reference: ReferenceSymbols,
    estimate: BurstChannelEstimate,
    grid: npt.NDArray[np.complexfloating[Any, Any]],
) -> Interference:
    """What of a burst is noisier than the rest.

    Args:
        resource_grid: Of the burst.
        reference: Its reference symbols.
        estimate: Its channel.
        grid: All cells, [n_symbols, 204].
    """
    residual, n_header = estimate.residual(resource_grid, reference), resource_grid.n_header_reference
    residual[:n_header] /= max(float(np.median(residual[:n_header])) / np.log(2), MIN_VARIANCE)  # an exponential's mean
    residual[n_header:] /= estimate.noise_var
    # First the symbols, without the largest error of each, which a narrow band may have made.
    mean, extra = _stretch(*_without_largest(resource_grid, residual))
    relative = residual.copy()
    relative[n_header:] /= (mean + extra)[resource_grid.rows[n_header:]]
    levels = _carriers(resource_grid, estimate, relative, mean * estimate.noise_var, float(np.mean(extra)) / mean, grid)
    if not levels.any() and not extra.any():
        return Interference(estimate.noise_var, levels, extra)
    # Then, with what is known of the carriers, once more with all.
    mean, extra = _stretch(
        resource_grid.sum_symbols(residual / (1 + levels[resource_grid.columns])), resource_grid.n_reference
    )
    noise_var = max(mean * estimate.noise_var, MIN_VARIANCE)
    return Interference(noise_var, noise_var * levels, estimate.noise_var * extra)


def _without_largest(resource_grid: ResourceGrid, relative: Float) -> tuple[Float, Float]:
    """Sum over each symbol's reference symbols less the largest, and how many that is worth; [n_symbols] each."""
    counts = resource_grid.n_reference
    largest = np.maximum.reduceat(relative, resource_grid.first_reference)
    harmonic = np.log(counts) + np.euler_gamma + 0.5 / counts  # what the largest of so many exponentials is expected at
    return resource_grid.sum_symbols(relative) - largest, np.maximum(counts - harmonic, 0.5)


def _carriers(
    resource_grid: ResourceGrid,
    estimate: BurstChannelEstimate,
    relative: Float,
    noise_var: float,
    lift: float,
    grid: Complex,
) -> Float:
    """What single carriers have more, in backgrounds, [204]: the mean over what is likely of each of `LEVELS`.

    Args:
        resource_grid: Of the burst.
        estimate: Its channel.
        relative: Squared errors of reference symbols over what the noise of their symbol explains, [n_reference].
        noise_var: Background.
        lift: What other symbols have more, mean over the burst, in backgrounds.
        grid: All cells, [n_symbols, 204].
    """
    n_carriers, first, reference = WAVEFORM.n_occupied, WAVEFORM.n_header_symbols, resource_grid.n_header_reference
    gain = estimate.h.real**2 + estimate.h.imag**2
    gain = np.mean(gain, axis=0) if estimate.is_time_varying else gain
    n_reference = np.bincount(resource_grid.columns, minlength=n_carriers)
    errors = np.bincount(resource_grid.columns, relative, n_carriers)
    # What all cells of a carrier hold less what its pilots hold: energies, and their squares.
    energy = grid.real[first:].astype(np.float64) ** 2 + grid.imag[first:].astype(np.float64) ** 2
    at_pilots = energy.ravel()[resource_grid.reference_index[reference:] - first * n_carriers]
    n_payload, pilots = resource_grid.n_payload, resource_grid.columns[reference:]
    sums, squares = (
        every.sum(0) - np.bincount(pilots, of_pilots, n_carriers)
        for every, of_pilots in ((energy, at_pilots), (energy**2, at_pilots**2))
    )
    # Symbols whose powers spread more than a Gaussian's say less of the mean: the relative variance of the energy
    # is 1 for those.
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
    """Mean error of a payload symbol, and what the symbols of one stretch have more.

    Every stretch is tried; the one that explains the errors best counts, if by enough.

    Args:
        sums: Errors of reference symbols, summed over each symbol, [n_symbols].
        counts: How many they are, [n_symbols].
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
