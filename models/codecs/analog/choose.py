# SPDX-License-Identifier: GPL-3.0-or-later
"""The sender's choice of the class map by rate-distortion optimisation; NumPy only.

The cost of a class for a block is a Lagrangian: squared error, plus power, real dimensions and bits of the class map,
each at its price. The prices are the derivatives of the plan's error. The receiver needs the resulting map alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gened.models.codecs.analog.blocks import activity
from gened.models.codecs.analog.class_map import IntMap, map_bits, neighbours, table_bits
from gened.models.codecs.analog.plan import WEIGHT_UNIT, Group, Plan, make_plan
from gened.models.codecs.analog.statistics import VARIANCE_UNIT, Statistics

CHUNK = 2048
"""Blocks that are processed together, which bounds the memory."""
ROUNDS = 2
"""Alternations of plan and choice; a third one changes less than 0.01 dB."""
SWEEPS = 3
ONE_ROUND_FROM = 8192
"""Number of blocks from which one round is used; 4096x4096 pixels are 65,536 blocks."""

Float32Array = npt.NDArray[np.float32]


def by_activity(blocks: Float32Array, statistics: Statistics) -> npt.NDArray[np.int64]:
    """Initial classes, by the standard deviation of luma alone, [n]."""
    return np.searchsorted(statistics.thresholds, activity(blocks)).astype(np.int64)


def class_groups(classes: npt.NDArray[np.int64], statistics: Statistics) -> list[Group]:
    """Groups of a picture without importance: one per class of the map."""
    counts = np.bincount(classes.ravel(), minlength=statistics.n_map_classes)
    unweighted = round(1 / WEIGHT_UNIT)
    return [
        Group(entry.variance_q, unweighted, int(count))
        for entry, count in zip(statistics.classes[:-1], counts, strict=True)
    ]


def choose_classes(
    blocks: Float32Array,
    shape: tuple[int, int],
    statistics: Statistics,
    *,
    snr_db: float,
    n_symbols: Callable[[float], int],
    symbols_per_bit: float,
) -> IntMap:
    """The class map of a picture, [rows, columns].

    Args:
        blocks: [rows * columns, 768].
        shape: Rows and columns.
        statistics: Statistics of the codec.
        snr_db: Design SNR.
        n_symbols: Returns the number of analogue symbols beside a map of a given number of bits.
        symbols_per_bit: Symbols that carry one bit of the map.
    """
    classes = by_activity(blocks, statistics).reshape(shape)
    for _ in range(ROUNDS if len(blocks) < ONE_ROUND_FROM else 1):
        plan = make_plan(
            class_groups(classes, statistics), n_symbols(map_bits(classes, statistics.frequencies)), snr_db
        )
        if plan.level <= 0:
            return classes
        costs = block_costs(blocks, statistics, plan, snr_db).reshape(*shape, -1)
        bit_price = symbols_per_bit * (plan.power_price + 2 * plan.dimension_price)
        classes = smooth(classes, costs, bit_price * table_bits(statistics.frequencies))
    return classes


def block_costs(blocks: Float32Array, statistics: Statistics, plan: Plan, snr_db: float) -> Float32Array:
    """Cost of each block in each class of the map, [n, classes], in squared error.

    A coefficient c of variance lambda and power p, with r = p / (p + sigma^2), has the error
    (1-r)^2 c^2 + r^2 sigma^2 lambda / p and the power p c^2 / lambda; one that is not sent has the error c^2.
    """
    sigma2 = 10 ** (-snr_db / 10) / 2
    costs = np.empty((len(blocks), statistics.n_map_classes), np.float32)
    for index, entry in enumerate(statistics.classes[:-1]):
        n = int(np.searchsorted(-entry.variance_q, -plan.threshold / (1 / WEIGHT_UNIT), side="right"))
        variance = entry.variance_q[:n] * VARIANCE_UNIT
        power = np.maximum(plan.level * np.sqrt(variance) - sigma2, 0)
        kept = power / (power + sigma2)
        slope = ((1 - kept) ** 2 - 1 + plan.power_price * power / variance).astype(np.float32)
        constant = float(np.sum(kept * (1 - kept) * variance + plan.dimension_price))
        for begin in range(0, len(blocks), CHUNK):
            centred = blocks[begin : begin + CHUNK] - entry.mean
            squares = (centred @ entry.basis[:n].T) ** 2
            costs[begin : begin + CHUNK, index] = np.einsum("nv,nv->n", centred, centred) + squares @ slope + constant
    return costs


def smooth(classes: IntMap, costs: Float32Array, price: npt.NDArray[np.float64]) -> IntMap:
    """Iterated conditional modes: each block takes the class of least cost given its neighbours.

    Args:
        classes: Initial classes, [rows, columns].
        costs: From `block_costs`, [rows, columns, n].
        price: Cost of an entry of the map given its neighbours, in squared error, [n+1, n+1, n+1, n].

    References:
        Besag, "On the statistical analysis of dirty pictures", J. Royal Statistical Society B 48(3), 1986.
    """
    n = costs.shape[-1]
    rows, columns = classes.shape
    classes = classes.copy()
    for _ in range(SWEEPS):
        for first_row, first_column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # blocks of one subset are never neighbours
            if first_row >= rows or first_column >= columns:
                continue
            y, x = (axis.ravel() for axis in np.mgrid[first_row:rows:2, first_column:columns:2])
            classes[y, x] = (costs[y, x] + _map_price(classes, y, x, price, n)).argmin(1)
    return classes


def _map_price(
    classes: IntMap, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], price: npt.NDArray[np.float64], n: int
) -> npt.NDArray[np.float64]:
    """Cost of the map for each class at (y, x), of its own entry and of those in whose context it is, [blocks, n]."""
    rows, columns = classes.shape
    left, up, right = neighbours(classes, n)
    total: npt.NDArray[np.float64] = price[left[y, x], up[y, x], right[y, x]]
    has_right, has_below, has_below_left = x + 1 < columns, y + 1 < rows, (y + 1 < rows) & (x > 0)
    at = (y[has_right], x[has_right] + 1)
    total[has_right] += price[:n, up[at], right[at], classes[at]].T
    at = (y[has_below] + 1, x[has_below])
    total[has_below] += price[left[at], :n, right[at], classes[at]]
    at = (y[has_below_left] + 1, x[has_below_left] - 1)
    total[has_below_left] += price[left[at], up[at], :n, classes[at]]
    return total
