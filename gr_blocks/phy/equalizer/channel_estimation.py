# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel estimation of a burst from its reference symbols: time-invariant or time-varying, with a CPE per OFDM symbol.

reference symbols, drift corrected -> time-invariant taps + CPE -> is the residual noise?
                                             -> no: time-varying taps (polynomials over the burst) + CPE
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.ofdm.resource_grid import MAX_DEGREES, ResourceGrid
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import (
    MIN_VARIANCE,
    ChannelEstimate,
    Complex,
    Float,
    PreambleEstimate,
    estimate_taps,
    make_gram,
    smooth_cpe,
    tap_gram,
    tap_matrix,
)
from gened.gr_blocks.phy.types import ComplexArray

SAME_SIGMA = 2.5
"""Standard deviations between the noise variances of header and pilots from which they count as different; below, both
are estimated together."""
PRIOR_ELEMENTS = 16
"""Weight of the header's noise variance, in resource elements, when it differs: the pilots of a short burst are few."""
SYMBOLS_PER_DEGREE = 6
"""OFDM symbols of a burst per polynomial of a time-varying channel."""
TESTED_DEGREES = 3
"""Largest degree of the polynomials with which the residual of a time-invariant channel is tested for variation."""
MOTION_THRESHOLDS = (9.0, 100.0)
"""Thresholds of `_motion_statistics`. At most one of 150 bursts through a time-invariant channel exceeds them; slower
variation costs less than the parameters of a time-varying channel would."""
EM_STEPS, FEW_DEGREES = 3, 3
"""Steps of expectation-maximisation, and polynomials of the first step, which only selects the taps."""
INITIAL_DEGREES = 0.3 ** np.arange(MAX_DEGREES)
"""Prior energies of the polynomials before the first step, relative to degree 0."""
SMALL_CPE_RAD, SIMILAR_NOISE = 3e-3, 0.8
"""The second pass is skipped if the CPE stays within this range and the payload's noise variance is at least this
fraction of the header's, since its result would be the same."""


@dataclass(frozen=True)
class ReferenceSymbols:
    """Received reference symbols after correction of carrier and clock drift."""

    z: ComplexArray
    """Received over sent symbols, [n_reference] complex64."""
    power: Float
    """|sent|^2, [n_reference]."""
    weight: Float
    """|sent|^2 times the weight of each symbol, which is below 1 where there is interference, [n_reference]."""
    preamble: Complex
    """Received times conj(sent) in the preamble, summed over its halves, [204] complex."""
    preamble_weight: Float
    """Weight of each carrier of the preamble, [204], in (0, 1]."""
    clipping_error_var: float = 0.0
    """Mean squared clipping error of unit payload symbols; that of the header's symbols is known to the receiver."""


class Prior(NamedTuple):
    """Prior of a time-varying channel: the energy of a tap in a degree is the product of the tap's and the degree's."""

    taps: npt.NDArray[np.intp]
    """Indices (0 to 19) of the taps that have energy, [n_taps]."""
    energies: Float
    """Energies of these taps, [n_taps]."""
    degrees: Float
    """Relative energies of the polynomials, [n_degrees]."""


@dataclass(frozen=True)
class BurstChannelEstimate:
    """Channel estimate of a burst."""

    h: Complex
    """Channel, [204] complex if time-invariant, [n_symbols, 204] if time-varying."""
    err_var: Float
    """Variance of its error, same shape."""
    noise_var: float
    """Noise variance of a payload symbol, clipping error included."""
    header_noise_var: float
    """Noise variance of a header symbol, whose clipping error is known."""
    cpe_rad: Float
    """Common phase error of each OFDM symbol, rad, [n_symbols]."""
    cpe_var: float
    """Variance of its error, rad^2."""
    prior: Prior | None = None
    """Prior of the taps of a time-varying channel; None if time-invariant."""

    @property
    def is_time_varying(self) -> bool:
        """Whether `h` has a value per OFDM symbol."""
        return self.h.ndim == 2

    def at_reference(self, resource_grid: ResourceGrid) -> Complex:
        """Channel at the reference symbols, [n_reference] complex."""
        return np.asarray(
            self.h[resource_grid.rows, resource_grid.columns] if self.is_time_varying else self.h[resource_grid.columns]
        )

    def residual(self, resource_grid: ResourceGrid, reference: ReferenceSymbols) -> Float:
        """Squared error of each reference symbol against this estimate, [n_reference]."""
        left = remove_cpe(reference.z, self.cpe_rad, resource_grid) - self.at_reference(resource_grid)
        return reference.power * (left.real**2 + left.imag**2)


def remove_cpe(z: ComplexArray, cpe_rad: Float, resource_grid: ResourceGrid) -> Complex:
    """Correct the common phase error of reference symbols.

    Args:
        z: Received over sent symbols, [n_reference] complex64.
        cpe_rad: Common phase error of each OFDM symbol, rad, [n_symbols].
        resource_grid: Resource grid of the burst.

    Returns:
        [n_reference] complex.
    """
    return np.asarray(z * np.exp(-1j * cpe_rad)[resource_grid.rows])


def estimate_channel(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, preamble: PreambleEstimate
) -> BurstChannelEstimate:
    """Estimate the channel of a burst.

    A time-varying estimate replaces the time-invariant one if the residual of the latter varies and the former leaves
    less noise.

    Args:
        resource_grid: Resource grid of the burst.
        reference: Reference symbols.
        preamble: Estimate from the preamble alone.
    """
    time_invariant, energies = _estimate_time_invariant(resource_grid, reference, preamble)
    motion = _motion_statistics(resource_grid, reference, time_invariant, energies)
    if all(found < threshold for found, threshold in zip(motion, MOTION_THRESHOLDS, strict=True)):
        return time_invariant
    time_varying = estimate_time_varying(resource_grid, reference, preamble)
    return time_varying if time_varying.noise_var < time_invariant.noise_var else time_invariant


def _noise(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, squares: Float, excess: Float, gain: float
) -> tuple[float, float]:
    """Noise variances of payload symbols and of header symbols.

    Args:
        resource_grid: Resource grid of the burst.
        reference: Reference symbols.
        squares: Squared errors of the reference symbols against the channel estimate, [n_reference].
        excess: Error variance of the channel estimate there, [n_reference]. Symbols that took part in the estimate
            have errors that are too small by this.
        gain: Mean power of the channel.
    """
    energy, weight, n = reference.weight * (squares + excess), reference.weight, resource_grid.n_header_reference
    n_header, n_pilots = float(weight[:n].sum()), float(weight[n:].sum())
    in_header, of_pilots = float(energy[:n].sum()) / n_header, float(energy[n:].sum())
    expected = in_header + reference.clipping_error_var * gain
    scatter = expected * np.sqrt(1 / n_header + 1 / max(n_pilots, 1.0))
    is_one = n_pilots < 1 or abs(expected - of_pilots / n_pilots) < SAME_SIGMA * scatter
    n_prior = n_header if is_one else PRIOR_ELEMENTS
    in_payload = (of_pilots + n_prior * expected) / (n_pilots + n_prior)
    return max(in_payload, MIN_VARIANCE), max(in_header, MIN_VARIANCE)


def _weights(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, noise_var: float, header_noise_var: float
) -> Float:
    """Weights of the reference symbols; those of the header count less where their noise is larger."""
    weight = reference.weight.copy()
    weight[: resource_grid.n_header_reference] *= min(1.0, noise_var / header_noise_var)
    return weight


def _phase(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, h: Complex, weight: Float, noise_var: float
) -> tuple[Float, float]:
    sums = resource_grid.sum_symbols(weight * (reference.z * np.conj(h)))
    return smooth_cpe(resource_grid, sums, resource_grid.sum_symbols(weight * (h.real**2 + h.imag**2)), noise_var)


def _estimate_time_invariant(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, preamble: PreambleEstimate
) -> tuple[BurstChannelEstimate, Float]:
    """Estimate a time-invariant channel; return it with the prior energies of its taps, [20]."""
    phase, phase_var, columns = np.zeros(resource_grid.n_symbols), 0.0, resource_grid.columns
    noise_var = header_noise_var = max(preamble.noise_var, MIN_VARIANCE)
    start = reference.preamble_weight * reference.preamble
    for _ in range(2):
        weight = _weights(resource_grid, reference, noise_var, header_noise_var)
        z = remove_cpe(reference.z, phase, resource_grid)
        total = start + resource_grid.sum_carriers(weight * z)
        gram = make_gram(2 * reference.preamble_weight + np.bincount(columns, weight, WAVEFORM.n_occupied))
        taps = estimate_taps(total, gram, noise_var)
        left = z - taps.h[columns]
        squares, gain = left.real**2 + left.imag**2, float(np.mean(np.abs(taps.h) ** 2))
        noise_var, header_noise_var = _noise(resource_grid, reference, squares, taps.err_var[columns], gain)
        phase, phase_var = _phase(resource_grid, reference, taps.h[columns], weight, noise_var)
        if np.ptp(phase) < SMALL_CPE_RAD and noise_var > SIMILAR_NOISE * header_noise_var:
            break
    estimate = BurstChannelEstimate(taps.h, taps.err_var, noise_var, header_noise_var, phase, phase_var)
    return estimate, taps.energies


def _motion_statistics(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, time_invariant: BurstChannelEstimate, energies: Float
) -> tuple[float, float]:
    """Statistics of the variation in the residual of a time-invariant channel, relative to noise.

    Returns:
        Energy of the residual in the polynomials of degrees 1 to 3, over the taps weighted with their energies (about
        1.5 for a time-invariant channel), and over all taps alike (about 50). A tap that passes through zero in the
        burst shows in the second alone.
    """
    left = remove_cpe(reference.z, time_invariant.cpe_rad, resource_grid) - time_invariant.at_reference(resource_grid)
    weight = _weights(resource_grid, reference, time_invariant.noise_var, time_invariant.header_noise_var)
    at_taps = np.zeros(len(energies))
    for values in resource_grid.at_reference[1 : TESTED_DEGREES + 1]:
        found = tap_matrix().conj().T @ resource_grid.sum_carriers(weight * values * left)
        of_noise = time_invariant.noise_var * float(np.sum(weight * values**2))
        at_taps += np.abs(found) ** 2 / max(of_noise, MIN_VARIANCE)
    return float(at_taps @ energies / energies.sum()), float(at_taps.sum())


def estimate_time_varying(
    resource_grid: ResourceGrid, reference: ReferenceSymbols, preamble: PreambleEstimate, prior: Prior | None = None
) -> BurstChannelEstimate:
    """Estimate a time-varying channel, whose taps are polynomials over the burst, and the remaining CPE.

    Args:
        resource_grid: Resource grid of the burst.
        reference: Reference symbols.
        preamble: Estimate from the preamble alone.
        prior: Prior from an earlier estimate of this burst, as a start of the iteration.
    """
    noise_var = header_noise_var = max(preamble.noise_var, MIN_VARIANCE)  # both halves see the same channel
    phase, phase_var = np.zeros(resource_grid.n_symbols), 0.0
    for _ in range(2):
        weight = _weights(resource_grid, reference, noise_var, header_noise_var)
        z = remove_cpe(reference.z, phase, resource_grid)
        track, prior = _track(resource_grid, z, weight, reference, noise_var, prior)
        at_reference = track.h[resource_grid.rows, resource_grid.columns]
        left = z - at_reference
        excess = track.err_var[resource_grid.rows, resource_grid.columns]
        squares, gain = left.real**2 + left.imag**2, float(np.mean(np.abs(track.h) ** 2))
        noise_var, header_noise_var = _noise(resource_grid, reference, squares, excess, gain)
        phase, phase_var = _phase(resource_grid, reference, at_reference, weight, noise_var)
    return BurstChannelEstimate(track.h, track.err_var, noise_var, header_noise_var, phase, phase_var, prior)


def _track(
    resource_grid: ResourceGrid,
    z: Complex,
    weight: Float,
    reference: ReferenceSymbols,
    noise_var: float,
    prior: Prior | None,
) -> tuple[ChannelEstimate, Prior]:
    """Estimate taps over time by empirical Bayes, with a prior from expectation-maximisation.

    Returns:
        Channel and variance of its error, [n_symbols, 204] each; and the prior after the last step.
    """
    n_degrees = int(min(MAX_DEGREES, max(2, resource_grid.n_symbols // SYMBOLS_PER_DEGREE)))
    in_symbols = resource_grid.polynomials[0][:, :n_degrees]
    total, pairs = _moments(resource_grid, z, weight, reference, n_degrees)
    grams = tap_gram(pairs)  # [n_degrees, n_degrees, 20, 20]
    projections = total @ tap_matrix().conj()  # [n_degrees, 20]
    if prior is None:
        few = min(n_degrees, FEW_DEGREES)
        prior = _expected(projections, grams, noise_var)
        _, _, prior = _maximise(projections[:few], grams[:few, :few], noise_var, prior, float(weight.sum()))
        prior = Prior(prior.taps, prior.energies, np.append(prior.degrees, INITIAL_DEGREES[few:n_degrees]))
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
    projections: Complex, grams: npt.NDArray[np.complex128], noise_var: float, prior: Prior, n_reference: float
) -> tuple[Complex, npt.NDArray[np.complex128], Prior]:
    """One step of expectation-maximisation.

    Returns:
        Posterior mean of the taps under each polynomial, [n_degrees, n_taps]; their covariance,
        [n_degrees n_taps, n_degrees n_taps]; and the new prior, without the taps that noise explains.
    """
    taps, count, n_degrees = prior.taps, len(prior.taps), len(projections)
    degrees = prior.degrees[:n_degrees]
    gram = grams[:, :, taps][..., taps].transpose(0, 2, 1, 3).reshape(n_degrees * count, -1)
    expected = np.maximum(np.outer(degrees, prior.energies).ravel(), MIN_VARIANCE)
    posterior = np.asarray(np.linalg.inv(gram / noise_var + np.diag(1 / expected)), np.complex128)
    mean = np.asarray(posterior @ projections[:, taps].ravel() / noise_var, np.complex128).reshape(n_degrees, count)
    energy = np.abs(mean) ** 2 + posterior.diagonal().real.reshape(n_degrees, count)
    energies = np.mean(energy / degrees[:, None], axis=0)
    kept = np.flatnonzero(np.sum(np.abs(mean) ** 2, axis=0) > noise_var * n_degrees / n_reference)
    kept = kept if len(kept) else np.array([int(np.argmax(energies))])
    now = np.maximum(np.sum(energy, axis=1) / np.sum(energies), MIN_VARIANCE)
    return mean, posterior, Prior(taps[kept], energies[kept], now)


def _moments(
    resource_grid: ResourceGrid, z: Complex, weight: Float, reference: ReferenceSymbols, n_degrees: int
) -> tuple[Complex, Float]:
    """Moments of the reference symbols of each carrier under the polynomials.

    Returns:
        Weighted sums under each polynomial, [n_degrees, 204] complex, and sums of weights under each pair of
        polynomials, [n_degrees, n_degrees, 204].
    """
    basis, in_preamble, n = (
        resource_grid.at_reference[:n_degrees],
        resource_grid.polynomials[1][:n_degrees],
        WAVEFORM.n_occupied,
    )
    total = np.stack([resource_grid.sum_carriers(weight * values * z) for values in basis])
    total += in_preamble[:, None] * reference.preamble_weight * reference.preamble
    pairs = np.empty((len(basis), len(basis), n))
    for k, values in enumerate(basis):
        weighted = weight * values
        for other in range(k + 1):
            products = np.bincount(resource_grid.columns, weighted * basis[other], n)
            products += 2 * in_preamble[k] * in_preamble[other] * reference.preamble_weight
            pairs[k, other] = pairs[other, k] = products
    return total, pairs


def _expected(projections: Complex, grams: npt.NDArray[np.complex128], noise_var: float) -> Prior:
    """Initial prior: energies of the taps as if they were orthogonal, without those that noise explains."""
    n_degrees, at = len(projections), np.arange(projections.shape[1])
    own = grams[np.arange(n_degrees), np.arange(n_degrees)][:, at, at].real  # [n_degrees, 20]
    energies = np.sum(np.abs(projections / own) ** 2 - noise_var / own, axis=0)
    scatter = noise_var * np.sqrt(np.sum(1 / own**2, axis=0))
    taps = np.flatnonzero(energies > scatter)
    taps = taps if len(taps) else np.array([int(np.argmax(energies))])
    return Prior(taps, np.maximum(energies[taps], MIN_VARIANCE), INITIAL_DEGREES[:n_degrees])
