# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: choice and powers of the coefficients, computed alike at both ends from common knowledge; NumPy only.

A group is a set of blocks with the same variances and weight. Coefficient i of group g has variance lambda and
weight w; the N largest w lambda of the whole picture are sent. Keys are integers and
ties are broken by group and number, so all machines agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.models.codecs.analog.statistics import VARIANCE_UNIT

WEIGHT_UNIT = 1 / 16
"""Unit of the importance weights, which are integers in it."""

Float64Array = npt.NDArray[np.float64]


class Group(NamedTuple):
    """Blocks of one class and one weight."""

    variance_q: npt.NDArray[np.int64]
    """[n] falling, in `VARIANCE_UNIT`."""
    weight_q: int
    """In `WEIGHT_UNIT`."""
    n_blocks: int


@dataclass(frozen=True)
class Plan:
    """Coefficients and powers of each group."""

    n_sent: npt.NDArray[np.int64]
    """[groups] coefficients that all blocks of the group send."""
    extra: tuple[int, int]
    """(group, blocks): the first blocks of this group send one more coefficient."""
    power: tuple[Float64Array, ...]
    """Powers of each group's coefficients, [n_sent or n_sent + 1]; 0 below the water level."""
    level: float
    """m of the water-filling."""
    threshold: int
    """The smallest w lambda sent, in `VARIANCE_UNIT * WEIGHT_UNIT`."""
    power_price: float
    """Decrease of the squared error per unit of power."""
    dimension_price: float
    """Decrease of the squared error per real dimension."""


def make_plan(groups: list[Group], n_symbols: int, snr_db: float) -> Plan:
    """The largest w lambda, with reverse water-filling: p = m sqrt(w lambda) - sigma^2 or 0, sum p = n_symbols.

    Args:
        groups: Groups of the picture; may have no blocks.
        n_symbols: Complex symbols, 2 real dimensions each.
        snr_db: Es/N0; sigma^2 is half the noise variance.

    References:
        Lee and Petersen, "Optimal linear coding for vector channels", IEEE Trans. Commun. 24(12), 1976.
    """
    sigma2 = 10 ** (-snr_db / 10) / 2
    owner = np.repeat(np.arange(len(groups)), [len(group.variance_q) for group in groups])
    key = np.concatenate([group.variance_q * group.weight_q for group in groups])
    counts = np.array([group.n_blocks for group in groups], np.int64)[owner]
    order = np.argsort(-key, kind="stable")
    order = order[counts[order] > 0]
    filled = np.cumsum(counts[order])
    n_whole = int(np.searchsorted(filled, 2 * n_symbols, side="right"))
    n_sent = np.bincount(owner[order[:n_whole]], minlength=len(groups)).astype(np.int64)
    used = counts[order[: n_whole + 1]].astype(np.float64)
    extra = (0, 0)
    if n_whole < len(order):
        left = 2 * n_symbols - (int(filled[n_whole - 1]) if n_whole else 0)
        extra = (int(owner[order[n_whole]]), left)
        used[n_whole] = left
    amplitude = np.sqrt(key[order[: n_whole + 1]] * (VARIANCE_UNIT * WEIGHT_UNIT))
    level = _water_level(amplitude, used, n_symbols, sigma2)
    rows = n_sent + np.array([extra[1] > 0 and extra[0] == i for i in range(len(groups))])
    power = tuple(
        np.maximum(0.0, level * np.sqrt(group.variance_q[:n] * (group.weight_q * VARIANCE_UNIT * WEIGHT_UNIT)) - sigma2)
        for group, n in zip(groups, rows, strict=True)
    )
    return Plan(
        n_sent, extra, power, level, int(key[order[: n_whole + 1]].min(initial=2**62)),
        power_price=sigma2 / level**2 if level > 0 else 0.0, dimension_price=_dimension_price(amplitude, level, sigma2),
    )  # fmt: skip


def _water_level(amplitude: Float64Array, counts: Float64Array, n_symbols: int, sigma2: float) -> float:
    """The level m with sum counts * max(0, m amplitude - sigma2) = n_symbols; amplitudes fall."""
    weight = np.cumsum(counts * amplitude)
    if n_symbols <= 0 or len(weight) == 0 or weight[-1] <= 0:
        return 0.0
    levels = (n_symbols + sigma2 * np.cumsum(counts)) / np.maximum(weight, 1e-300)
    holding = np.flatnonzero((levels * amplitude > sigma2) & (weight > 0))
    return float(levels[holding[-1]]) if len(holding) else 0.0


def _dimension_price(amplitude: Float64Array, level: float, sigma2: float) -> float:
    """Gain of the weakest chosen coefficient: lambda - error - power * price of power."""
    if level <= 0 or level * amplitude[-1] <= sigma2:
        return 0.0
    # lambda - sqrt(lambda) sigma2 / m - (sigma2 / m^2) (m sqrt(lambda) - sigma2) = (sqrt(lambda) - sigma2 / m)^2
    return float((amplitude[-1] - sigma2 / level) ** 2)
