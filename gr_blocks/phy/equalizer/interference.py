# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else is in the band: noise beyond the background's, on a few carriers or for some of a burst's symbols.

Known cells tell how far they miss; payload cells tell how strong they are against what the channel leaves of a unit
symbol. A narrow band of noise lifts both on its carriers, a second burst from one symbol to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.equalizer.channel_estimation import ChannelFit, Known
from gened.gr_blocks.phy.ofdm.resource_grid import Layout
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
    """Background, of a payload cell."""
    carrier_var: Float
    """What a carrier has more, [204]."""
    symbol_var: Float
    """What a symbol has more, [n_symbols]."""

    @property
    def is_any(self) -> bool:
        """Whether there is any beside the background."""
        return bool(self.carrier_var.any() or self.symbol_var.any())

    def known_weight(self, layout: Layout) -> Float:
        """How far known cells are to be trusted, [n_known]."""
        extra = self.carrier_var[layout.columns] + self.symbol_var[layout.rows]
        return self.noise_var / (self.noise_var + extra)

    def cell_var(self) -> Float:
        """Noise variance of each cell, [n_symbols, 204]."""
        return self.noise_var + self.symbol_var[:, None] + self.carrier_var


def find_interference(
    layout: Layout, known: Known, fit: ChannelFit, grid: npt.NDArray[np.complexfloating[Any, Any]]
) -> Interference:
    """What of a burst is noisier than the rest.

    Args:
        layout: Of the burst.
        known: Its known cells.
        fit: Its channel.
        grid: All cells, [n_symbols, 204].
    """
    residual, n_header = fit.residual(layout, known), layout.n_header_known
    residual[:n_header] /= max(float(np.median(residual[:n_header])) / np.log(2), MIN_VARIANCE)  # an exponential's mean
    residual[n_header:] /= fit.noise_var
    # First the symbols, without the largest error of each, which a narrow band may have made.
    mean, extra = _stretch(*_without_largest(layout, residual))
    relative = residual.copy()
    relative[n_header:] /= (mean + extra)[layout.rows[n_header:]]
    levels = _carriers(layout, fit, relative, mean * fit.noise_var, float(np.mean(extra)) / mean, grid)
    if not levels.any() and not extra.any():
        return Interference(fit.noise_var, levels, extra)
    # Then, with what is known of the carriers, once more with all.
    mean, extra = _stretch(layout.sum_symbols(residual / (1 + levels[layout.columns])), layout.n_known)
    noise_var = max(mean * fit.noise_var, MIN_VARIANCE)
    return Interference(noise_var, noise_var * levels, fit.noise_var * extra)


def _without_largest(layout: Layout, relative: Float) -> tuple[Float, Float]:
    """Sum over each symbol's known cells less the largest, and how many that is worth; [n_symbols] each."""
    counts = layout.n_known
    largest = np.maximum.reduceat(relative, layout.first_known)
    harmonic = np.log(counts) + np.euler_gamma + 0.5 / counts  # what the largest of so many exponentials is expected at
    return layout.sum_symbols(relative) - largest, np.maximum(counts - harmonic, 0.5)


def _carriers(layout: Layout, fit: ChannelFit, relative: Float, noise_var: float, lift: float, grid: Complex) -> Float:
    """What single carriers have more, in backgrounds, [204]: the mean over what is likely of each of `LEVELS`.

    Args:
        layout: Of the burst.
        fit: Its channel.
        relative: Squared errors of known cells over what the noise of their symbol explains, [n_known].
        noise_var: Background.
        lift: What other symbols have more, mean over the burst, in backgrounds.
        grid: All cells, [n_symbols, 204].
    """
    n_carriers, first, known = WAVEFORM.n_occupied, WAVEFORM.n_header_symbols, layout.n_header_known
    gain = fit.h.real**2 + fit.h.imag**2
    gain = np.mean(gain, axis=0) if fit.moves else gain
    n_known = np.bincount(layout.columns, minlength=n_carriers)
    errors = np.bincount(layout.columns, relative, n_carriers)
    # What all cells of a carrier hold less what its pilots hold: energies, and their squares.
    energy = grid.real[first:].astype(np.float64) ** 2 + grid.imag[first:].astype(np.float64) ** 2
    at_pilots = energy.ravel()[layout.known_index[known:] - first * n_carriers]
    n_payload, pilots = layout.n_payload, layout.columns[known:]
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
        of_known = scale * (1 + LEVELS)
        of_payload = gain[:, None] + noise_var * (of_known + lift)
        log_likelihood = -n_known[:, None] * np.log(of_known) - errors[:, None] / of_known
        log_likelihood -= temper * (n_payload[:, None] * np.log(of_payload) + sums[:, None] / of_payload)
        log_likelihood += log_prior
        odds = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
        odds /= odds.sum(1, keepdims=True)
        is_clean = odds[:, 0] > 0.5
        if is_clean.all():
            break
        n_clean = int(n_known[is_clean].sum())
        if n_clean == 0:
            return np.zeros(n_carriers)
        scale = max(float(errors[is_clean].sum()) / n_clean, 1e-6)
    return np.where(is_clean, 0.0, odds @ LEVELS)


def _stretch(sums: Float, counts: Float) -> tuple[float, Float]:
    """Mean error of a payload cell, and what the symbols of one stretch have more.

    Every stretch is tried; the one that explains the errors best counts, if by enough.

    Args:
        sums: Errors of known cells, summed over each symbol, [n_symbols].
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
