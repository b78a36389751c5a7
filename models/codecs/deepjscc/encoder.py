# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder network of `deepjscc`: a convolutional correction of the linear code."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.layers import Stage


class EncoderNetwork(nn.Module):
    """[B, 3, H, W] -> [B, 256, H/32, W/32], added to the reals of the linear code; begins as zero.

    Args:
        config: Widths.
    """

    def __init__(self, config: DeepJsccConfig) -> None:
        super().__init__()
        a, b, c = config.encoder_widths
        self.into = nn.Conv2d(48, a, 3, padding=1)  # at 1/4
        self.stage4 = Stage(a, 1)
        self.down8 = nn.Conv2d(a, b, 2, stride=2)
        self.stage8 = Stage(b, 1)
        self.down16 = nn.Conv2d(b, c, 2, stride=2)
        self.stage16 = Stage(c, 1)
        self.out = nn.Conv2d(4 * c, config.reals_per_patch, 1)  # at 1/32
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias) if self.out.bias is not None else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, 3, H, W] and [B, 64] to [B, reals_per_patch, H/32, W/32]."""
        h = self.stage4(self.into(F.pixel_unshuffle(x - 0.5, 4)), embedding)
        h = self.stage8(self.down8(h), embedding)
        h = self.stage16(self.down16(h), embedding)
        result: Tensor = self.out(F.pixel_unshuffle(h, 2))
        return result
