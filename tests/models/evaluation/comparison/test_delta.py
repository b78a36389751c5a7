# SPDX-License-Identifier: GPL-3.0-or-later
"""Bjontegaard deltas against curves whose distance is known, and against an integration by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator

from gened.models.evaluation.comparison.delta import horizontal, vertical, with_interval

X = np.array([1.0, 4.0, 7.0, 10.0])
Y = np.array([22.0, 24.5, 26.0, 27.0])


def test_curves_at_a_constant_distance_have_that_delta() -> None:
    assert vertical(X, Y, X, Y + 0.75) == pytest.approx(0.75)
    assert horizontal(X, Y, X - 1.5, Y) == pytest.approx(-1.5)
    assert vertical(X, Y, X, Y) == pytest.approx(0) and horizontal(X, Y, X, Y) == pytest.approx(0)


def test_the_package_integrates_as_scipy_does() -> None:
    other = np.array([21.0, 25.0, 26.5, 26.8])
    grid = np.linspace(1, 10, 200_001)
    by_scipy = np.mean(Akima1DInterpolator(X, other)(grid) - Akima1DInterpolator(X, Y)(grid))
    assert vertical(X, Y, X, other) == pytest.approx(by_scipy, abs=1e-4)
    grid = np.linspace(22, 26.8, 200_001)  # the ordinates that both reach
    by_scipy = np.mean(Akima1DInterpolator(other, X)(grid) - Akima1DInterpolator(Y, X)(grid))
    assert horizontal(X, Y, X, other) == pytest.approx(by_scipy, abs=1e-4)


def test_a_figure_of_which_less_is_better_has_a_horizontal_distance_too() -> None:
    assert horizontal(X, -Y, X - 1.5, -Y) == pytest.approx(-1.5)


def test_what_has_no_delta_is_unknown() -> None:
    assert vertical(X[:3], Y[:3], X, Y) is None  # three points
    assert vertical(X, Y, X + 20, Y) is None  # nothing in common
    assert horizontal(X, Y, X, Y + 20) is None
    assert horizontal(X, Y, X, Y[[0, 2, 1, 3]]) is None  # not monotonic
    assert horizontal(X, Y, X, -Y) is None


def test_the_interval_is_over_pictures() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(X[:, None], 12, 1)
    y = Y[:, None] + rng.normal(0, 3, 12)  # pictures of unequal difficulty
    gain = rng.normal(0.5, 0.3, 12)
    found = with_interval(vertical, (x, y, x, y + gain))
    assert found.value == pytest.approx(gain.mean())
    assert found.ci95 is not None and found.ci95[0] < gain.mean() < found.ci95[1]
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.96 * gain.std() / np.sqrt(12), rel=0.3)
    assert with_interval(vertical, (x, y, x, y + gain)) == found
    alone = with_interval(vertical, (x[:, :1], y[:, :1], x[:, :1], y[:, :1] + 1))
    assert alone.value == pytest.approx(1) and alone.ci95 is None
