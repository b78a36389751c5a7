# SPDX-License-Identifier: GPL-3.0-or-later
"""The two branches and their fusion, eqs. (4), (5), (8), (9), (10) and (15) to (20) of arXiv:2606.04015.

            v M ------> deformable attention -> Swin ------ M --+
    v ---->                                                     +--> v + F_fg + F_bg
            v (1-M) --> A_CA -> residual convolution -> CBAM (1-M)

Both branches are computed everywhere and weighted by the mask. Each begins as zero, a correction of its input.

The branches differ in structure, as in the paper, but the trained ones do not specialise: replacing M by 1 - M inside
the shipped decoder changes the PSNR by 0.03 dB (docs/codec.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.gened.config import Branch, GenedConfig
from gened.models.codecs.gened.importance import Importance
from gened.models.codecs.gened.layers import MASKED, Cbam, ChannelNorm, ResidualBlock, SwinBlock, Windows, zeroed


def warp(v: Tensor, offsets: Tensor) -> Tensor:
    """W of eq. (15): v sampled at displaced positions, bilinear, with replicated borders.

    Args:
        v: [B, C, h, w].
        offsets: Displacements in grid positions, x first, [B, 2, h, w].
    """
    height, width = v.shape[2:]
    rows = torch.arange(height, device=v.device, dtype=torch.float32)
    columns = torch.arange(width, device=v.device, dtype=torch.float32)
    y = rows[:, None] + offsets[:, 1].float()
    x = columns[None, :] + offsets[:, 0].float()
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)  # [B, h, w, 2]
    return F.grid_sample(v.float(), grid, padding_mode="border", align_corners=False).to(v.dtype)


class DeformablePatchAttention(nn.Module):
    """Attention within each patch of the foreground, eqs. (15) to (18).

    Q = v_fg, K = v_fg + W(v_fg, offsets), V = v_fg A_SA; softmax(Q K^T / sqrt(C)) V in each window, over its foreground
    positions. Beyond the paper, the features are normalised first, and a layer that begins as zero projects the result.

    Args:
        width: Channels, C.
        window: Side of a window, grid positions.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = ChannelNorm(width)
        self.project = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, v: Tensor, importance: Importance) -> Tensor:
        """[B, C, h, w] to the same shape; zero on the background."""
        foreground = self.norm(v) * importance.mask
        windows = Windows(v.shape[2], v.shape[3], self.window, shifted=False)
        q = windows.cut(foreground)
        k = windows.cut(foreground + warp(foreground, importance.offsets))
        values = windows.cut(foreground * importance.spatial_attention)
        bias = (1 - windows.cut(importance.mask)).transpose(1, 2) * MASKED  # [n, 1, window^2]
        mixed = F.scaled_dot_product_attention(q, k, values, attn_mask=bias.to(q.dtype))
        result: Tensor = self.project(windows.join(mixed)) * importance.mask
        return result


class SwinBranch(nn.Module):
    """D_fg of eq. (8): deformable attention, then Swin blocks with plain and with shifted windows."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.attention = DeformablePatchAttention(width, window)
        self.plain = SwinBlock(width, window, shifted=False)
        self.shifted = SwinBlock(width, window, shifted=True)

    def forward(self, v: Tensor, importance: Importance, embedding: Tensor) -> Tensor:
        """Correction of v, [B, C, h, w], before the weighting by the mask."""
        h = v + self.attention(v, importance)
        result: Tensor = self.shifted(self.plain(h, embedding), embedding) - v
        return result


class CbamBranch(nn.Module):
    """phi_bg of eq. (19) and D_bg of eq. (9): a residual convolution with CBAM, on v_bg A_CA."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = ResidualBlock(width)
        self.norm = ChannelNorm(width)
        self.attention = Cbam(width)
        self.project = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, v: Tensor, importance: Importance, embedding: Tensor) -> Tensor:
        """Correction of v, [B, C, h, w], before the weighting by the mask."""
        h = self.convolution(v * importance.channel_attention, embedding)
        result: Tensor = h - v + self.project(self.attention(self.norm(h)))
        return result


def _branch(kind: Branch, width: int, window: int) -> SwinBranch | CbamBranch:
    return SwinBranch(width, window) if kind == "swin" else CbamBranch(width)


class DualBranch(nn.Module):
    """F_out = F_fg + F_bg of eq. (20), as a correction of v.

    Args:
        width: Channels.
        config: Kinds of the branches, window, and whether there are two branches.
    """

    def __init__(self, width: int, config: GenedConfig) -> None:
        super().__init__()
        self.foreground = _branch(config.foreground, width, config.window)
        self.background = _branch(config.background, width, config.window) if config.dual else None

    def forward(self, v: Tensor, importance: Importance, embedding: Tensor) -> Tensor:
        """[B, C, h, w] to the same shape; the mask has the same grid, [B, 1, h, w]."""
        if self.background is None:
            everywhere = importance._replace(mask=torch.ones_like(importance.mask))
            alone: Tensor = v + self.foreground(v, everywhere, embedding)
            return alone
        mask = importance.mask
        swapped = importance._replace(mask=1 - mask)
        background = self.background(v, swapped, embedding)
        result: Tensor = v + self.foreground(v, importance, embedding) * mask + background * (1 - mask)
        return result
