# SPDX-License-Identifier: GPL-3.0-or-later
"""MS-SSIM of two pictures with NumPy and SciPy, so that a process that only writes a report does not load PyTorch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from gened.models.evaluation.metrics.pixel_metrics import MS_SSIM_MIN_SIDE, rounded

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, from the experiment of the reference."""
WINDOW_LEN, SIGMA = 11, 1.5
"""Length and standard deviation of the Gaussian window, in pixels."""
C1, C2 = 0.01**2, 0.03**2
"""Constants that keep the quotients finite, for values in [0, 1]."""
Picture = npt.NDArray[np.float32]
"""[3, H, W] in [0, 1]."""
Plane = npt.NDArray[np.float32]
"""[H, W], one channel."""


def ms_ssim(x: Picture, x_hat: Picture) -> float | None:
    """MS-SSIM in [0, 1], the mean over the channels, equal to pytorch-msssim within 1e-5.

    Args:
        x: [3, H, W] float32 in [0, 1].
        x_hat: The other picture, of the same shape.

    Returns:
        None for pictures too small for five scales.

    References:
        Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    """
    if min(x.shape[1:]) < MS_SSIM_MIN_SIDE:
        return None
    channels = zip(rounded(x), rounded(x_hat), strict=True)
    return float(np.mean([_channel_ms_ssim(one, two) for one, two in channels]))


def _channel_ms_ssim(x: Plane, x_hat: Plane) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        ssim, contrast = _ssim(x, x_hat)
        is_coarsest = scale == len(WEIGHTS) - 1
        product *= max(0.0, ssim if is_coarsest else contrast) ** weight
        if not is_coarsest:
            x, x_hat = _halved(x), _halved(x_hat)
    return product


def _ssim(x: Plane, x_hat: Plane) -> tuple[float, float]:
    """Mean SSIM, and mean of its contrast and structure terms alone; eq. (6) and (7) of the reference."""
    mean, mean_hat = _filtered(x), _filtered(x_hat)
    var, var_hat = _filtered(x * x) - mean * mean, _filtered(x_hat * x_hat) - mean_hat * mean_hat
    covariance = _filtered(x * x_hat) - mean * mean_hat
    contrast = (2 * covariance + C2) / (var + var_hat + C2)
    luminance = (2 * mean * mean_hat + C1) / (mean * mean + mean_hat * mean_hat + C1)
    return float(np.mean(luminance * contrast, dtype=np.float64)), float(np.mean(contrast, dtype=np.float64))


def _filtered(plane: Plane) -> Plane:
    """The plane under the Gaussian window where the window lies inside: [H - 10, W - 10]."""
    at = np.arange(WINDOW_LEN) - WINDOW_LEN // 2
    window = np.exp(-(at**2) / (2 * SIGMA**2))
    window /= window.sum()
    margin = WINDOW_LEN // 2
    down = correlate1d(plane, window, axis=0)[margin:-margin]
    both: Plane = correlate1d(down, window, axis=1)[:, margin:-margin]
    return both


def _halved(plane: Plane) -> Plane:
    """Means of 2x2 pixels; an odd side begins with a zero, as in pytorch-msssim."""
    height, width = plane.shape
    padded = np.pad(plane, ((height % 2, 0), (width % 2, 0)))
    halved: Plane = padded.reshape(len(padded) // 2, 2, -1, 2).mean((1, 3))
    return halved
