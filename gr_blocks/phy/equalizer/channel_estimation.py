# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel of a burst from all that is known in it: one that stands still, with a common phase for each symbol, or
one that moves.

    known cells, drift taken off -> taps for the burst + phase of each symbol -> is what is left noise?
                                                       -> no: taps that are polynomials over the burst + phase
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.ofdm.resource_grid import MAX_DEGREES, Layout
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import (
    MIN_VARIANCE,
    ChannelEstimate,
    Complex,
    Float,
    PreambleFit,
    fit_taps,
    make_gram,
    smooth_phase,
    tap_gram,
    tap_matrix,
)
from gened.gr_blocks.phy.types import ComplexArray

SAME_SIGMA = 2.5
"""From so many standard deviations on, the header met another noise than the pilots; up to there both tell of one."""
PRIOR_CELLS = 16
"""Cells' worth of trust in the header's noise even then: the pilots of a short burst are few."""
SYMBOLS_A_DEGREE = 6
TESTED = 3
"""Degrees 1 to 3 of what a still channel leaves are looked at for motion."""
MOTION_THRESHOLDS = (9.0, 100.0)
"""Of 150 bursts through a still channel none or one passes; what lies under costs less than the parameters would."""
EM_STEPS, FEW_DEGREES = 3, 3
"""Steps of expectation-maximisation; and polynomials of the first one, which only finds out which taps there are."""
FIRST_DEGREES = 0.3 ** np.arange(MAX_DEGREES)
"""Energy of the polynomials, before it is known how fast the channel moves."""
LEVEL_RAD, LIKE = 3e-3, 0.8
"""A phase that stays within so much, and noise of the payload over the header's: a fit that knew of neither is good."""


@dataclass(frozen=True)
class Known:
    """What is received where the receiver knows what was sent, carrier and clock drift taken off."""

    z: ComplexArray
    """Received over sent, [n_known]."""
    power: Float
    """|sent|^2, [n_known]."""
    weight: Float
    """The same, less where others interfere."""
    preamble: Complex
    """Received times conj(sent) in the preamble, summed over its halves, [204]."""
    preamble_weight: Float
    """How far each of its carriers is trusted, [204]."""
    cut_var: float = 0.0
    """Mean squared error of unit payload cells that the header's do not have: what was cut off peaks is known there."""


class Prior(NamedTuple):
    """What is expected of a channel that moves: the energy of a tap in a degree is that of the tap times that of the
    degree."""

    taps: npt.NDArray[np.intp]
    """Which of the 20 there are, [n_taps]."""
    energies: Float
    """[n_taps]."""
    degrees: Float
    """[n_degrees]."""


@dataclass(frozen=True)
class ChannelFit:
    """What the known cells tell of a burst's channel."""

    h: Complex
    """[204], or [n_symbols, 204] where it moves."""
    err_var: Float
    """Variance of the error of each, same shape."""
    noise_var: float
    """Of a payload cell."""
    header_noise_var: float
    """Of a header cell: as it was sent it is known, and what was cut off a payload cell's peaks is not."""
    phase_rad: Float
    """Common phase of each symbol, [n_symbols]."""
    phase_var: float
    """Variance of its error."""
    prior: Prior | None = None
    """What is expected of the taps, where they move."""

    @property
    def moves(self) -> bool:
        """Whether the channel is told symbol by symbol."""
        return self.h.ndim == 2

    def at_known(self, layout: Layout) -> Complex:
        """The channel in the known cells, [n_known]."""
        return np.asarray(self.h[layout.rows, layout.columns] if self.moves else self.h[layout.columns])

    def residual(self, layout: Layout, known: Known) -> Float:
        """Squared error of each known cell against this channel, [n_known]."""
        left = turned(known.z, self.phase_rad, layout) - self.at_known(layout)
        return known.power * (left.real**2 + left.imag**2)


def turned(z: ComplexArray, phase_rad: Float, layout: Layout) -> Complex:
    """Known cells without the common phase of their symbol."""
    return np.asarray(z * np.exp(-1j * phase_rad)[layout.rows])


def fit_channel(layout: Layout, known: Known, preamble: PreambleFit) -> ChannelFit:
    """The channel, still or moving as the known cells say.

    Args:
        layout: Of the burst.
        known: Its known cells.
        preamble: What its preamble tells alone.
    """
    still, energies = _fit_still(layout, known, preamble)
    motion = _motion(layout, known, still, energies)
    if all(found < threshold for found, threshold in zip(motion, MOTION_THRESHOLDS, strict=True)):
        return still
    moving = fit_moving(layout, known, preamble)
    return moving if moving.noise_var < still.noise_var else still


def _noise(layout: Layout, known: Known, squares: Float, excess: Float, gain: float) -> tuple[float, float]:
    """Noise variance of payload and of header cells.

    Args:
        layout: Of the burst.
        known: Its known cells.
        squares: By how much they miss the channel, squared, [n_known].
        excess: Variance of the channel's error there: cells that took part in it fit it too well by just that.
        gain: Mean power of the channel.
    """
    energy, weight, n = known.weight * (squares + excess), known.weight, layout.n_header_known
    n_header, n_pilots = float(weight[:n].sum()), float(weight[n:].sum())
    in_header, of_pilots = float(energy[:n].sum()) / n_header, float(energy[n:].sum())
    expected = in_header + known.cut_var * gain
    scatter = expected * np.sqrt(1 / n_header + 1 / max(n_pilots, 1.0))
    is_one = n_pilots < 1 or abs(expected - of_pilots / n_pilots) < SAME_SIGMA * scatter
    n_prior = n_header if is_one else PRIOR_CELLS
    in_payload = (of_pilots + n_prior * expected) / (n_pilots + n_prior)
    return max(in_payload, MIN_VARIANCE), max(in_header, MIN_VARIANCE)


def _weights(layout: Layout, known: Known, noise_var: float, header_noise_var: float) -> Float:
    """Trust in known cells, header symbols among them."""
    weight = known.weight.copy()
    weight[: layout.n_header_known] *= min(1.0, noise_var / header_noise_var)
    return weight


def _phase(layout: Layout, known: Known, h: Complex, weight: Float, noise_var: float) -> tuple[Float, float]:
    sums = layout.sum_symbols(weight * (known.z * np.conj(h)))
    return smooth_phase(layout, sums, layout.sum_symbols(weight * (h.real**2 + h.imag**2)), noise_var)


def _fit_still(layout: Layout, known: Known, preamble: PreambleFit) -> tuple[ChannelFit, Float]:
    """One set of taps for the burst; and their energies."""
    phase, phase_var, columns = np.zeros(layout.n_symbols), 0.0, layout.columns
    noise_var = header_noise_var = max(preamble.noise_var, MIN_VARIANCE)
    start = known.preamble_weight * known.preamble
    for _ in range(2):
        weight = _weights(layout, known, noise_var, header_noise_var)
        z = turned(known.z, phase, layout)
        total = start + layout.sum_carriers(weight * z)
        gram = make_gram(2 * known.preamble_weight + np.bincount(columns, weight, WAVEFORM.n_occupied))
        estimate = fit_taps(total, gram, noise_var)
        left = z - estimate.h[columns]
        squares, gain = left.real**2 + left.imag**2, float(np.mean(np.abs(estimate.h) ** 2))
        noise_var, header_noise_var = _noise(layout, known, squares, estimate.err_var[columns], gain)
        phase, phase_var = _phase(layout, known, estimate.h[columns], weight, noise_var)
        if np.ptp(phase) < LEVEL_RAD and noise_var > LIKE * header_noise_var:
            break  # again would be the same
    fit = ChannelFit(estimate.h, estimate.err_var, noise_var, header_noise_var, phase, phase_var)
    return fit, estimate.energies


def _motion(layout: Layout, known: Known, still: ChannelFit, energies: Float) -> tuple[float, float]:
    """How much of what a still channel leaves moves as its taps would, in noise: the taps weighted with their energies,
    about 1.5 where nothing moves, and all alike, about 50; a tap that passes through zero shows in the latter alone."""
    left = turned(known.z, still.phase_rad, layout) - still.at_known(layout)
    weight = _weights(layout, known, still.noise_var, still.header_noise_var)
    at_taps = np.zeros(len(energies))
    for values in layout.at_known[1 : TESTED + 1]:
        found = tap_matrix().conj().T @ layout.sum_carriers(weight * values * left)
        of_noise = still.noise_var * float(np.sum(weight * values**2))
        at_taps += np.abs(found) ** 2 / max(of_noise, MIN_VARIANCE)
    return float(at_taps @ energies / energies.sum()), float(at_taps.sum())


def fit_moving(layout: Layout, known: Known, preamble: PreambleFit, prior: Prior | None = None) -> ChannelFit:
    """Taps that are polynomials over the burst, and what is left of a common phase.

    Args:
        layout: Of the burst.
        known: Its known cells.
        preamble: What its preamble tells alone.
        prior: Of another fit of this burst.
    """
    noise_var = header_noise_var = max(preamble.noise_var, MIN_VARIANCE)  # its halves met the same channel
    phase, phase_var = np.zeros(layout.n_symbols), 0.0
    for _ in range(2):
        weight = _weights(layout, known, noise_var, header_noise_var)
        z = turned(known.z, phase, layout)
        track, prior = _track(layout, z, weight, known, noise_var, prior)
        at_known = track.h[layout.rows, layout.columns]
        left = z - at_known
        excess = track.err_var[layout.rows, layout.columns]
        squares, gain = left.real**2 + left.imag**2, float(np.mean(np.abs(track.h) ** 2))
        noise_var, header_noise_var = _noise(layout, known, squares, excess, gain)
        phase, phase_var = _phase(layout, known, at_known, weight, noise_var)
    return ChannelFit(track.h, track.err_var, noise_var, header_noise_var, phase, phase_var, prior)


def _track(
    layout: Layout, z: Complex, weight: Float, known: Known, noise_var: float, prior: Prior | None
) -> tuple[ChannelEstimate, Prior]:
    """Taps over time by empirical Bayes; what is expected of them is found by expectation-maximisation.

    Returns:
        Channel and variance of its error, [n_symbols, 204] each; and the expectation, to begin with next time.
    """
    n_degrees = int(min(MAX_DEGREES, max(2, layout.n_symbols // SYMBOLS_A_DEGREE)))
    in_symbols = layout.polynomials[0][:, :n_degrees]
    total, pairs = _moments(layout, z, weight, known, n_degrees)
    grams = tap_gram(pairs)  # [n_degrees, n_degrees, 20, 20]
    projections = total @ tap_matrix().conj()  # [n_degrees, 20]
    if prior is None:
        few = min(n_degrees, FEW_DEGREES)
        prior = _expected(projections, grams, noise_var)
        _, _, prior = _maximise(projections[:few], grams[:few, :few], noise_var, prior, float(weight.sum()))
        prior = Prior(prior.taps, prior.energies, np.append(prior.degrees, FIRST_DEGREES[few:n_degrees]))
    for _ in range(EM_STEPS):
        mean, posterior, expected = _maximise(projections, grams, noise_var, prior, float(weight.sum()))
        prior, used = expected, prior
    count = len(used.taps)
    matrix = tap_matrix()[:, used.taps]
    h = np.asarray(in_symbols @ (mean @ matrix.T), np.complex128)
    by_degrees = posterior.reshape(n_degrees, count, n_degrees, count).transpose(0, 2, 1, 3)
    at_times = (in_symbols[:, :, None] * in_symbols[:, None, :]).reshape(len(h), -1)  # [n_symbols, n_degrees^2]
    of_taps = at_times @ by_degrees.reshape(n_degrees**2, count**2)  # [n_symbols, n_taps^2]
    products = (matrix[:, :, None] * matrix.conj()[:, None, :]).reshape(len(matrix), -1).T
    err_var = of_taps.real @ products.real - of_taps.imag @ products.imag
    return ChannelEstimate(h, np.maximum(err_var, 0), used.energies), prior


def _maximise(
    projections: Complex, grams: npt.NDArray[np.complex128], noise_var: float, prior: Prior, n_known: float
) -> tuple[Complex, npt.NDArray[np.complex128], Prior]:
    """A step of expectation-maximisation.

    Returns:
        Taps under each polynomial, [n_degrees, n_taps], their covariance, [n_degrees n_taps] squared, and what is
        expected of them now; taps that noise explains are left out.
    """
    taps, count, n_degrees = prior.taps, len(prior.taps), len(projections)
    degrees = prior.degrees[:n_degrees]
    gram = grams[:, :, taps][..., taps].transpose(0, 2, 1, 3).reshape(n_degrees * count, -1)
    expected = np.maximum(np.outer(degrees, prior.energies).ravel(), MIN_VARIANCE)
    posterior = np.asarray(np.linalg.inv(gram / noise_var + np.diag(1 / expected)), np.complex128)
    mean = np.asarray(posterior @ projections[:, taps].ravel() / noise_var, np.complex128).reshape(n_degrees, count)
    energy = np.abs(mean) ** 2 + posterior.diagonal().real.reshape(n_degrees, count)
    energies = np.mean(energy / degrees[:, None], axis=0)
    kept = np.flatnonzero(np.sum(np.abs(mean) ** 2, axis=0) > noise_var * n_degrees / n_known)
    kept = kept if len(kept) else np.array([int(np.argmax(energies))])
    now = np.maximum(np.sum(energy, axis=1) / np.sum(energies), MIN_VARIANCE)
    return mean, posterior, Prior(taps[kept], energies[kept], now)


def _moments(layout: Layout, z: Complex, weight: Float, known: Known, n_degrees: int) -> tuple[Complex, Float]:
    """Known cells of each carrier under each polynomial, [n_degrees, 204], and the weight under each two of them,
    [n_degrees, n_degrees, 204]."""
    basis, in_preamble, n = layout.at_known[:n_degrees], layout.polynomials[1][:n_degrees], WAVEFORM.n_occupied
    total = np.stack([layout.sum_carriers(weight * values * z) for values in basis])
    total += in_preamble[:, None] * known.preamble_weight * known.preamble
    pairs = np.empty((len(basis), len(basis), n))
    for k, values in enumerate(basis):
        weighted = weight * values
        for other in range(k + 1):
            products = np.bincount(layout.columns, weighted * basis[other], n)
            products += 2 * in_preamble[k] * in_preamble[other] * known.preamble_weight
            pairs[k, other] = pairs[other, k] = products
    return total, pairs


def _expected(projections: Complex, grams: npt.NDArray[np.complex128], noise_var: float) -> Prior:
    """A first guess: taps as if none heard another, those that noise does not explain."""
    n_degrees, at = len(projections), np.arange(projections.shape[1])
    own = grams[np.arange(n_degrees), np.arange(n_degrees)][:, at, at].real  # [n_degrees, 20]
    energies = np.sum(np.abs(projections / own) ** 2 - noise_var / own, axis=0)
    scatter = noise_var * np.sqrt(np.sum(1 / own**2, axis=0))
    taps = np.flatnonzero(energies > scatter)
    taps = taps if len(taps) else np.array([int(np.argmax(energies))])
    return Prior(taps, np.maximum(energies[taps], MIN_VARIANCE), FIRST_DEGREES[:n_degrees])
