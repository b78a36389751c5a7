# SPDX-License-Identifier: GPL-3.0-or-later
"""Bjontegaard deltas between two curves, by the package `bjontegaard` with Akima interpolation.

The mean vertical distance of two curves over their common abscissas (BD-PSNR), and the mean horizontal distance over
their common ordinates (BD-rate). The horizontal distance is in dB along an SNR, and in percent along a number of
symbols, whose logarithm is the abscissa.

References:
    Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.
    Herglotz et al., "Beyond Bjontegaard: limits of video compression performance comparisons", ICIP 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]
"""[points], abscissas or ordinates."""
MIN_POINTS = 4
"""Points per curve, as in Bjontegaard's definition."""
N_BOOTSTRAP = 500


@dataclass(frozen=True)
class Delta:
    """A Bjontegaard delta with its 95 % interval; None where the curves do not allow it."""

    value: float | None
    ci95: tuple[float, float] | None


def vertical(x: Curve, y: Curve, x_test: Curve, y_test: Curve) -> float | None:
    """Mean of y_test - y over the common abscissas; None without any.

    Args:
        x: Abscissas of the reference, strictly increasing.
        y: Its ordinates.
        x_test: Abscissas of the other curve, strictly increasing.
        y_test: Its ordinates.
    """
    return _delta(x, y, x_test, y_test)


def horizontal(x: Curve, y: Curve, x_test: Curve, y_test: Curve) -> float | None:
    """Mean of x_test - x over the common ordinates; None without any, or if one of the curves is not monotonic.

    The arguments are those of `vertical`. A figure of which less is better falls along both curves.
    """
    for sign in (1.0, -1.0):
        if (np.diff(sign * y) > 0).all() and (np.diff(sign * y_test) > 0).all():
            return _delta(sign * y, x, sign * y_test, x_test)
    return None


def _delta(base: Curve, values: Curve, base_test: Curve, values_test: Curve) -> float | None:
    from bjontegaard import bd_linear  # loads matplotlib, which takes a second

    if min(len(base), len(base_test)) < MIN_POINTS:
        return None
    if min(base.max(), base_test.max()) <= max(base.min(), base_test.min()):
        return None
    found = float(
        bd_linear(
            base, values, base_test, values_test, method="akima", require_matching_points=False, min_overlap=0
        )
    )  # fmt: skip
    return found if math.isfinite(found) else None


def with_interval(
    distance: Callable[..., float | None], curves: Sequence[npt.NDArray[np.float64]], seed: int = 0
) -> Delta:
    """A distance of two mean curves, with the interval of a bootstrap over pictures.

    Args:
        distance: `vertical` or `horizontal`.
        curves: x, y, x_test, y_test, each [points, pictures]; the means over the pictures make the curves.
        seed: Seed of the resampling.

    Returns:
        The distance and its interval; None for fewer than two pictures, or where a draw of pictures has no distance.
    """
    value = distance(*(curve.mean(1) for curve in curves))
    n = curves[0].shape[1]
    if value is None or n < 2:
        return Delta(value, None)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, n, (N_BOOTSTRAP, n))
    found: list[Any] = [distance(*(curve[:, draw].mean(1) for curve in curves)) for draw in draws]
    if None in found:
        return Delta(value, None)
    low, high = np.quantile(np.array(found, np.float64), [0.025, 0.975])
    return Delta(value, (float(low), float(high)))
