# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear MMSE estimate of the spread coefficients for a noise variance per symbol."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gened.models.codecs.analog.spread import gather, spread

MAX_STEPS = 40
TOLERANCE = 1e-3
"""Relative norm of the residual at which the iteration stops; 60 dB down, far below the noise."""

Float32Array = npt.NDArray[np.float32]


def lmmse(reals: Float32Array, noise_var: Float32Array, power: Float32Array) -> Float32Array:
    """E[z | y] for y = Q diag(sqrt(power)) z + noise, z white of variance 1, Q the spreading.

    Diagonal where all noise variances are equal, as in AWGN. Otherwise (I + A' W A) z = A' W y by conjugate gradients,
    with the diagonal solution for the mean precision as preconditioner.

    Args:
        reals: Received real coordinates, [n] float32, finite.
        noise_var: Variance of each real coordinate, [n] float32, positive; inf where lost.
        power: Power of each coefficient, [n] float32; 0 for coefficients that were not sent.

    Returns:
        z, [n] float32, in units of each coefficient's standard deviation.
    """
    if len(reals) == 0:
        return reals
    precision = np.asarray(1 / noise_var, np.float32)
    mean_precision = precision.mean()
    if mean_precision == 0:
        return np.zeros_like(reals)
    amplitude = np.sqrt(power)
    diagonal = 1 + power * mean_precision
    right = amplitude * gather(np.where(precision > 0, precision * reals, np.float32(0)).astype(np.float32))
    if np.ptp(precision) <= 1e-5 * mean_precision:
        return np.asarray(right / diagonal, np.float32)
    return _conjugate_gradients(amplitude, precision, right, diagonal)


def _conjugate_gradients(
    amplitude: Float32Array, precision: Float32Array, right: Float32Array, diagonal: Float32Array
) -> Float32Array:
    z = right / diagonal
    residual = right - _normal(z, amplitude, precision)
    direction = residual / diagonal
    fall = float(np.vdot(residual, direction))
    goal = TOLERANCE**2 * float(np.vdot(right, right / diagonal))
    for _ in range(MAX_STEPS):
        if not fall > goal:
            break
        image = _normal(direction, amplitude, precision)
        step = np.float32(fall / float(np.vdot(direction, image)))
        z += step * direction
        residual -= step * image
        scaled = residual / diagonal
        last, fall = fall, float(np.vdot(residual, scaled))
        direction = scaled + np.float32(fall / last) * direction
    return z


def _normal(z: Float32Array, amplitude: Float32Array, precision: Float32Array) -> Float32Array:
    """(I + A' W A) z with A = Q diag(amplitude)."""
    return np.asarray(z + amplitude * gather(precision * spread(amplitude * z)), np.float32)
