# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that the networks of `gened` share.

Normalisation is over the channels of each position alone, without statistics over the picture's area, so that large
pictures can be decoded in tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's own name for it

EMBEDDING = 64
SNR_KNOTS_DB = tuple(range(-4, 22, 2))  # centres of 13 Gaussian functions, dB
MASKED = -1e4
"""Added to the logits of masked keys; finite, so that a window of masked keys gives no NaN."""


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The layer with weights and bias set to zero, so that its output begins as zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position, [B, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same shape and memory format (channels last)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Conditions(nn.Module):
    """Embedding of SNR in dB and rate: [B] and [B] to [B, 64]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(SNR_KNOTS_DB, dtype=torch.float32), persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(len(SNR_KNOTS_DB) + 1, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )

    def forward(self, snr_db: Tensor, rate: Tensor) -> Tensor:
        """SNR in dB, [B], and rate in complex symbols per source value, [B], to [B, 64]."""
        assert isinstance(self.knots, Tensor)
        bumps = torch.exp(-0.5 * ((snr_db.clamp(-6, 22)[:, None] - self.knots) / 2.0) ** 2)
        result: Tensor = self.mlp(torch.cat([bumps, (torch.log2(rate * 24) / 2)[:, None]], 1))
        return result


class ResidualBlock(nn.Module):
    """Norm - SiLU - 3x3 - norm - scale and shift from the conditions - SiLU - 3x3; begins as the identity.

    Args:
        width: Channels.
        conditioned: Whether SNR and rate modulate the block; not so in the importance network.
    """

    def __init__(self, width: int, *, conditioned: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.modulation = zeroed(nn.Linear(EMBEDDING, 2 * width)) if conditioned else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """[B, width, h, w] to the same shape."""
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.modulation is not None and embedding is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        result: Tensor = x + self.conv2(F.silu(h))
        return result


class Windows:
    """Partition of a grid into square windows, and back; the windows may be shifted by half a window.

        [B, C, h, w] -> [B n_windows, window^2, C] -> [B, C, h, w]

    A shift pads by half a window instead of rolling the grid as in the paper, so that a window never joins opposite
    borders.
    """

    def __init__(self, height: int, width: int, window: int, *, shifted: bool) -> None:
        self.height, self.width, self.window = height, width, window
        before = window // 2 if shifted else 0
        self.padding = (before, -(width + before) % window, before, -(height + before) % window)
        self.rows = (height + self.padding[2] + self.padding[3]) // window
        self.columns = (width + self.padding[0] + self.padding[1]) // window

    def cut(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B n_windows, window^2, C]; zeros beyond the border."""
        batch, channels = x.shape[:2]
        x = F.pad(x, self.padding).permute(0, 2, 3, 1)
        x = x.reshape(batch, self.rows, self.window, self.columns, self.window, channels)
        return x.transpose(2, 3).reshape(-1, self.window**2, channels)

    def join(self, tokens: Tensor) -> Tensor:
        """The inverse of `cut`."""
        channels = tokens.shape[-1]
        x = tokens.reshape(-1, self.rows, self.columns, self.window, self.window, channels).transpose(2, 3)
        x = x.reshape(-1, self.rows * self.window, self.columns * self.window, channels)
        left, _, top, _ = self.padding
        return x[:, top : top + self.height, left : left + self.width].permute(0, 3, 1, 2)


class SwinBlock(nn.Module):
    """Window attention, then a perceptron on each position; both residuals begin as zero.

    Args:
        width: Channels, a multiple of 32.
        window: Side of a window, grid positions.
        shifted: Whether the windows are shifted by half.

    References:
        Liu et al., "Swin transformer: hierarchical vision transformer using shifted windows", ICCV 2021.
    """

    def __init__(self, width: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.shifted, self.heads = window, shifted, width // 32
        self.norm1, self.norm2 = nn.LayerNorm(width), ChannelNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = zeroed(nn.Linear(width, width))
        self.position_bias = nn.Parameter(torch.zeros(self.heads, (2 * window - 1) ** 2))
        self.register_buffer("position_index", _relative_positions(window), persistent=False)
        self.modulation = zeroed(nn.Linear(EMBEDDING, 2 * width))
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.contract = zeroed(nn.Conv2d(2 * width, width, 1))

    def forward(self, x: Tensor, embedding: Tensor, keys: Tensor | None = None) -> Tensor:
        """[B, width, h, w] to the same shape.

        Args:
            x: Features.
            embedding: [B, 64].
            keys: [B, 1, h, w], 1 for positions that may be keys; None: all.
        """
        windows = Windows(x.shape[2], x.shape[3], self.window, shifted=self.shifted)
        allowed = torch.ones_like(x[:, :1]) if keys is None else keys.to(x.dtype)
        bias = (1 - windows.cut(allowed)).transpose(1, 2)[:, None] * MASKED  # [n, 1, 1, window^2]
        assert isinstance(self.position_index, Tensor)
        bias = bias + self.position_bias[:, self.position_index].to(x.dtype)  # [n, heads, window^2, window^2]
        tokens = self.norm1(windows.cut(x))
        n, length, width = tokens.shape
        q, k, v = self.qkv(tokens).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = x + windows.join(self.project(mixed.transpose(1, 2).reshape(n, length, width)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        result: Tensor = x + self.contract(F.silu(self.expand(self.norm2(x) * (1 + scale) + shift)))
        return result


def _relative_positions(window: int) -> Tensor:
    """[window^2, window^2], index of the displacement between two positions of a window."""
    axis = torch.arange(window)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    row, column = rows.flatten(), columns.flatten()
    down = row[:, None] - row[None, :] + window - 1
    across = column[:, None] - column[None, :] + window - 1
    return down * (2 * window - 1) + across


class Cbam(nn.Module):
    """Convolutional block attention: channel attention, then spatial attention.

    References:
        Woo et al., "CBAM: convolutional block attention module", ECCV 2018.
    """

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        self.channels = nn.Sequential(
            nn.Linear(width, width // reduction), nn.SiLU(), nn.Linear(width // reduction, width)
        )
        self.places = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] to the same shape."""
        pooled = self.channels(x.mean((2, 3))) + self.channels(x.amax((2, 3)))
        x = x * torch.sigmoid(pooled)[:, :, None, None]
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        result: Tensor = x * torch.sigmoid(self.places(summary))
        return result
