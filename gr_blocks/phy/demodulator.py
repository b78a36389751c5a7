# SPDX-License-Identifier: GPL-3.0-or-later
"""A captured burst to equalised cells with their noise variances, without decisions on the payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.burst import ReceivedBurst
from gened.gr_blocks.phy.dump import Stages
from gened.gr_blocks.phy.estimators import (
    MIN_VARIANCE,
    WINDOW_BACKOFF,
    ChannelEstimate,
    Drift,
    derotate,
    drift_phase,
    fit_drift,
    fit_preamble,
    fit_taps,
    smooth_phase,
)
from gened.gr_blocks.phy.header import Header, encode_header
from gened.gr_blocks.phy.types import ComplexArray
from gened.gr_blocks.phy.waveform import WAVEFORM

MAX_SFO_PPM = 200.0
REFINE_SFO_PPM = 20.0
"""How far the second pass may move from the clock error that the first one found."""
GAIN_FLOOR = 1e-4
"""Carriers more than 40 dB under the mean are lost."""


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


@dataclass(frozen=True)
class _Known:
    """Cells whose content the receiver knows: pilots, and the header once it is decoded."""

    values: npt.NDArray[np.complexfloating[Any, Any]]
    """[n_symbols, 204], 0 where unknown."""
    payload: npt.NDArray[np.bool_]
    """Where payload cells are."""


def _known(header: Header, n_symbols: int) -> _Known:
    pilots = WAVEFORM.pilot_mask(n_symbols)
    values = np.where(pilots, WAVEFORM.pilot_grid(n_symbols), 0)
    payload = ~pilots
    payload[: WAVEFORM.n_header_symbols] = False
    in_header = ~pilots[: WAVEFORM.n_header_symbols]
    values[: WAVEFORM.n_header_symbols][in_header] = encode_header(header, WAVEFORM.n_header_cells)
    return _Known(values, payload)


def preamble_cells(samples: ComplexArray) -> ComplexArray:
    """The two halves behind a prefix, [2, 204]."""
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(samples[first : first + 2 * WAVEFORM.n_fft].reshape(2, WAVEFORM.n_fft))


def symbol_cells(samples: ComplexArray, n_symbols: int) -> ComplexArray:
    """The OFDM symbols behind the preamble, [n_symbols, 204]."""
    body = samples[WAVEFORM.preamble_len : WAVEFORM.preamble_len + n_symbols * WAVEFORM.symbol_len]
    first = WAVEFORM.cp_len - WINDOW_BACKOFF
    return WAVEFORM.to_freq(body.reshape(n_symbols, WAVEFORM.symbol_len)[:, first : first + WAVEFORM.n_fft])


def symbol_times(n_symbols: int) -> npt.NDArray[np.float64]:
    """Middle of each symbol's window in samples, counted from the middle of the preamble's windows."""
    to_first = WAVEFORM.preamble_len - WAVEFORM.n_fft + WAVEFORM.n_fft / 2
    return to_first + WAVEFORM.symbol_len * np.arange(n_symbols)


def demodulate(capture: Capture, dump: Stages | None = None) -> ReceivedBurst:
    """The payload cells of a burst.

    Two passes: the first finds what carrier offset is left over the whole burst, the second works without it.

    Args:
        capture: From the detector.
        dump: Takes each stage's signal, for those who look inside.
    """
    header = capture.header
    n_symbols = WAVEFORM.n_header_symbols + WAVEFORM.n_payload_symbols(header.n_cells)
    known = _known(header, n_symbols)
    times = symbol_times(n_symbols)
    cfo_cps, sfo_ppm = capture.cfo_cps, 0.0
    for reach, max_sfo_ppm in ((4e-4, MAX_SFO_PPM), (2e-5, REFINE_SFO_PPM)):
        samples = derotate(capture.samples, cfo_cps)
        halves, grid = preamble_cells(samples), symbol_cells(samples, n_symbols)
        preamble = fit_preamble(halves)
        sent = preamble.channel.h * known.values
        drift = fit_drift(
            grid * np.conj(sent), np.square(np.abs(sent), dtype=np.float64), times, reach, max_sfo_ppm, sfo_ppm
        )
        cfo_cps, sfo_ppm = cfo_cps + drift.cfo_cps, drift.sfo_ppm
    grid = grid * np.exp(-1j * drift_phase(drift, times))
    estimate, noise_var, grid, phase_var = _refine(grid, known, preamble.total, drift, preamble.noise_var)
    symbols, symbol_var = _equalize(grid, estimate, noise_var, phase_var)
    if dump is not None:
        stages = {
            "samples": capture.samples,
            "derotated": samples,
            "h_hat": estimate.h,
            "grid": grid,
            "equalized": symbols,
            "noise_var": symbol_var,
        }
        for name, signal in stages.items():
            dump(name, signal)
    n_cells = header.n_cells
    gain = float(np.mean(np.abs(estimate.h) ** 2))
    return ReceivedBurst(
        header=header,
        symbols=symbols[known.payload][:n_cells].astype(np.complex64),
        noise_var=symbol_var[known.payload][:n_cells].astype(np.float32),
        snr_est_db=float(10 * np.log10(max(gain, 1e-12) / max(noise_var, MIN_VARIANCE))),
        cfo_cps=cfo_cps,
        sfo_ppm=sfo_ppm,
        start=capture.start,
        n_samples=WAVEFORM.burst_len(n_cells),
        h_hat=estimate.h.astype(np.complex64),
    )


def _refine(
    grid: npt.NDArray[np.complexfloating[Any, Any]],
    known: _Known,
    preamble_total: npt.NDArray[np.complexfloating[Any, Any]],
    drift: Drift,
    noise_var: float,
) -> tuple[ChannelEstimate, float, npt.NDArray[np.complexfloating[Any, Any]], float]:
    """Channel, noise and common phase from everything known: preamble, header, pilots."""
    reference = preamble_total * np.exp(-1j * drift_phase(replace_phase(drift), np.zeros(1)))[0]
    weight = 2.0 + np.sum(np.abs(known.values) ** 2, axis=0)
    phase, phase_var = np.zeros(len(grid)), 0.0
    for _ in range(2):
        turned = grid * np.exp(-1j * phase)[:, None]
        estimate = fit_taps(reference + np.sum(turned * np.conj(known.values), axis=0), weight, noise_var)
        sent = estimate.h * known.values
        is_known = known.values != 0
        residual = np.abs(turned - sent)[is_known] ** 2
        excess = np.mean(np.broadcast_to(estimate.err_var, is_known.shape)[is_known])
        # Cells that took part in the estimate fit it too well by just its error.
        # A robust mean would hide interference, so a plain one.
        noise_var = float(max(np.mean(residual) + excess, MIN_VARIANCE))
        phase, phase_var = smooth_phase(grid * np.conj(sent), np.square(np.abs(sent), dtype=np.float64))
    return estimate, noise_var, grid * np.exp(-1j * phase)[:, None], phase_var


def replace_phase(drift: Drift) -> Drift:
    """The drift as the preamble sees it: the phase alone, at time zero, belongs to the symbols and not to it."""
    return drift._replace(phase_rad=0.0)


def _equalize(
    grid: npt.NDArray[np.complexfloating[Any, Any]], estimate: ChannelEstimate, noise_var: float, phase_var: float
) -> tuple[npt.NDArray[np.complexfloating[Any, Any]], npt.NDArray[np.float64]]:
    """Zero-forcing to unit gain, and the noise that leaves: thermal, channel and phase error, for unit cells."""
    gain = np.abs(estimate.h) ** 2
    alive = gain > GAIN_FLOOR * max(float(np.mean(gain)), 1e-30)
    inverse = np.where(alive, np.conj(estimate.h) / np.where(alive, gain, 1), 0)
    variance = np.where(alive, (noise_var + estimate.err_var) / np.where(alive, gain, 1) + phase_var, np.inf)
    return grid * inverse, np.broadcast_to(variance, grid.shape)
