# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource grid of a burst: positions of reference and payload symbols, and the tables that depend on its length alone.

Reference symbols are the pilots, known beforehand, and the header's symbols, known once the header is decoded. Both are
QPSK of unit energy, so the tables that the estimators need (positions, design matrices, basis functions) do not depend
on the values sent. They are computed once and reused for every burst of the same length.
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
"""Standard deviations of the Gaussian kernels that smooth the common phase error, in OFDM symbols."""
CLOCK_STEP = 0.15
"""Spacing of the clock errors that the drift search tries: phase difference in cycles at the outermost carrier and the
last symbol of the burst."""
MAX_SFO_PPM = 200.0
"""Largest clock error that the drift search tries, either way, ppm."""
MAX_DEGREES = 8
"""Legendre polynomials over a burst, degrees 0 to 7: enough for a Doppler shift times burst duration of 1.5."""
CACHE_SIZE = 4
"""Resource grids kept in the cache; few, since forged headers can ask for any length up to 341 symbols."""


class ResourceGrid:
    """Positions of reference and payload symbols in a burst.

    Reference symbols are listed by OFDM symbol, then by carrier.

    Args:
        n_symbols: OFDM symbols after the preamble, the three of the header included.
    """

    def __init__(self, n_symbols: int) -> None:
        self.n_symbols = n_symbols
        self.is_pilot = WAVEFORM.pilot_mask(n_symbols)
        """Positions of pilots, [n_symbols, 204] bool."""
        is_reference = self.is_pilot.copy()
        is_reference[: WAVEFORM.n_header_symbols] = True
        self.rows, self.columns = (indices.astype(np.intp) for indices in np.nonzero(is_reference))
        """OFDM symbol and carrier index (0 to 203) of each reference symbol, [n_reference] each."""
        self.reference_index: Indices = np.flatnonzero(is_reference)
        """Indices of the reference symbols in the flattened grid, [n_reference]."""
        self.payload_index: Indices = np.flatnonzero(~is_reference)
        """Indices of the payload symbols in the flattened grid, in the order in which they are filled."""
        self.n_payload = n_symbols - WAVEFORM.n_header_symbols - self.is_pilot[WAVEFORM.n_header_symbols :].sum(0)
        """Number of payload symbols on each carrier, [204]."""
        self.n_header_reference = WAVEFORM.n_header_symbols * WAVEFORM.n_occupied
        """Number of reference symbols in the header's OFDM symbols; they come first in the list."""
        self.first_reference: Indices = np.searchsorted(self.rows, np.arange(n_symbols))
        """Index of the first reference symbol of each OFDM symbol, [n_symbols]; every OFDM symbol has some."""
        self._is_header_element = ~self.is_pilot[: WAVEFORM.n_header_symbols].ravel()
        self._pilots = np.where(is_reference, WAVEFORM.pilot_grid(n_symbols), 0).ravel()[self.reference_index]
        self.times = symbol_times(n_symbols)
        """Centre of each OFDM symbol in samples from the centre of the preamble, [n_symbols]."""

    def reference_values(self, header_symbols: ComplexArray) -> ComplexArray:
        """Values of the reference symbols as sent.

        Args:
            header_symbols: Symbols of the header, [581] complex64, from `header.encode_header`.

        Returns:
            [n_reference] complex64, unit energy.
        """
        values = self._pilots.copy()
        values[: self.n_header_reference][self._is_header_element] = header_symbols
        return values

    def sum_symbols(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum over the reference symbols of each OFDM symbol, [..., n_reference] to [..., n_symbols]."""
        return np.asarray(np.add.reduceat(values, self.first_reference, axis=-1))

    def sum_carriers(self, values: Complex) -> Complex:
        """Sum over the reference symbols of each carrier, [n_reference] complex to [204] complex128."""
        n = WAVEFORM.n_occupied
        return np.asarray(
            np.bincount(self.columns, values.real, n) + 1j * np.bincount(self.columns, values.imag, n), np.complex128
        )

    @cached_property
    def n_reference(self) -> Float:
        """Number of reference symbols in each OFDM symbol, [n_symbols] float64."""
        return np.diff(np.append(self.first_reference, len(self.rows))).astype(np.float64)

    @cached_property
    def slopes(self) -> Float:
        """Phase of each reference symbol in cycles per ppm of clock error, [n_reference]."""
        return np.asarray(1e-6 / WAVEFORM.n_fft * self.times[self.rows] * WAVEFORM.carriers[self.columns])

    @cached_property
    def drift_design(self) -> tuple[Float, Float]:
        """Design matrix of the drift model, for Gauss-Newton steps.

        Returns:
            Phase in radians of each reference symbol per scaled unit of constant phase, carrier and clock error,
            [n_reference, 3]; and the units in radians, cycles per sample and ppm, [3]. The units make the columns
            alike in size, which keeps the normal equations well conditioned.
        """
        at = self.times[self.rows]
        units = np.array([1.0, 1 / self.times.max(), 1 / (2 * np.pi * self.clock_reach)])
        return np.stack([np.ones(len(at)), 2 * np.pi * at, 2 * np.pi * self.slopes], axis=1) * units, units

    @cached_property
    def clock_reach(self) -> float:
        """Phase in cycles per ppm of clock error at the outermost carrier (0.4 n_fft) and the last symbol."""
        return 1e-6 * float(self.times.max()) * 0.4

    @cached_property
    def sfo_phasors(self) -> tuple[Float, ComplexArray]:
        """Grid of clock errors in ppm, [n], and the phasors that correct each, [n, n_reference] complex64."""
        step = min(MAX_SFO_PPM, CLOCK_STEP / self.clock_reach)
        clocks = np.arange(-MAX_SFO_PPM, MAX_SFO_PPM + 1e-9, step)
        return clocks, phasor(-np.outer(clocks, self.slopes))

    @cached_property
    def polynomials(self) -> tuple[Float, Float]:
        """Legendre polynomials of unit mean square over the time from the preamble to the last symbol.

        Returns:
            Values at each OFDM symbol, [n_symbols, 8], and at the preamble, [8].
        """
        at = 2 * np.concatenate([[0.0], self.times]) / self.times[-1] - 1
        degrees = np.arange(MAX_DEGREES)
        values = scipy.special.eval_legendre(degrees, at[:, None]) * np.sqrt(2 * degrees + 1)
        return values[1:], values[0]

    @cached_property
    def at_reference(self) -> Float:
        """Values of `polynomials` at the reference symbols, [8, n_reference]."""
        return np.ascontiguousarray(self.polynomials[0][self.rows].T)

    @cached_property
    def kernels(self) -> Float:
        """Gaussian weights between OFDM symbols for each of `WIDTHS`, [6, n_symbols, n_symbols]."""
        at = np.arange(self.n_symbols)
        distance = np.abs(np.subtract.outer(at, at))
        return np.asarray([np.exp(-0.5 * (distance / width) ** 2) for width in WIDTHS])


def phasor(cycles: npt.NDArray[np.floating[Any]]) -> ComplexArray:
    """Unit phasors exp(2 pi i cycles).

    Args:
        cycles: Phase in cycles, any shape.

    Returns:
        Same shape, complex64, accurate to 1e-6 at any phase: whole cycles are removed in double precision first.
    """
    angle = ((cycles - np.round(cycles)) * (2 * np.pi)).astype(np.float32)
    result = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=result.real)
    np.sin(angle, out=result.imag)
    return result


def symbol_times(n_symbols: int) -> Float:
    """Centre of each OFDM symbol's FFT window in samples from the centre of the preamble's windows, [n_symbols]."""
    to_first = WAVEFORM.preamble_len - WAVEFORM.n_fft + WAVEFORM.n_fft / 2
    result: Float = to_first + WAVEFORM.symbol_len * np.arange(n_symbols, dtype=np.float64)
    return result


@lru_cache(maxsize=CACHE_SIZE)
def resource_grid_of(n_symbols: int) -> ResourceGrid:
    """Resource grid of a burst from a cache.

    Args:
        n_symbols: OFDM symbols after the preamble, header included, 4 to 341.
    """
    return ResourceGrid(n_symbols)
