# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of pixels and masks, by their definition or by the common library; they load no network."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from gened.models.codecs.base import Map, Picture

MS_SSIM_MIN_SIDE = 161
"""Five scales with an 11-pixel window need more than 160 pixels a side."""
N_BOOTSTRAP = 2000
F_BETA_SQUARED = 0.3
"""beta^2 < 1 weighs precision above recall, as usual in salient object detection (Achanta et al., CVPR 2009)."""
MASK_FOUND = 0.5
"""Threshold of a receiver's mask for foreground."""


def rounded(x: Picture) -> Picture:
    """The picture as a file of 8 bits holds it, [3, H, W] float32 in [0, 1]."""
    result: Picture = (np.round(np.clip(np.nan_to_num(x, nan=0.5), 0, 1) * 255) / 255).astype(np.float32)
    return result


def psnr_db(x: Picture, x_hat: Picture) -> float:
    """-10 log10(MSE) on [0, 1] over all pixels and channels, after rounding both to 8 bits; 100 where they are
    equal."""
    mse = float(np.mean((rounded(x).astype(np.float64) - rounded(x_hat)) ** 2))
    return min(100.0, float(-10 * np.log10(max(mse, 1e-12))))


def masked_psnr_db(x: Picture, x_hat: Picture, mask: npt.NDArray[np.bool_]) -> float | None:
    """`psnr_db` over the pixels of a mask [H, W]; None where it has none."""
    return psnr_db(x[:, mask], x_hat[:, mask]) if mask.any() else None


def mask_iou(truth: npt.NDArray[np.bool_], found: Map) -> float | None:
    """Intersection over union of what the receiver holds for foreground, [H, W], with the truth; None where the truth
    has no foreground."""
    if not truth.any():
        return None
    inside = found >= MASK_FOUND
    return float((truth & inside).sum() / (truth | inside).sum())


def mask_fmeasure(truth: npt.NDArray[np.bool_], found: Map) -> float | None:
    """F-beta, beta^2 = 0.3, of the receiver's mask [H, W] at 0.5; None where the truth has no foreground.

    (1 + beta^2) P R / (beta^2 P + R), with P and R both n_hit over what was found and over what was to be found.
    """
    if not truth.any():
        return None
    inside = found >= MASK_FOUND
    return float((1 + F_BETA_SQUARED) * (truth & inside).sum() / (F_BETA_SQUARED * truth.sum() + inside.sum()))


def ms_ssim(x: Picture, x_hat: Picture) -> float | None:
    """MS-SSIM in [0, 1] by pytorch-msssim; None for pictures too small for five scales, or without PyTorch.

    References:
        Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    """
    if min(x.shape[1:]) < MS_SSIM_MIN_SIDE:
        return None
    try:
        import torch
        from pytorch_msssim import ms_ssim as library_ms_ssim
    except ImportError:
        return None
    one, two = (torch.from_numpy(rounded(picture))[None] for picture in (x, x_hat))
    return float(library_ms_ssim(one, two, data_range=1.0))


def mean_picture(x: Picture) -> Picture:
    """The picture as which a lost one scores: its mean grey."""
    return np.full_like(x, x.mean())


def bootstrap_interval(values: npt.ArrayLike, *, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the mean by resampling pictures; None for fewer than two pictures.

    Args:
        values: [pictures], or [pictures, noise seeds]. Pictures are the sample: a row of seeds is averaged first, so
            that more seeds take away noise and do not pass for more pictures.
        seed: Seed of the resampling.
    """
    data = np.asarray(values, np.float64)
    data = data.reshape(len(data), -1).mean(1)
    if len(data) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = data[rng.integers(0, len(data), (N_BOOTSTRAP, len(data)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def package_version(package: str) -> str | None:
    """Name and version of an installed package, None where it is absent."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
