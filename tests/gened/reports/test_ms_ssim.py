# SPDX-License-Identifier: GPL-3.0-or-later
"""MS-SSIM without PyTorch is MS-SSIM with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gened.models.codecs.base import Picture
from gened.models.evaluation.metrics import pixel_metrics
from gened.reports.ms_ssim import ms_ssim


def picture(height: int, width: int, seed: int, blur: float) -> Picture:
    """Noise with structure of many sizes, in [0, 1]."""
    noise = np.random.default_rng(seed).standard_normal((3, height, width))
    smooth = gaussian_filter(noise, (0, blur, blur))
    return np.clip(0.5 + 0.2 * smooth / smooth.std() + 0.02 * noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (161, 200), (333, 187), (177, 161)])
@pytest.mark.parametrize("distortion", ["noise", "blur", "shift", "inverse", "equal", "grey"])
def test_it_equals_pytorch_msssim(height: int, width: int, distortion: str) -> None:
    pytest.importorskip("pytorch_msssim", reason="an extra: networks")
    x = picture(height, width, seed=1, blur=3.0)
    noise = np.random.default_rng(2).standard_normal(x.shape)
    x_hat = {
        "noise": np.clip(x + 0.1 * noise, 0, 1),
        "blur": gaussian_filter(x, (0, 2, 2)),
        "shift": np.clip(np.roll(x, 3, 2) + 0.05, 0, 1),
        "inverse": 1 - x,
        "equal": x,
        "grey": np.full_like(x, 0.5),
    }[distortion].astype(np.float32)
    expected = pixel_metrics.ms_ssim(x, x_hat)
    assert ms_ssim(x, x_hat) == pytest.approx(expected, abs=1e-4)


def test_values_that_one_knows() -> None:
    x = picture(200, 180, seed=3, blur=5.0)
    assert ms_ssim(x, x) == pytest.approx(1.0, abs=1e-6)
    assert ms_ssim(x, 1 - x) == 0.0  # structure of the opposite sign


def test_pictures_too_small_for_five_scales_have_none() -> None:
    x = picture(160, 200, seed=4, blur=2.0)
    assert ms_ssim(x, x) is None
