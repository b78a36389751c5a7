# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything stands in a burst of so many symbols, and what follows from that alone: made once, used for every
burst of that length.

A receiver knows the pilots beforehand and the header's cells once it has read it. Both are QPSK of unit energy, so that
what the estimators need of them (who is known where, how well it pins a channel down) does not depend on their values.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

Complex = npt.NDArray[np.complexfloating[Any, Any]]
Float = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

WIDTHS = (0.7, 1.5, 3.0, 6.0, 12.0, 1e3)
"""Of the kernels by which a common phase is smoothed, in symbols."""
CLOCK_STEP = 0.15
"""Cycles at the outer carriers, at the burst's end, between two clock errors that are tried."""
MAX_SFO_PPM = 200.0
"""Clock errors are looked for so far either way."""
MAX_DEGREES = 8
"""Polynomials over a burst: enough for a Doppler shift times the burst of 1.5."""
KEPT = 4
"""Layouts that are kept: forged headers can ask for any length up to 340 symbols."""


class Layout:
    """A burst of `n_symbols` OFDM symbols behind the preamble, the header's three among them.

    Known cells are listed symbol by symbol.
    """

    def __init__(self, n_symbols: int) -> None:
        self.n_symbols = n_symbols
        self.is_pilot = WAVEFORM.pilot_mask(n_symbols)
        """[n_symbols, 204]."""
        is_known = self.is_pilot.copy()
        is_known[: WAVEFORM.n_header_symbols] = True
        self.rows, self.columns = (indices.astype(np.intp) for indices in np.nonzero(is_known))
        """Symbol and carrier of each known cell, [n_known]."""
        self.known_index: Indices = np.flatnonzero(is_known)
        """The same cells in the flattened grid."""
        self.payload_index: Indices = np.flatnonzero(~is_known)
        """Payload cells in the flattened grid, in the order in which they are filled."""
        self.n_payload = n_symbols - WAVEFORM.n_header_symbols - self.is_pilot[WAVEFORM.n_header_symbols :].sum(0)
        """Payload cells on each carrier, [204]."""
        self.n_header_known = WAVEFORM.n_header_symbols * WAVEFORM.n_occupied
        """The first so many known cells belong to the header's symbols."""
        self.first_known: Indices = np.searchsorted(self.rows, np.arange(n_symbols))
        """Index of each symbol's first known cell, [n_symbols]; every symbol has some."""
        self._is_header_cell = ~self.is_pilot[: WAVEFORM.n_header_symbols].ravel()
        self._pilots = np.where(is_known, WAVEFORM.pilot_grid(n_symbols), 0).ravel()[self.known_index]
        self.times = symbol_times(n_symbols)

    def known_values(self, header_cells: ComplexArray) -> ComplexArray:
        """What stands in the known cells, [n_known] complex64; `header_cells` from `header.encode_header`."""
        values = self._pilots.copy()
        values[: self.n_header_known][self._is_header_cell] = header_cells
        return values

    def sum_symbols(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of known cells, [..., n_known], summed over each symbol, [..., n_symbols]."""
        return np.asarray(np.add.reduceat(values, self.first_known, axis=-1))

    def sum_carriers(self, values: Complex) -> Complex:
        """Values of known cells, [n_known], summed over each carrier, [204]."""
        n = WAVEFORM.n_occupied
        return np.asarray(
            np.bincount(self.columns, values.real, n) + 1j * np.bincount(self.columns, values.imag, n), np.complex128
        )

    @cached_property
    def n_known(self) -> Float:
        """Known cells of each symbol, [n_symbols]."""
        return np.diff(np.append(self.first_known, len(self.rows))).astype(np.float64)

    @cached_property
    def slopes(self) -> Float:
        """Cycles that a clock error of 1 ppm turns each known cell, [n_known]."""
        return np.asarray(1e-6 / WAVEFORM.n_fft * self.times[self.rows] * WAVEFORM.carriers[self.columns])

    @cached_property
    def drift_design(self) -> tuple[Float, Float]:
        """Radians that phase, carrier and clock errors turn each known cell, [n_known, 3], each in units that make them
        alike; and those units in radians, cycles a sample and ppm, [3]."""
        at = self.times[self.rows]
        units = np.array([1.0, 1 / self.times.max(), 1 / (2 * np.pi * self.clock_reach)])
        return np.stack([np.ones(len(at)), 2 * np.pi * at, 2 * np.pi * self.slopes], axis=1) * units, units

    @cached_property
    def clock_reach(self) -> float:
        """Cycles for each ppm at the outer carriers and the burst's end."""
        return 1e-6 * float(self.times.max()) * 0.4

    @cached_property
    def clock_turns(self) -> tuple[Float, ComplexArray]:
        """Clock errors to try, [n] ppm, and what takes each off the known cells, [n, n_known] complex64."""
        step = min(MAX_SFO_PPM, CLOCK_STEP / self.clock_reach)
        clocks = np.arange(-MAX_SFO_PPM, MAX_SFO_PPM + 1e-9, step)
        return clocks, turn(-np.outer(clocks, self.slopes))

    @cached_property
    def polynomials(self) -> tuple[Float, Float]:
        """Legendre polynomials of mean square 1 from the preamble to the last symbol: in each symbol, [n_symbols, 8],
        and in the preamble, [8]."""
        at = 2 * np.concatenate([[0.0], self.times]) / self.times[-1] - 1
        degrees = np.arange(MAX_DEGREES)
        values = scipy.special.eval_legendre(degrees, at[:, None]) * np.sqrt(2 * degrees + 1)
        return values[1:], values[0]

    @cached_property
    def at_known(self) -> Float:
        """The polynomials in known cells, [8, n_known]."""
        return np.ascontiguousarray(self.polynomials[0][self.rows].T)

    @cached_property
    def kernels(self) -> Float:
        """Gaussian weights between symbols for each of `WIDTHS`, [6, n_symbols, n_symbols]."""
        at = np.arange(self.n_symbols)
        distance = np.abs(np.subtract.outer(at, at))
        return np.asarray([np.exp(-0.5 * (distance / width) ** 2) for width in WIDTHS])


def turn(cycles: npt.NDArray[np.floating[Any]]) -> ComplexArray:
    """exp(2 pi i cycles), any shape, complex64 to 1e-6: whole cycles are taken off before precision is."""
    angle = ((cycles - np.round(cycles)) * (2 * np.pi)).astype(np.float32)
    result = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=result.real)
    np.sin(angle, out=result.imag)
    return result


def symbol_times(n_symbols: int) -> Float:
    """Middle of each symbol's window in samples, counted from the middle of the preamble's windows."""
    to_first = WAVEFORM.preamble_len - WAVEFORM.n_fft + WAVEFORM.n_fft / 2
    result: Float = to_first + WAVEFORM.symbol_len * np.arange(n_symbols, dtype=np.float64)
    return result


@lru_cache(maxsize=KEPT)
def layout(n_symbols: int) -> Layout:
    """The layout of a burst of so many symbols, header included; 4 to 341 of them."""
    return Layout(n_symbols)
