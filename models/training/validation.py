# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training shows of itself: a figure, a sheet of pictures, a line."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def mean_psnr_db(x_hat: Tensor, x: Tensor) -> float:
    """Mean over a batch [B, 3, H, W] of each picture's PSNR, pictures in [0, 1], not rounded to 8 bits."""
    mse = (x_hat - x).pow(2).flatten(1).mean(1)
    return round(float(-10 * torch.log10(mse).mean()), 3)


def write_sheet(rows: list[Tensor], path: Path) -> None:
    """A grid of pictures, a row a tensor [n, 3, H, W] in [0, 1]; as many columns as the shortest row has."""
    columns = min(len(row) for row in rows)
    grid = torch.cat([torch.cat(list(row[:columns].float().cpu()), 2) for row in rows], 1)
    Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(path)


def say(line: str) -> None:
    """On the terminal at once, also through a pipe."""
    print(line, flush=True)
