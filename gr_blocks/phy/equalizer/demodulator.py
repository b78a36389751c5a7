# SPDX-License-Identifier: GPL-3.0-or-later
"""Demodulate a captured burst: equalised payload symbols with noise variances, without decisions on the payload.

```text
samples -> FFT -> carrier and clock drift -> channel and CPE -> interference -> zero-forcing equaliser
            ^___ large carrier offset ___|         ^____ weights, if any ___|
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.dump import Stages
from gened.gr_blocks.phy.equalizer.channel_estimation import (
    BurstChannelEstimate,
    ReferenceSymbols,
    estimate_channel,
    estimate_time_varying,
)
from gened.gr_blocks.phy.equalizer.interference import Interference, detect_interference
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.framing.header import Header, encode_header
from gened.gr_blocks.phy.ofdm.papr_reduction import clip_and_filter, clipping_error_var
from gened.gr_blocks.phy.ofdm.payload_phases import payload_phases
from gened.gr_blocks.phy.ofdm.resource_grid import ResourceGrid, phasor, resource_grid_of
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import (
    MIN_VARIANCE,
    WINDOW_BACKOFF,
    Drift,
    Float,
    PreambleEstimate,
    amplitude,
    derotate,
    drift_cycles,
    estimate_preamble,
    refine_drift,
    search_drift,
)
from gened.gr_blocks.phy.types import ComplexArray

GAIN_FLOOR = 1e-4
"""Gain relative to the mean below which a carrier counts as lost: -40 dB."""
DRIFT_REACH_NORM = 4e-4
"""Largest error of the detector's carrier offset, cycles per sample."""
SETTLED, SETTLED_CYCLES = 1.25, 0.2
"""Accept the CFO of a time-varying estimate if its residual noise is below `SETTLED` times the preamble noise and its
mean phase rotates by less than `SETTLED_CYCLES` over the burst."""
LEAKAGE = 8.0
"""Energy of the mean of a burst relative to its expectation above which the mean is removed as a DC offset."""
LEAKING_NORM = 1.5e-5
"""Residual carrier offset, cycles per sample, from which the FFT is repeated after correction: inter-carrier
interference is then -44 dB."""


@dataclass(frozen=True)
class Capture:
    """Samples of one complete burst, cut out by the detector."""

    samples: ComplexArray
    """Samples from the first of the preamble's prefix, [n] complex64."""
    start: int
    """Index of that sample in the receiver's stream."""
    header: Header
    """Decoded header."""
    cfo_norm: float
    """Carrier frequency offset, cycles per sample."""


class _KnownBurst(NamedTuple):
    """A burst with its reference symbols as sent."""

    samples: ComplexArray
    """Samples, normalised to unit power."""
    cfo_norm: float
    """Carrier offset by the detector, cycles per sample."""
    resource_grid: ResourceGrid
    sent: ComplexArray
    """Reference symbols as sent, [n_reference] complex64."""
    snr_design_db: float
    """Es/N0 for which the burst is designed, dB."""
    clipping_error_var: float = 0.0
    """Mean squared clipping error of payload symbols."""


class _Derotated(NamedTuple):
    """A burst after correction of a carrier offset."""

    cfo_norm: float
    """Corrected carrier offset, cycles per sample."""
    samples: ComplexArray
    """Corrected samples."""
    grid: ComplexArray
    """Received symbols, [n_symbols, 204] complex64."""
    preamble: PreambleEstimate
    """Estimate from the preamble."""
    z: ComplexArray
    """Received times conj(sent) of the reference symbols, [n_reference] complex64."""


def fft_preamble(samples: ComplexArray) -> ComplexArray:
    """FFT of the two halves of the preamble.

    Args:
        samples: Samples from the first of the preamble's prefix, [528 or more] complex.

    Returns:
        [2, 204] complex64.
    """
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(samples[first : first + 2 * WAVEFORM.n_fft].reshape(2, WAVEFORM.n_fft))


def fft_symbols(samples: ComplexArray, n_symbols: int) -> ComplexArray:
    """FFT of the OFDM symbols after the preamble.

    Args:
        samples: Samples from the first of the preamble's prefix, [528 + 272 n_symbols or more] complex.
        n_symbols: Number of OFDM symbols, header included.

    Returns:
        [n_symbols, 204] complex64.
    """
    body = samples[WAVEFORM.preamble_len : WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len]
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(body.reshape(n_symbols, WAVEFORM.symbol_len)[:, first : first + WAVEFORM.n_fft])


def demodulate(capture: Capture, dump: Stages | None = None) -> ReceivedBurst:
    """Demodulate a burst.

    Args:
        capture: Burst from the detector.
        dump: Receives the signal of each stage: samples, derotated, h_hat, grid, equalized and noise_var, the last four
            [n_symbols, 204]. `equalized` still has the phases of the payload.

    Returns:
        Equalised payload symbols without their phases, with noise variances, and the estimates of the burst.
    """
    header = capture.header
    resource_grid = resource_grid_of(WAVEFORM.n_header_symbols + WAVEFORM.n_payload_symbols(header.n_elements))
    sent = resource_grid.reference_values(encode_header(header, WAVEFORM.n_header_elements))
    level = amplitude(capture.samples)
    samples = _without_dc(capture.samples / np.float32(level))
    burst = _KnownBurst(samples, capture.cfo_norm, resource_grid, sent, header.snr_design_db)
    derotated, drift = _correct_drift(burst)
    burst, derotated = _with_clipped_header(burst, derotated, drift)
    derotated, drift, estimate, found = _estimate(burst, derotated, drift)
    received = derotated.grid * phasor(
        -drift_cycles(drift, resource_grid.times) - estimate.cpe_rad[:, None] / (2 * np.pi)
    )
    symbols, noise_var = _equalize(received, estimate, found)
    if dump is not None:
        stages = {
            "samples": capture.samples,
            "derotated": level * derotated.samples,
            "h_hat": level * np.broadcast_to(estimate.h, received.shape),
            "grid": level * received,
            "equalized": symbols,
            "noise_var": noise_var,
        }
        for name, signal in stages.items():
            dump(name, signal)
    index, phases = resource_grid.payload_index[: header.n_elements], payload_phases(header.n_elements, header.version)
    gain = float(np.mean(estimate.h.real**2 + estimate.h.imag**2))
    overall = found.noise_var + float(np.mean(found.carrier_var)) + float(np.mean(found.symbol_var))
    return ReceivedBurst(
        header=header,
        symbols=symbols.ravel()[index].astype(np.complex64) * np.conj(phases),
        noise_var=noise_var.ravel()[index].astype(np.float32),
        snr_est_db=float(10 * np.log10(max(gain, 1e-12) / max(overall, MIN_VARIANCE))),
        cfo_norm=derotated.cfo_norm + drift.cfo_norm,
        sfo_ppm=drift.sfo_ppm,
        start=capture.start,
        n_samples=WAVEFORM.burst_len(header.n_elements),
        h_hat=np.asarray(
            level * (estimate.h[resource_grid.n_symbols // 2] if estimate.is_time_varying else estimate.h), np.complex64
        ),
    )


def _without_dc(samples: ComplexArray) -> ComplexArray:
    """Remove the DC offset of a receiver's mixer or converter, if there is one.

    It lies on the free carrier if the carrier offset is small, else on an occupied one, whose own part in the mean is
    40 dB below a DC offset that matters.
    """
    mean, power = complex(np.mean(samples)), float(np.vdot(samples, samples).real)
    return samples - np.complex64(mean) if (abs(mean) * len(samples)) ** 2 > LEAKAGE * power else samples


def _derotate(burst: _KnownBurst, cfo_norm: float) -> _Derotated:
    samples = derotate(burst.samples, cfo_norm)
    grid = fft_symbols(samples, burst.resource_grid.n_symbols)
    z = grid.ravel()[burst.resource_grid.reference_index] * np.conj(burst.sent)
    return _Derotated(cfo_norm, samples, grid, estimate_preamble(fft_preamble(samples)), z)


def _correct_drift(burst: _KnownBurst) -> tuple[_Derotated, Drift]:
    """Correct the carrier offset of the detector, refined by the drift if it matters; return the remaining drift."""
    resource_grid, derotated = burst.resource_grid, _derotate(burst, burst.cfo_norm)
    h = derotated.preamble.channel.h[resource_grid.columns].astype(np.complex64)
    drift = search_drift(resource_grid, derotated.z * np.conj(h), DRIFT_REACH_NORM)
    drift = refine_drift(resource_grid, derotated.z * np.conj(h), _power(h), drift)
    if abs(drift.cfo_norm) < LEAKING_NORM:
        return derotated, drift
    derotated = _derotate(burst, burst.cfo_norm + drift.cfo_norm)
    h = derotated.preamble.channel.h[resource_grid.columns].astype(np.complex64)
    return derotated, refine_drift(resource_grid, derotated.z * np.conj(h), _power(h), Drift(0.0, 0.0, drift.sfo_ppm))


def _with_clipped_header(burst: _KnownBurst, derotated: _Derotated, drift: Drift) -> tuple[_KnownBurst, _Derotated]:
    """Decide whether the sender clips peaks, by the errors of the header symbols; if so, use its clipped symbols."""
    resource_grid, n = burst.resource_grid, burst.resource_grid.n_header_reference
    received, columns = derotated.grid.ravel()[:n], resource_grid.columns[:n]
    plain = burst.sent[:n]
    clipped = clip_and_filter(plain.reshape(-1, WAVEFORM.n_occupied), burst.snr_design_db).ravel()
    h = derotated.preamble.channel.h[columns] * phasor(_reference_cycles(resource_grid, drift)[:n])
    plain_error, clipped_error = (float(np.sum(_power(received - h * sent))) for sent in (plain, clipped))
    if plain_error <= clipped_error:
        return burst, derotated
    return (
        burst._replace(
            sent=np.concatenate([clipped, burst.sent[n:]]), clipping_error_var=clipping_error_var(burst.snr_design_db)
        ),
        derotated._replace(z=np.concatenate([received * np.conj(clipped), derotated.z[n:]])),
    )


def _estimate(
    burst: _KnownBurst, derotated: _Derotated, drift: Drift
) -> tuple[_Derotated, Drift, BurstChannelEstimate, Interference]:
    """Estimate channel and interference; if there is interference, again with weights."""
    resource_grid = burst.resource_grid
    reference = _reference(burst, derotated, drift)
    estimate = estimate_channel(resource_grid, reference, derotated.preamble)
    if estimate.is_time_varying:
        derotated, drift, estimate = _refine_cfo(burst, derotated, drift, estimate)
        reference = _reference(burst, derotated, drift)
    found = detect_interference(resource_grid, reference, estimate, derotated.grid)
    if found.is_present:
        weight = found.reference_weight(resource_grid)
        if not estimate.is_time_varying:
            h = estimate.at_reference(resource_grid).astype(np.complex64)
            drift = refine_drift(resource_grid, weight * (derotated.z * np.conj(h)), weight * _power(h), drift)
        reference = _reference(burst, derotated, drift, weight, found.noise_var / (found.noise_var + found.carrier_var))
        if estimate.is_time_varying:
            estimate = estimate_time_varying(resource_grid, reference, derotated.preamble, estimate.prior)
        else:
            estimate = estimate_channel(resource_grid, reference, derotated.preamble)
        found = detect_interference(resource_grid, reference, estimate, derotated.grid)
    return derotated, drift, estimate, found


def _refine_cfo(
    burst: _KnownBurst, derotated: _Derotated, drift: Drift, estimate: BurstChannelEstimate
) -> tuple[_Derotated, Drift, BurstChannelEstimate]:
    """Try two other carrier and clock offsets for a time-varying channel, and return the one of least residual noise.

    The drift search follows the channel's strongest path, which can lie a whole Doppler shift away from the centre of
    the spectrum, and any clock error. The candidates are the preamble's own offset and the centre of the Doppler
    spectrum of the first estimate.
    """
    middle = np.angle(np.vdot(estimate.h[:-1], estimate.h[1:])) / (2 * np.pi * WAVEFORM.symbol_len)
    best = derotated, drift, estimate
    if (
        estimate.noise_var < SETTLED * derotated.preamble.noise_var
        and abs(middle) * float(burst.resource_grid.times[-1]) < SETTLED_CYCLES
    ):
        return best
    for cfo_norm, sfo_ppm in (
        (burst.cfo_norm, 0.0),
        (derotated.cfo_norm + drift.cfo_norm + float(middle), drift.sfo_ppm),
    ):
        candidate, no_drift = _derotate(burst, cfo_norm), Drift(0.0, 0.0, sfo_ppm)
        other = estimate_time_varying(
            burst.resource_grid, _reference(burst, candidate, no_drift), candidate.preamble, estimate.prior
        )
        if other.noise_var < best[2].noise_var:
            best = candidate, no_drift, other
    return best


def _reference(
    burst: _KnownBurst,
    derotated: _Derotated,
    drift: Drift,
    weight: Float | None = None,
    preamble_weight: Float | None = None,
) -> ReferenceSymbols:
    """Correct the drift of the reference symbols; the weights are 1 where none are given."""
    power = np.maximum(_power(burst.sent), MIN_VARIANCE)
    weight = power if weight is None else power * weight
    preamble_weight = np.ones(WAVEFORM.n_occupied) if preamble_weight is None else preamble_weight
    # The preamble is not corrected: at its centre, time zero, the drift has only the phase, which belongs to the
    # symbols.
    z = derotated.z * phasor(-_reference_cycles(burst.resource_grid, drift)) / power.astype(np.float32)
    return ReferenceSymbols(z, power, weight, derotated.preamble.total, preamble_weight, burst.clipping_error_var)


def _reference_cycles(resource_grid: ResourceGrid, drift: Drift) -> Float:
    """Phase of the reference symbols under a drift in cycles, [n_reference]; as `drift_cycles`."""
    return (
        drift.phase_rad / (2 * np.pi)
        + drift.cfo_norm * resource_grid.times[resource_grid.rows]
        + drift.sfo_ppm * resource_grid.slopes
    )


def _power(h: ComplexArray) -> Float:
    return (h.real**2 + h.imag**2).astype(np.float64)


def _equalize(
    received: ComplexArray, estimate: BurstChannelEstimate, found: Interference
) -> tuple[npt.NDArray[np.complexfloating[Any, Any]], Float]:
    """Zero-forcing equaliser.

    Returns:
        Symbols at unit gain, and their noise variances for symbols of unit energy: thermal noise, interference, errors
        of channel estimate and CPE; [n_symbols, 204] each.
    """
    gain = estimate.h.real**2 + estimate.h.imag**2
    alive = gain > GAIN_FLOOR * max(float(np.mean(gain)), 1e-30)
    safe = np.where(alive, gain, 1)
    noise_var = found.element_var() if found.is_present else found.noise_var
    variance = np.where(alive, (noise_var + estimate.err_var) / safe + estimate.cpe_var, np.inf)
    inverse = np.where(alive, np.conj(estimate.h) / safe, 0).astype(np.complex64)
    return received * inverse, np.broadcast_to(variance, received.shape)
