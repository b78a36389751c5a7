# SPDX-License-Identifier: GPL-3.0-or-later
"""Prior statistics of blocks: for each class a mean, an orthonormal transform and variances; NumPy only.

The class map names classes 0 to n-2; the last one is the common class of all blocks, for pictures without a map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.models.codecs.analog.blocks import VALUES

VARIANCE_UNIT = 2.0**-24
"""Unit of the variances, which are integers so that both ends choose the same coefficients on any machine."""
FREQUENCY_TOTAL = 4096
"""Sum of each context's symbol frequencies."""

MAX_ROUNDING = 0.01
"""Largest error of the rows' inner products; half precision causes a tenth of it."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BlockClass:
    """Statistics of one class of blocks."""

    mean: Float32Array
    """[768]."""
    basis: Float32Array
    """[n, 768], rows orthonormal."""
    variance_q: npt.NDArray[np.int64]
    """[n], falling, in `VARIANCE_UNIT`, at least 1."""
    total_variance: float
    """Sum over all 768 coefficients, including those without a row in `basis`."""

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """[n]."""
        return self.variance_q * VARIANCE_UNIT


@dataclass(frozen=True)
class Statistics:
    """The trained statistics of the linear code."""

    classes: tuple[BlockClass, ...]
    """The classes of the map, then the common class."""
    frequencies: npt.NDArray[np.int64]
    """Frequencies of a class given its left, upper and upper right neighbour (n: outside), [n+1, n+1, n+1, n]; each row
    sums to 4096."""
    thresholds: npt.NDArray[np.float64]
    """Activities between the initial classes, [n-1]; see `choose.by_activity`."""

    @property
    def n_map_classes(self) -> int:
        """Number of classes of the map."""
        return len(self.classes) - 1

    @property
    def common(self) -> int:
        """Index of the common class."""
        return len(self.classes) - 1


def orthonormal(rows: npt.NDArray[np.floating[Any]]) -> Float32Array:
    """The nearest orthonormal rows, [n, m]; they undo the rounding to half precision.

    Symmetric orthogonalisation (Löwdin): G^(-1/2) R with G = R R^T.

    Raises:
        ValueError: The rows differ from orthonormal ones by more than rounding.
    """
    rows = rows.astype(np.float64)
    gram = rows @ rows.T
    if not np.abs(gram - np.eye(len(rows))).max(initial=0) < MAX_ROUNDING:
        raise ValueError("the transforms' rows are not orthonormal")
    values, vectors = np.linalg.eigh(gram)
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T @ rows, np.float32)


def to_tensors(statistics: Statistics) -> dict[str, npt.NDArray[Any]]:
    """Tensors for safetensors: transforms in half precision, variances as integers."""
    classes = statistics.classes
    tensors = {
        "basis": np.concatenate([entry.basis for entry in classes]).astype(np.float16),
        "mean": np.stack([entry.mean for entry in classes]).astype(np.float16),
        "variance_q": np.concatenate([entry.variance_q for entry in classes]).astype(np.int32),
        "n_rows": np.array([len(entry.basis) for entry in classes], np.int32),
        "total_variance": np.array([entry.total_variance for entry in classes], np.float32),
        "frequencies": statistics.frequencies.astype(np.uint16),
        "thresholds": statistics.thresholds.astype(np.float32),
    }
    return {
        name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()
    }  # safetensors writes memory as it lies


def from_tensors(tensors: dict[str, npt.NDArray[Any]]) -> Statistics:
    """The inverse of `to_tensors`.

    Raises:
        ValueError: Malformed shapes or values.
        KeyError: A tensor is missing.
    """
    n_rows = tensors["n_rows"].astype(int)
    borders = np.concatenate([[0], np.cumsum(n_rows)])
    n = len(n_rows) - 1
    frequencies = tensors["frequencies"].astype(np.int64)
    variance_q = tensors["variance_q"].astype(np.int64)
    if tensors["basis"].shape != (borders[-1], VALUES) or tensors["mean"].shape != (n + 1, VALUES):
        raise ValueError("transforms or means have another shape")
    if (
        frequencies.shape != (n + 1, n + 1, n + 1, n)
        or frequencies.min() < 1
        or (frequencies.sum(-1) != FREQUENCY_TOTAL).any()
    ):
        raise ValueError("the class map's frequencies are not a table of probabilities")
    if variance_q.shape != (borders[-1],) or variance_q.min() < 1:
        raise ValueError("variances are not positive, or not as many as the transforms' rows")
    classes = tuple(
        BlockClass(
            mean=tensors["mean"][i].astype(np.float32),
            basis=orthonormal(tensors["basis"][begin:end]),
            variance_q=variance_q[begin:end],
            total_variance=float(tensors["total_variance"][i]),
        )
        for i, (begin, end) in enumerate(zip(borders[:-1], borders[1:], strict=True))
    )
    return Statistics(classes, frequencies, tensors["thresholds"].astype(np.float64))
