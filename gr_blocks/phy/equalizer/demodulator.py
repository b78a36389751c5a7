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
from gened.gr_blocks.phy.equalizer.channel_estimation import ChannelFit, Known, fit_channel, fit_moving
from gened.gr_blocks.phy.equalizer.interference import Interference, find_interference
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.framing.header import Header, encode_header
from gened.gr_blocks.phy.ofdm.papr_reduction import error_var, lower_peaks
from gened.gr_blocks.phy.ofdm.resource_grid import Layout, layout, turn
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.estimators import (
    MIN_VARIANCE,
    WINDOW_BACKOFF,
    Drift,
    Float,
    PreambleFit,
    amplitude,
    derotate,
    drift_cycles,
    fit_preamble,
    refine_drift,
    search_drift,
)
from gened.gr_blocks.phy.types import ComplexArray

GAIN_FLOOR = 1e-4
"""Carriers more than 40 dB under the mean are lost."""
DRIFT_REACH_CPS = 4e-4
"""How far the detector's carrier offset may be off, cycles a sample."""
SETTLED, SETTLED_CYCLES = 1.25, 0.2
"""Noise that a moving channel leaves over the preamble's, and cycles by which its middle turns in a burst, up to which
its carrier offset is taken to be right."""
LEAKAGE = 8.0
"""Energy of the mean over its expectation in a burst of no offset, from which it is taken for a converter's."""
LEAKING_CPS = 1.5e-5
"""Residual carrier offset from which the cells are made anew without it: carriers leak into each other at -44 dB."""


@dataclass(frozen=True)
class Capture:
    """Samples that hold one whole burst, as the detector cut them out."""

    samples: ComplexArray
    """Begin at the first sample of the preamble's prefix."""
    start: int
    """Index of that sample in the receiver's stream."""
    header: Header
    cfo_cps: float
    """Carrier frequency offset, cycles a sample."""


class _Ours(NamedTuple):
    """A burst, and what is known of it beforehand."""

    samples: ComplexArray
    """At unit power."""
    cfo_cps: float
    """By the detector."""
    where: Layout
    sent: ComplexArray
    """In known cells, [n_known]."""
    snr_design_db: float
    cut_var: float = 0.0
    """Mean squared error of payload cells by what was cut off peaks."""


class _Front(NamedTuple):
    """A burst's cells without a carrier offset."""

    cfo_cps: float
    """What was taken off."""
    samples: ComplexArray
    grid: ComplexArray
    preamble: PreambleFit
    z: ComplexArray
    """Received times conj(sent) in known cells, [n_known]."""


def preamble_cells(samples: ComplexArray) -> ComplexArray:
    """The two halves behind a prefix, [2, 204]."""
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(samples[first : first + 2 * WAVEFORM.n_fft].reshape(2, WAVEFORM.n_fft))


def symbol_cells(samples: ComplexArray, n_symbols: int) -> ComplexArray:
    """The OFDM symbols behind the preamble, [n_symbols, 204]."""
    body = samples[WAVEFORM.preamble_len : WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len]
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(body.reshape(n_symbols, WAVEFORM.symbol_len)[:, first : first + WAVEFORM.n_fft])


def demodulate(capture: Capture, dump: Stages | None = None) -> ReceivedBurst:
    """The payload cells of a burst.

    Args:
        capture: From the detector.
        dump: Takes each stage's signal, for those who look inside: samples, derotated, h_hat, grid, equalized and
            noise_var, the last four [n_symbols, 204].
    """
    header = capture.header
    where = layout(WAVEFORM.n_header_symbols + WAVEFORM.n_payload_symbols(header.n_cells))
    sent = where.known_values(encode_header(header, WAVEFORM.n_header_cells))
    level = amplitude(capture.samples)
    burst = _without_dc(capture.samples / np.float32(level))
    ours = _Ours(burst, capture.cfo_cps, where, sent, header.snr_design_db)
    front, drift = _line_up(ours)
    ours, front = _with_lowered_peaks(ours, front, drift)
    front, drift, fit, found = _fit(ours, front, drift)
    cells = front.grid * turn(-drift_cycles(drift, where.times) - fit.phase_rad[:, None] / (2 * np.pi))
    symbols, noise_var = _equalize(cells, fit, found)
    if dump is not None:
        stages = {
            "samples": capture.samples,
            "derotated": level * front.samples,
            "h_hat": level * np.broadcast_to(fit.h, cells.shape),
            "grid": level * cells,
            "equalized": symbols,
            "noise_var": noise_var,
        }
        for name, signal in stages.items():
            dump(name, signal)
    index = where.payload_index[: header.n_cells]
    gain = float(np.mean(fit.h.real**2 + fit.h.imag**2))
    overall = found.noise_var + float(np.mean(found.carrier_var)) + float(np.mean(found.symbol_var))
    return ReceivedBurst(
        header=header,
        symbols=symbols.ravel()[index].astype(np.complex64),
        noise_var=noise_var.ravel()[index].astype(np.float32),
        snr_est_db=float(10 * np.log10(max(gain, 1e-12) / max(overall, MIN_VARIANCE))),
        cfo_cps=front.cfo_cps + drift.cfo_cps,
        sfo_ppm=drift.sfo_ppm,
        start=capture.start,
        n_samples=WAVEFORM.burst_len(header.n_cells),
        h_hat=np.asarray(level * (fit.h[where.n_symbols // 2] if fit.moves else fit.h), np.complex64),
    )


def _without_dc(samples: ComplexArray) -> ComplexArray:
    """A burst without what a mixer leaks: on the free carrier where the carrier offset is small, on some other where it
    is not. The burst's own part there is 40 dB under it."""
    mean, power = complex(np.mean(samples)), float(np.vdot(samples, samples).real)
    return samples - np.complex64(mean) if (abs(mean) * len(samples)) ** 2 > LEAKAGE * power else samples


def _front(ours: _Ours, cfo_cps: float) -> _Front:
    samples = derotate(ours.samples, cfo_cps)
    grid = symbol_cells(samples, ours.where.n_symbols)
    z = grid.ravel()[ours.where.known_index] * np.conj(ours.sent)
    return _Front(cfo_cps, samples, grid, fit_preamble(preamble_cells(samples)), z)


def _line_up(ours: _Ours) -> tuple[_Front, Drift]:
    """The burst's cells, and what drift is left in them."""
    where, front = ours.where, _front(ours, ours.cfo_cps)
    h = front.preamble.channel.h[where.columns].astype(np.complex64)
    drift = search_drift(where, front.z * np.conj(h), DRIFT_REACH_CPS)
    drift = refine_drift(where, front.z * np.conj(h), _power(h), drift)
    if abs(drift.cfo_cps) < LEAKING_CPS:
        return front, drift
    front = _front(ours, ours.cfo_cps + drift.cfo_cps)
    h = front.preamble.channel.h[where.columns].astype(np.complex64)
    return front, refine_drift(where, front.z * np.conj(h), _power(h), Drift(0.0, 0.0, drift.sfo_ppm))


def _with_lowered_peaks(ours: _Ours, front: _Front, drift: Drift) -> tuple[_Ours, _Front]:
    """The header as it was sent: with lowered peaks where that is nearer to what came."""
    where, n = ours.where, ours.where.n_header_known
    cells, columns = front.grid.ravel()[:n], where.columns[:n]
    plain = ours.sent[:n]
    lowered = lower_peaks(plain.reshape(-1, WAVEFORM.n_occupied), ours.snr_design_db).ravel()
    h = front.preamble.channel.h[columns] * turn(_known_cycles(where, drift)[:n])
    of_plain, of_lowered = (float(np.sum(_power(cells - h * sent))) for sent in (plain, lowered))
    if of_plain <= of_lowered:
        return ours, front
    return (
        ours._replace(sent=np.concatenate([lowered, ours.sent[n:]]), cut_var=error_var(ours.snr_design_db)),
        front._replace(z=np.concatenate([cells * np.conj(lowered), front.z[n:]])),
    )


def _fit(ours: _Ours, front: _Front, drift: Drift) -> tuple[_Front, Drift, ChannelFit, Interference]:
    """Channel and interference; all of it again, with less trust in what is hit, where anything is."""
    where = ours.where
    known = _known(ours, front, drift)
    fit = fit_channel(where, known, front.preamble)
    if fit.moves:
        front, drift, fit = _settle(ours, front, drift, fit)
        known = _known(ours, front, drift)
    found = find_interference(where, known, fit, front.grid)
    if found.is_any:
        weight = found.known_weight(where)
        if not fit.moves:
            h = fit.at_known(where).astype(np.complex64)
            drift = refine_drift(where, weight * (front.z * np.conj(h)), weight * _power(h), drift)
        known = _known(ours, front, drift, weight, found.noise_var / (found.noise_var + found.carrier_var))
        if fit.moves:
            fit = fit_moving(where, known, front.preamble, fit.prior)
        else:
            fit = fit_channel(where, known, front.preamble)
        found = find_interference(where, known, fit, front.grid)
    return front, drift, fit, found


def _settle(ours: _Ours, front: _Front, drift: Drift, fit: ChannelFit) -> tuple[_Front, Drift, ChannelFit]:
    """Known cells of a channel that moves line up along its strongest wave, which can be its whole Doppler shift away
    from the middle, and with any clock. What the preamble says alone, and that middle, are tried as well."""
    middle = np.angle(np.vdot(fit.h[:-1], fit.h[1:])) / (2 * np.pi * WAVEFORM.symbol_len)
    best = front, drift, fit
    if (
        fit.noise_var < SETTLED * front.preamble.noise_var
        and abs(middle) * float(ours.where.times[-1]) < SETTLED_CYCLES
    ):
        return best
    for cfo_cps, sfo_ppm in (
        (ours.cfo_cps, 0.0),
        (front.cfo_cps + drift.cfo_cps + float(middle), drift.sfo_ppm),
    ):
        again, still = _front(ours, cfo_cps), Drift(0.0, 0.0, sfo_ppm)
        other = fit_moving(ours.where, _known(ours, again, still), again.preamble, fit.prior)
        if other.noise_var < best[2].noise_var:
            best = again, still, other
    return best


def _known(
    ours: _Ours, front: _Front, drift: Drift, weight: Float | None = None, preamble_weight: Float | None = None
) -> Known:
    """Known cells without their drift; all are trusted alike where nothing else is said."""
    power = np.maximum(_power(ours.sent), MIN_VARIANCE)
    weight = power if weight is None else power * weight
    preamble_weight = np.ones(WAVEFORM.n_occupied) if preamble_weight is None else preamble_weight
    # The phase at time zero belongs to the symbols and not to the preamble; clocks have not drifted apart there.
    z = front.z * turn(-_known_cycles(ours.where, drift)) / power.astype(np.float32)
    return Known(z, power, weight, front.preamble.total, preamble_weight, ours.cut_var)


def _known_cycles(where: Layout, drift: Drift) -> Float:
    """As `drift_cycles`, for known cells alone, [n_known]."""
    return drift.phase_rad / (2 * np.pi) + drift.cfo_cps * where.times[where.rows] + drift.sfo_ppm * where.slopes


def _power(h: ComplexArray) -> Float:
    return (h.real**2 + h.imag**2).astype(np.float64)


def _equalize(
    cells: ComplexArray, fit: ChannelFit, found: Interference
) -> tuple[npt.NDArray[np.complexfloating[Any, Any]], Float]:
    """Zero-forcing to unit gain, and the noise that leaves: thermal, interference, channel and phase error, for unit
    cells; [n_symbols, 204] each."""
    gain = fit.h.real**2 + fit.h.imag**2
    alive = gain > GAIN_FLOOR * max(float(np.mean(gain)), 1e-30)
    safe = np.where(alive, gain, 1)
    noise_var = found.cell_var() if found.is_any else found.noise_var
    variance = np.where(alive, (noise_var + fit.err_var) / safe + fit.phase_var, np.inf)
    inverse = np.where(alive, np.conj(fit.h) / safe, 0).astype(np.complex64)
    return cells * inverse, np.broadcast_to(variance, cells.shape)
