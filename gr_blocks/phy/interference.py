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

from gened.gr_blocks.phy.estimators import MIN_VARIANCE, Complex, Float
from gened.gr_blocks.phy.fit import ChannelFit, Known
from gened.gr_blocks.phy.layout import Layout
from gened.gr_blocks.phy.waveform import WAVEFORM

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
    residual = fit.residual(layout, known)
    residual[: layout.n_header_known] *= fit.noise_var / fit.header_noise_var
    noise_var, carrier_var = _carriers(layout, fit, residual, grid)
    relative = residual / (noise_var + carrier_var[layout.columns])
    background, symbol_var = _symbols(layout, relative)
    return Interference(max(noise_var * background, MIN_VARIANCE), carrier_var, noise_var * symbol_var)


def _carriers(layout: Layout, fit: ChannelFit, residual: Float, grid: Complex) -> tuple[float, Float]:
    """Background, and what single carriers have more: the mean over what is likely of each of `LEVELS`."""
    n_carriers, first, known = WAVEFORM.n_occupied, WAVEFORM.n_header_symbols, layout.n_header_known
    gain = fit.h.real**2 + fit.h.imag**2
    gain = np.mean(gain, axis=0) if fit.moves else gain
    n_known = np.bincount(layout.columns, minlength=n_carriers)
    errors = np.bincount(layout.columns, residual, n_carriers)
    # What all cells of a carrier hold less what its pilots hold: energies, and their squares.
    energy = grid.real[first:] ** 2 + grid.imag[first:] ** 2
    at_pilots = energy.ravel()[layout.known_index[known:] - first * n_carriers]
    n_payload, pilots = layout.n_payload, layout.columns[known:]
    sums, squares = (
        every.sum(0, np.float64) - np.bincount(pilots, of_pilots, n_carriers)
        for every, of_pilots in ((energy, at_pilots), (energy**2, at_pilots**2))
    )
    # Symbols whose powers spread more than a Gaussian's say less of the mean: the relative variance of the energy
    # is 1 for those.
    expected = gain + fit.noise_var
    relative = max(float(np.sum(sums / expected)), 1e-30)
    spread = float(np.sum(squares / expected**2)) * max(int(n_payload.sum()), 1) / relative**2 - 1
    temper = 1 / max(spread, 1.0)
    noise_var = fit.noise_var
    log_prior = np.full(len(LEVELS), np.log(PRIOR / (len(LEVELS) - 1)))
    log_prior[0] = np.log(1 - PRIOR)
    for _ in range(ROUNDS):
        of_known = noise_var * (1 + LEVELS)
        of_payload = gain[:, None] + of_known
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
            return fit.noise_var, np.zeros(n_carriers)
        noise_var = max(float(errors[is_clean].sum()) / n_clean, MIN_VARIANCE)
    return noise_var, np.where(is_clean, 0.0, noise_var * (odds @ LEVELS))


def _symbols(layout: Layout, relative: Float) -> tuple[float, Float]:
    """Background, and what the symbols of one stretch have more, in units of the noise that was assumed.

    Every stretch is tried; the one that explains the errors best counts, if by enough.
    """
    first = WAVEFORM.n_header_symbols
    n, nothing = layout.n_symbols - first, np.zeros(layout.n_symbols)
    if n < 2:
        return 1.0, nothing
    counts = np.concatenate([[0.0], np.cumsum(layout.n_known[first:])])
    errors = np.concatenate([[0.0], np.cumsum(layout.sum_symbols(relative)[first:])])
    n_in, e_in = (sums[None, :] - sums[:, None] for sums in (counts, errors))
    n_out, e_out = counts[-1] - n_in, errors[-1] - e_in
    usable = (n_in > 0) & (n_out > 0)
    mean_in, mean_out, mean = (
        np.maximum(e, 1e-30) / np.maximum(k, 1.0) for e, k in ((e_in, n_in), (e_out, n_out), (errors[-1:], counts[-1:]))
    )
    gain = np.where(usable, counts[-1] * np.log(mean) - n_in * np.log(mean_in) - n_out * np.log(mean_out), 0.0)
    gain[mean_in < mean_out * 10 ** (MIN_STEP_DB / 10)] = 0
    begin, end = np.unravel_index(int(np.argmax(gain)), gain.shape)
    if gain[begin, end] < STEP_THRESHOLD:
        return 1.0, nothing
    nothing[first + begin : first + end] = mean_in[begin, end] - mean_out[begin, end]
    return float(mean_out[begin, end]), nothing
