# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that both networks of `deepjscc` use: residual blocks that are modulated by the SNR.

References:
    Xu et al., "Wireless image transmission using deep source channel coding with attention modules", IEEE Trans. CSVT
        32(4), 2022: the SNR as an input of both ends.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's own name for it

SNR_EMBEDDING = 64
"""Components of the embedded SNR."""
SNR_KNOTS_DB = tuple(range(-4, 22, 2))
"""Centres of 13 Gaussian functions, dB, over the SNRs of a picture link."""


class SnrEmbedding(nn.Module):
    """An SNR in dB through Gaussian basis functions and a small perceptron: [B] -> [B, 64].

    Args:
        extra: Further inputs of the perceptron.
    """

    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(SNR_KNOTS_DB, dtype=torch.float32), persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(len(SNR_KNOTS_DB) + extra, SNR_EMBEDDING),
            nn.SiLU(),
            nn.Linear(SNR_EMBEDDING, SNR_EMBEDDING),
            nn.SiLU(),
        )

    def forward(self, snr_db: Tensor, extra: Tensor | None = None) -> Tensor:
        """[B] dB and [B, extra] to [B, 64]."""
        assert isinstance(self.knots, Tensor)
        bumps = torch.exp(-0.5 * ((snr_db.clamp(-6, 22)[:, None] - self.knots) / 2.0) ** 2)
        result: Tensor = self.mlp(bumps if extra is None else torch.cat([bumps, extra], 1))
        return result


class Block(nn.Module):
    """Residual block: GroupNorm - SiLU - 3x3 - GroupNorm - scale and shift from the SNR - SiLU - 3x3.

    The last convolution is initialised with zeros, so the block begins as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, width)
        self.modulation = nn.Linear(SNR_EMBEDDING, 2 * width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        for layer in (self.modulation, self.conv2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias) if layer.bias is not None else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, width, h, w] and [B, 64] to [B, width, h, w]."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        result: Tensor = x + h
        return result


class Stage(nn.Module):
    """Residual blocks of one width in series."""

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, width, h, w] and [B, 64] to [B, width, h, w]."""
        for block in self.blocks:
            x = block(x, embedding)
        return x
