# SPDX-License-Identifier: GPL-3.0-or-later
"""A captured burst to equalised cells with their noise variances, without decisions on the payload.

```text
samples -> cells -> carrier and clock drift -> channel and common phase -> who else is there -> unit gain
             ^______ carrier, if much ___|         ^_____ less trust in what is hit ____|
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
"""Carriers more than 40 dB under the mean are lost."""
DRIFT_REACH_NORM = 4e-4
"""How far the detector's carrier offset may be off, cycles per sample."""
SETTLED, SETTLED_CYCLES = 1.25, 0.2
"""Noise that a moving channel leaves over the preamble's, and cycles by which its middle turns in a burst, up to which
its carrier offset is taken to be right."""
LEAKAGE = 8.0
"""Energy of the mean over its expectation in a burst of no offset, from which it is taken for a converter's."""
LEAKING_NORM = 1.5e-5
"""Residual carrier offset from which the cells are made anew without it: carriers leak into each other at -44 dB."""


@dataclass(frozen=True)
class Capture:
    """Samples that hold one whole burst, as the detector cut them out."""

    samples: ComplexArray
    """Begin at the first sample of the preamble's prefix."""
    start: int
    """Index of that sample in the receiver's stream."""
    header: Header
    cfo_norm: float
    """Carrier frequency offset, cycles per sample."""


class _KnownBurst(NamedTuple):
    """A burst, and what is known of it beforehand."""

    samples: ComplexArray
    """At unit power."""
    cfo_norm: float
    """By the detector."""
    resource_grid: ResourceGrid
    sent: ComplexArray
    """In reference symbols, [n_reference]."""
    snr_design_db: float
    clipping_error_var: float = 0.0
    """Mean squared error of payload symbols by what was cut off peaks."""


class _Derotated(NamedTuple):
    """A burst's cells without a carrier offset."""

    cfo_norm: float
    """What was taken off."""
    samples: ComplexArray
    grid: ComplexArray
    preamble: PreambleEstimate
    z: ComplexArray
    """Received times conj(sent) in reference symbols, [n_reference]."""


def fft_preamble(samples: ComplexArray) -> ComplexArray:
    """The two halves behind a prefix, [2, 204]."""
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(samples[first : first + 2 * WAVEFORM.n_fft].reshape(2, WAVEFORM.n_fft))


def fft_symbols(samples: ComplexArray, n_symbols: int) -> ComplexArray:
    """The OFDM symbols behind the preamble, [n_symbols, 204]."""
    body = samples[WAVEFORM.preamble_len : WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len]
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(body.reshape(n_symbols, WAVEFORM.symbol_len)[:, first : first + WAVEFORM.n_fft])


def demodulate(capture: Capture, dump: Stages | None = None) -> ReceivedBurst:
    """The payload symbols of a burst.

    Args:
        capture: From the detector.
        dump: Takes each stage's signal, for those who look inside: samples, derotated, h_hat, grid, equalized and
            noise_var, the last four [n_symbols, 204].
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
    cells = derotated.grid * phasor(-drift_cycles(drift, resource_grid.times) - estimate.cpe_rad[:, None] / (2 * np.pi))
    symbols, noise_var = _equalize(cells, estimate, found)
    if dump is not None:
        stages = {
            "samples": capture.samples,
            "derotated": level * derotated.samples,
            "h_hat": level * np.broadcast_to(estimate.h, cells.shape),
            "grid": level * cells,
            "equalized": symbols,
            "noise_var": noise_var,
        }
        for name, signal in stages.items():
            dump(name, signal)
    index = resource_grid.payload_index[: header.n_elements]
    gain = float(np.mean(estimate.h.real**2 + estimate.h.imag**2))
    overall = found.noise_var + float(np.mean(found.carrier_var)) + float(np.mean(found.symbol_var))
    return ReceivedBurst(
        header=header,
        symbols=symbols.ravel()[index].astype(np.complex64),
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
    """A burst without what a mixer leaks: on the free carrier where the carrier offset is small, on some other where it
    is not. The burst's own part there is 40 dB under it."""
    mean, power = complex(np.mean(samples)), float(np.vdot(samples, samples).real)
    return samples - np.complex64(mean) if (abs(mean) * len(samples)) ** 2 > LEAKAGE * power else samples


def _derotate(burst: _KnownBurst, cfo_norm: float) -> _Derotated:
    samples = derotate(burst.samples, cfo_norm)
    grid = fft_symbols(samples, burst.resource_grid.n_symbols)
    z = grid.ravel()[burst.resource_grid.reference_index] * np.conj(burst.sent)
    return _Derotated(cfo_norm, samples, grid, estimate_preamble(fft_preamble(samples)), z)


def _correct_drift(burst: _KnownBurst) -> tuple[_Derotated, Drift]:
    """The burst's cells, and what drift is left in them."""
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
    """The header as it was sent: with lowered peaks where that is nearer to what came."""
    resource_grid, n = burst.resource_grid, burst.resource_grid.n_header_reference
    cells, columns = derotated.grid.ravel()[:n], resource_grid.columns[:n]
    plain = burst.sent[:n]
    lowered = clip_and_filter(plain.reshape(-1, WAVEFORM.n_occupied), burst.snr_design_db).ravel()
    h = derotated.preamble.channel.h[columns] * phasor(_reference_cycles(resource_grid, drift)[:n])
    of_plain, of_lowered = (float(np.sum(_power(cells - h * sent))) for sent in (plain, lowered))
    if of_plain <= of_lowered:
        return burst, derotated
    return (
        burst._replace(
            sent=np.concatenate([lowered, burst.sent[n:]]), clipping_error_var=clipping_error_var(burst.snr_design_db)
        ),
        derotated._replace(z=np.concatenate([cells * np.conj(lowered), derotated.z[n:]])),
    )


def _estimate(
    burst: _KnownBurst, derotated: _Derotated, drift: Drift
) -> tuple[_Derotated, Drift, BurstChannelEstimate, Interference]:
    """Channel and interference; all of it again, with less trust in what is hit, where anything is."""
    resource_grid = burst.resource_grid
    reference = _reference(burst, derotated, drift)
    estimate = estimate_channel(resource_grid, reference, derotated.preamble)
    if estimate.is_time_varying:
        derotated, drift, estimate = _refine_cfo(burst, derotated, drift, estimate)
        reference = _reference(burst, derotated, drift)
    found = detect_interference(resource_grid, reference, estimate, derotated.grid)
    if found.is_any:
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
        again, no_drift = _derotate(burst, cfo_norm), Drift(0.0, 0.0, sfo_ppm)
        other = estimate_time_varying(
            burst.resource_grid, _reference(burst, again, no_drift), again.preamble, estimate.prior
        )
        if other.noise_var < best[2].noise_var:
            best = again, no_drift, other
    return best


def _reference(
    burst: _KnownBurst,
    derotated: _Derotated,
    drift: Drift,
    weight: Float | None = None,
    preamble_weight: Float | None = None,
) -> ReferenceSymbols:
    """Reference symbols without their drift; all are trusted alike where nothing else is said."""
    power = np.maximum(_power(burst.sent), MIN_VARIANCE)
    weight = power if weight is None else power * weight
    preamble_weight = np.ones(WAVEFORM.n_occupied) if preamble_weight is None else preamble_weight
    # The phase at time zero belongs to the symbols and not to the preamble; clocks have not drifted apart there.
    z = derotated.z * phasor(-_reference_cycles(burst.resource_grid, drift)) / power.astype(np.float32)
    return ReferenceSymbols(z, power, weight, derotated.preamble.total, preamble_weight, burst.clipping_error_var)


def _reference_cycles(resource_grid: ResourceGrid, drift: Drift) -> Float:
    """As `drift_cycles`, for reference symbols alone, [n_reference]."""
    return (
        drift.phase_rad / (2 * np.pi)
        + drift.cfo_norm * resource_grid.times[resource_grid.rows]
        + drift.sfo_ppm * resource_grid.slopes
    )


def _power(h: ComplexArray) -> Float:
    return (h.real**2 + h.imag**2).astype(np.float64)


def _equalize(
    cells: ComplexArray, estimate: BurstChannelEstimate, found: Interference
) -> tuple[npt.NDArray[np.complexfloating[Any, Any]], Float]:
    """Zero-forcing to unit gain, and the noise that leaves: thermal, interference, channel and phase error, for unit
    cells; [n_symbols, 204] each."""
    gain = estimate.h.real**2 + estimate.h.imag**2
    alive = gain > GAIN_FLOOR * max(float(np.mean(gain)), 1e-30)
    safe = np.where(alive, gain, 1)
    noise_var = found.element_var() if found.is_any else found.noise_var
    variance = np.where(alive, (noise_var + estimate.err_var) / safe + estimate.cpe_var, np.inf)
    inverse = np.where(alive, np.conj(estimate.h) / safe, 0).astype(np.complex64)
    return cells * inverse, np.broadcast_to(variance, cells.shape)
