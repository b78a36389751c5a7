# SPDX-License-Identifier: GPL-3.0-or-later
"""Resampler for a receiver's sampling clock that differs from the transmitter's: a fractional delay that grows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import ComplexArray

N_TAPS = 48
"""Length of the interpolation filter in samples."""
ORDER = 5
"""Degree of the polynomials in the fractional delay."""
_BETA = 8.0


def _farrow() -> npt.NDArray[np.float64]:
    """Polynomials in the fractional delay for each tap of a Kaiser-windowed sinc, [ORDER + 1, N_TAPS].

    The weight of a tap is a smooth function of the delay d in [0, 1) and is approximated by a polynomial (least
    squares). Farrow, "A continuously variable digital delay element", ISCAS 1988. Over the occupied 80 % of the band
    the error is below -55 dB.
    """
    d = np.linspace(0, 1, 65)
    t = np.arange(N_TAPS)[None] - (N_TAPS // 2 - 1) - d[:, None]  # [65, N_TAPS] distance from the interpolated point
    window = np.i0(_BETA * np.sqrt(np.maximum(0, 1 - (2 * t / N_TAPS) ** 2))) / np.i0(_BETA)
    weights = np.sinc(t) * window
    powers = d[:, None] ** np.arange(ORDER + 1)
    result: npt.NDArray[np.float64] = np.linalg.lstsq(powers, weights, rcond=None)[0]
    return result


class ClockResampler:
    """Resampler of a stream: output sample m is the input at time m (1 + 1e-6 sfo_ppm) - timing_offset.

    Args:
        sfo_ppm: Clock error, ppm; positive gives fewer output samples than input samples.
        timing_offset: Delay in samples, 0 or more; may be fractional.
    """

    def __init__(self, sfo_ppm: float = 0.0, timing_offset: float = 0.0) -> None:
        self._step = 1 + 1e-6 * sfo_ppm
        self._is_plain = sfo_ppm == 0 and float(timing_offset).is_integer()
        n_delay = int(np.floor(timing_offset))
        self._next = (
            1.0 - (timing_offset - n_delay) if timing_offset != n_delay else 0.0
        )  # time of the next output, from the buffer's centre
        n_delay += int(timing_offset != n_delay)
        self._buffer = np.zeros(n_delay + (0 if self._is_plain else N_TAPS // 2 - 1), np.complex64)
        self._filters = _farrow().astype(np.float32)

    def process(self, samples: ComplexArray) -> ComplexArray:
        """Resample the next chunk.

        Args:
            samples: [n] complex64.

        Returns:
            [about n] complex64; half the length of the filter stays in the buffer.
        """
        if self._is_plain:
            joined = np.concatenate([self._buffer, samples])
            self._buffer = joined[len(samples) :]
            return np.asarray(joined[: len(samples)], np.complex64)
        self._buffer = np.concatenate([self._buffer, samples]).astype(np.complex64)
        n_places = len(self._buffer) - N_TAPS + 1  # input times 0 .. n_places - 1 have their whole filter
        if n_places <= 0:
            return np.zeros(0, np.complex64)
        count = max(0, int(np.ceil((n_places - self._next) / self._step)))
        times = self._next + self._step * np.arange(count)
        count = int(np.searchsorted(times, n_places))  # rounding at the very end
        times = times[:count]
        whole = np.floor(times).astype(np.int64)
        fraction = (times - whole).astype(np.float32)
        result = np.zeros(count, np.complex64)
        for coefficients in self._filters[::-1]:  # Horner
            result = result * fraction + np.convolve(self._buffer, coefficients[::-1], "valid")[whole]
        following = self._next + self._step * count
        drop = min(int(following), n_places)
        self._next = following - drop
        self._buffer = self._buffer[drop:]
        return result.astype(np.complex64)
