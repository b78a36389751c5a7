# SPDX-License-Identifier: GPL-3.0-or-later
"""What trainings report while they run: a mean PSNR, and a sheet of sample pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def mean_psnr_db(x_hat: Tensor, x: Tensor) -> float:
    """Mean PSNR in dB over a batch [B, 3, H, W] of pictures in [0, 1], not rounded to 8 bits."""
    mse = (x_hat - x).pow(2).flatten(1).mean(1)
    return round(float(-10 * torch.log10(mse).mean()), 3)


def write_sheet(rows: list[Tensor], path: Path) -> None:
    """Write a grid of pictures, one row per tensor [n, 3, H, W] in [0, 1], as wide as the shortest row."""
    columns = min(len(row) for row in rows)
    grid = torch.cat([torch.cat(list(row[:columns].float().cpu()), 2) for row in rows], 1)  # [3, rows H, columns W]
    Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
