# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear code from which `deepjscc` begins: principal components of patches of training photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.models.data.training_set import CropSampler


class LinearCode(NamedTuple):
    """An orthonormal transform with the statistics of its coefficients."""

    basis: npt.NDArray[np.float32]
    """[n, 3 patch^2], rows orthonormal, channel-major (c, y, x)."""
    mean: npt.NDArray[np.float32]
    """[3 patch^2]."""
    variance: npt.NDArray[np.float32]
    """Of the coefficients, [n], in falling order."""


def fit_linear_code(
    sampler: CropSampler,
    *,
    patch: int,
    n: int,
    n_crops: int,
    first: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> LinearCode:
    """Principal components of the patches of `n_crops` crops.

    Args:
        sampler: Source of the crops; its crop size is a multiple of `patch`.
        patch: Side of a patch in pixels.
        n: Components kept.
        n_crops: Number of crops.
        first: Number of the first crop.
        report: Receives the number of crops that have been used, and of all.
    """
    size = 3 * patch * patch
    total = np.zeros(size)
    products = np.zeros((size, size))
    count = 0
    per_side = sampler.crop // patch
    for start in range(first, first + n_crops, 512):
        crops = sampler.batch(start, min(512, first + n_crops - start)).astype(np.float32) / 255
        patches = (
            crops.reshape(len(crops), 3, per_side, patch, per_side, patch).transpose(0, 2, 4, 1, 3, 5).reshape(-1, size)
        )
        total += patches.sum(0, dtype=np.float64)
        products += patches.T @ patches
        count += len(patches)
        report(start - first + len(crops), n_crops)
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    order = np.argsort(values)[::-1][:n]
    variance = np.maximum(values[order], 1e-7)
    return LinearCode(vectors[:, order].T.astype(np.float32), mean.astype(np.float32), variance.astype(np.float32))
