# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics that cost little beside encoding and decoding: PSNR, MS-SSIM, and the figures of masks."""

from __future__ import annotations

import numpy as np

from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric
from gened.models.evaluation.metrics.pixel_metrics import (
    mask_fmeasure,
    mask_iou,
    masked_psnr_db,
    ms_ssim,
    package_version,
    psnr_db,
)


class Psnr(Metric):
    """PSNR over all pixels and channels."""

    version = "own, on 8-bit values, peak 255, all three channels"

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`psnr_db`."""
        return {"psnr_db": psnr_db(item.x, x_hat)}


class MsSsim(Metric):
    """MS-SSIM by pytorch-msssim."""

    version = package_version("pytorch-msssim")

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`ms_ssim`."""
        return {"ms_ssim": ms_ssim(item.x, x_hat)}


class Masks(Metric):
    """PSNR of foreground and background, and the receiver's mask against the true one."""

    version = f"own, NumPy {np.__version__}: PSNR on 8-bit values, the receiver's mask at 0.5, beta^2 = 0.3"

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`psnr_fg_db`, `psnr_bg_db`, `mask_iou`, `mask_fmeasure`; nothing of a picture without a mask."""
        if item.mask is None:
            return {}
        found: Figures = {
            "psnr_fg_db": masked_psnr_db(item.x, x_hat, item.mask),
            "psnr_bg_db": masked_psnr_db(item.x, x_hat, ~item.mask),
        }
        if mask is not None:
            found |= {"mask_iou": mask_iou(item.mask, mask), "mask_fmeasure": mask_fmeasure(item.mask, mask)}
        return found
