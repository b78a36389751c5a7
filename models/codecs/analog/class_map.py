# SPDX-License-Identifier: GPL-3.0-or-later
"""Arithmetic coding of the class map and the importance map; NumPy only.

The context of a class is its left, upper and upper right neighbour, with frequencies from training photographs. The
binary importance map has an adaptive model with the left and the upper neighbour as context.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from gened.models.codecs.analog.range_coder import RangeDecoder, RangeEncoder
from gened.models.codecs.analog.statistics import FREQUENCY_TOTAL

IntMap = npt.NDArray[np.int64]
MASK_ODDS = 64
"""Total of the flag that a map has no importance, which costs log2(64/63) bits."""
MAX_COUNT = 1 << 12
"""Sum of the counts of a context from which both are halved."""


def neighbours(classes: IntMap, outside: int) -> tuple[IntMap, IntMap, IntMap]:
    """Left, upper and upper right neighbour of each block of a map [rows, columns]; `outside` beyond its borders."""
    padded = np.pad(classes, ((1, 0), (1, 1)), constant_values=outside)
    return padded[1:, :-2], padded[:-1, 1:-1], padded[:-1, 2:]


def count_contexts(classes: IntMap, n: int) -> npt.NDArray[np.int64]:
    """Number of occurrences of each class in each context, [n+1, n+1, n+1, n]."""
    left, up, right = neighbours(classes, n)
    counts = np.zeros((n + 1, n + 1, n + 1, n), np.int64)
    np.add.at(counts, (left, up, right, classes), 1)
    return counts


def table_bits(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Code length of each class in each context, bits, shaped as `frequencies`."""
    bits: npt.NDArray[np.float64] = -np.log2(frequencies / FREQUENCY_TOTAL)
    return bits


def map_bits(classes: IntMap, frequencies: npt.NDArray[np.int64]) -> float:
    """Code length of a map, bits, with an error of at most two."""
    left, up, right = neighbours(classes, frequencies.shape[-1])
    return float(table_bits(frequencies)[left, up, right, classes].sum())


def encode_maps(classes: IntMap, frequencies: npt.NDArray[np.int64], weight_code: int, mask: IntMap | None) -> bytes:
    """The maps as bytes.

    Args:
        classes: [rows, columns] in 0 .. n-1.
        frequencies: See `Statistics`.
        weight_code: 1 to 255 with a mask, ignored without one.
        mask: [rows, columns] of 0 and 1, or None.
    """
    coder = RangeEncoder()
    n = frequencies.shape[-1]
    ends = np.cumsum(frequencies, axis=-1)
    left, up, right = neighbours(classes, n)
    end = ends[left, up, right, classes].ravel().tolist()
    size = frequencies[left, up, right, classes].ravel().tolist()
    for stop, width in zip(end, size, strict=True):
        coder.encode(stop - width, stop, FREQUENCY_TOTAL)
    coder.encode(*((0, MASK_ODDS - 1) if mask is None else (MASK_ODDS - 1, MASK_ODDS)), MASK_ODDS)
    if mask is not None:
        coder.encode(weight_code, weight_code + 1, 256)
        counts: dict[tuple[int, int], list[int]] = {}
        left, up, _ = neighbours(mask, 2)
        contexts = zip(left.ravel().tolist(), up.ravel().tolist(), strict=True)
        for context, bit in zip(contexts, mask.ravel().tolist(), strict=True):
            zeros, ones = counts.setdefault(context, [1, 1])
            coder.encode(*((zeros, zeros + ones) if bit else (0, zeros)), zeros + ones)
            _grow(counts[context], bit)
    return coder.finish()


def _grow(count: list[int], bit: int) -> None:
    count[bit] += 2
    if sum(count) > MAX_COUNT:
        count[:] = [(value + 1) // 2 for value in count]


def decode_maps(
    data: bytes, shape: tuple[int, int], frequencies: npt.NDArray[np.int64]
) -> tuple[IntMap, int, IntMap | None]:
    """Class map, weight code and mask of any bytes; never raises.

    Args:
        data: Result of `encode_maps`, or any other bytes.
        shape: Rows and columns.
        frequencies: See `Statistics`.
    """
    coder = RangeDecoder(data)
    n = frequencies.shape[-1]
    ends: list[list[int]] = np.cumsum(frequencies, axis=-1).reshape(-1, n).tolist()
    rows, columns = shape
    above, classes = [n] * (columns + 1), []
    for _ in range(rows):
        row, last = [], n
        for column in range(columns):
            table = ends[(last * (n + 1) + above[column]) * (n + 1) + above[column + 1]]
            last = bisect_right(table, coder.target(FREQUENCY_TOTAL))
            coder.consume(table[last - 1] if last else 0, table[last], FREQUENCY_TOTAL)
            row.append(last)
        above = [*row, n]
        classes.append(row)
    result = np.array(classes, np.int64)
    if coder.target(MASK_ODDS) < MASK_ODDS - 1:
        return result, 0, None
    coder.consume(MASK_ODDS - 1, MASK_ODDS, MASK_ODDS)
    weight_code = coder.target(256)
    coder.consume(weight_code, weight_code + 1, 256)
    return result, weight_code, _decode_mask(coder, shape)


def _decode_mask(coder: RangeDecoder, shape: tuple[int, int]) -> IntMap:
    rows, columns = shape
    counts: dict[tuple[int, int], list[int]] = {}
    above, mask = [2] * columns, []
    for _ in range(rows):
        row, last = [], 2
        for column in range(columns):
            count = counts.setdefault((last, above[column]), [1, 1])
            zeros, total = count[0], sum(count)
            last = int(coder.target(total) >= zeros)
            coder.consume(*((zeros, total) if last else (0, zeros)), total)
            _grow(count, last)
            row.append(last)
        above = row
        mask.append(row)
    return np.array(mask, np.int64)
