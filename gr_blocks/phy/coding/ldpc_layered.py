# SPDX-License-Identifier: GPL-3.0-or-later
"""Many blocks of one LDPC code decoded together: layered minimum-sum on 16-bit integers, a block a column.

The `ldpc` package decodes block by block; here NumPy works on all blocks of a payload at once, a row of the base matrix
after the other. It pays from two of the longest blocks on. Rows that share no column are one layer.

    llr -> totals [24 z, B] --+--> less the layer's old messages --> the two smallest, all signs --> new messages --+
                              ^-------------------------------------------------------------------------------------+

Holds no state: any number of threads may decode at once.

References:
    Hocevar, "A reduced complexity decoder architecture via layered decoding of LDPC codes", IEEE SiPS 2004.
    Chen and Fossorier, "Near optimum universal belief propagation based decoding of LDPC codes", IEEE Trans. Commun.
    50(3), 2002: the scaled messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.coding.ldpc_matrices import N_COLUMNS, CodeRate, shifts

Int16 = npt.NDArray[np.int16]
Indices = npt.NDArray[np.int64]

MAX_ITERATIONS = 40
BATCH = 64
"""Blocks that are decoded at once: totals and messages of the longest code, 1.2 MB, stay in a core's second cache."""
STEPS = 16
"""Integers to one unit of LLR."""
CHANNEL_LIMIT = 2047
MESSAGE_LIMIT = 4095
"""Nothing overflows: a bit has at most six checks, and 2047 + 6 x 4095 < 2^15."""
SURE = 16000
"""The bit that fills up rows with fewer bits than their layer's longest: surely 0, and beyond all messages."""


@dataclass(frozen=True)
class _Schedule:
    layers: tuple[Indices, ...]
    """Bits of each layer's checks, [degree, n_checks]; 24 z is the bit that fills up."""
    checks: Indices
    """All of them, [largest degree, rows z]."""


def _groups(code_rate: CodeRate) -> list[list[int]]:
    """Rows of the base matrix that share no column, by the first that fits."""
    used = shifts(code_rate, 96) >= 0
    groups: list[list[int]] = []
    for row in range(len(used)):
        free = (group for group in groups if not (used[row] & used[group].any(0)).any())
        group = next(free, None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    return groups


@lru_cache(maxsize=64)
def _schedule(code_rate: CodeRate, z: int) -> _Schedule:
    matrix, inner = shifts(code_rate, z), np.arange(z)
    layers = []
    for group in _groups(code_rate):
        degree = int((matrix[group] >= 0).sum(1).max())
        layer = np.full((degree, len(group), z), N_COLUMNS * z)
        for place, row in enumerate(group):
            for index, column in enumerate(np.flatnonzero(matrix[row] >= 0)):
                layer[index, place] = column * z + (inner + matrix[row, column]) % z
        layers.append(layer.reshape(degree, -1))
    degree = max(len(layer) for layer in layers)
    filled = [np.pad(one, ((0, degree - len(one)), (0, 0)), constant_values=N_COLUMNS * z) for one in layers]
    return _Schedule(tuple(layers), np.concatenate(filled, axis=1))


def _messages(values: Int16) -> Int16:
    """What each check tells each of its bits from all others, [degree, n_checks, B], of the bits' own values.

    All by masks of -1 and 0: `where` takes longer than everything here together, and a number in place of an array
    keeps NumPy from using wide registers in `minimum`.
    """
    signs = np.bitwise_xor.reduce(values, axis=0)
    size: Int16 = np.abs(values)
    least = size.min(axis=0)
    result: Int16 = size - least
    result -= 1
    result >>= 15  # -1 at the least, 0 elsewhere
    n_least = np.add.reduce(result, axis=0, dtype=np.int16)  # -1, or below where several are the least
    size |= result
    second = size.view(np.uint16).min(axis=0).view(np.int16)  # 65535 at the least
    n_least += 1
    n_least >>= 15
    second += n_least & (least - second)
    for one in (least, second):
        np.minimum(one, MESSAGE_LIMIT, out=one)
        one -= one >> 2  # times 3/4
    second -= least
    result &= second
    result += least
    signs = values ^ signs
    signs >>= 15
    result ^= signs
    result -= signs
    return result


def _failing(totals: Int16, checks: Indices) -> npt.NDArray[np.bool_]:
    """Blocks with a check that does not hold or a bit of which nothing is known, [B]: all zeros is a codeword, too."""
    ones = (totals < 0).view(np.uint8)
    parity = np.bitwise_xor.reduce(ones.take(checks, axis=0), axis=0)
    fails = parity.any(axis=0)
    for column in np.flatnonzero(~fails):  # few at a time
        fails[column] = not totals[:, column].all()
    return np.asarray(fails)


def decode_batch(
    code_rate: CodeRate, z: int, llr: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """LLRs from the channel to LLRs a posteriori.

    Args:
        code_rate: Of the code.
        z: Its expansion factor.
        llr: [B, 24 z], positive means 1.

    Returns:
        LLRs a posteriori, [B, 24 z] float32, whose signs are the decisions; a block that failed believes too much of
        itself. And whether all bits are decided and all parity checks hold, [B].
    """
    parts = [_decode(_schedule(code_rate, z), llr[first : first + BATCH]) for first in range(0, len(llr), BATCH)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _decode(schedule: _Schedule, llr: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    n_blocks, n = llr.shape
    totals = np.empty((n + 1, n_blocks), np.int16)  # positive means 0 in here
    totals[:n] = np.clip(np.rint(-STEPS * llr.T), -CHANNEL_LIMIT, CHANNEL_LIMIT)
    totals[n] = SURE
    old = [np.zeros((*layer.shape, n_blocks), np.int16) for layer in schedule.layers]
    result, converged = np.zeros((n_blocks, n), np.int16), np.zeros(n_blocks, bool)
    columns = np.arange(n_blocks)  # the block of each column; those that are done stay until half of them are
    for iteration in range(MAX_ITERATIONS + 1):
        fails = _failing(totals, schedule.checks)
        done = ~fails & ~converged[columns]
        if done.any():
            result[columns[done]], converged[columns[done]] = totals[:n, done].T, True
        open_ = ~converged[columns]
        if iteration == MAX_ITERATIONS or not open_.any():
            break
        if 2 * open_.sum() <= len(columns):
            columns, totals = columns[open_], np.ascontiguousarray(totals[:, open_])
            old = [np.ascontiguousarray(messages[:, :, open_]) for messages in old]
        for index, layer in enumerate(schedule.layers):
            values = totals.take(layer, axis=0)
            values -= old[index]
            old[index] = _messages(values)
            values += old[index]
            totals[layer] = values
            totals[n] = SURE
    result[columns[open_]] = totals[:n, open_].T
    return (result * np.float32(-1 / STEPS)), converged
