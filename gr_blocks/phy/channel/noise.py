# SPDX-License-Identifier: GPL-3.0-or-later
"""Complex Gaussian noise."""

from __future__ import annotations

import numpy as np

from gened.gr_blocks.phy.types import ComplexArray


def complex_noise(rng: np.random.Generator, n: int, variance: float) -> ComplexArray:
    """Circular complex Gaussian noise.

    Args:
        rng: Source of randomness.
        n: Number of samples.
        variance: Whole complex variance, half of it in each real dimension.

    Returns:
        [n] complex64.
    """
    pairs = rng.standard_normal(2 * n, dtype=np.float32) * np.float32(np.sqrt(variance / 2))
    return pairs.view(np.complex64)
