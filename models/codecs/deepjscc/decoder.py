# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder network of `deepjscc`: a convolutional correction of the linear estimate.

```text
linear picture -> 1/2 -> 1/4 -> 1/8 -> 1/16 (+ coefficients and their reliability) -> residual blocks
                   |      |      +<---------------------------------------------------------+
                   |      +<-- residual blocks
                   +<-- residual blocks
                   +--> convolutions --> correction
```
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.layers import Stage


class DecoderNetwork(nn.Module):
    """U-Net on the linear picture; the coefficients enter at 1/16. The correction begins as zero.

    Args:
        config: Widths and depths.
    """

    def __init__(self, config: DeepJsccConfig) -> None:
        super().__init__()
        a, b, c, d = config.decoder_widths
        self.into = nn.Conv2d(12, a, 3, padding=1)  # at 1/2
        self.down4 = nn.Conv2d(a, b, 2, stride=2)
        self.stage4_down = Stage(b, config.decoder_down_blocks[0])
        self.down8 = nn.Conv2d(b, c, 2, stride=2)
        self.stage8_down = Stage(c, config.decoder_down_blocks[1])
        self.down16 = nn.Conv2d(c, d, 2, stride=2)
        self.coefficients = nn.Conv2d(2 * config.reals_per_patch, 4 * d, 1)  # at 1/32
        self.stage16 = Stage(d, config.decoder_middle_blocks)
        self.up8 = nn.Conv2d(d, 4 * c, 1)
        self.stage8_up = Stage(c, config.decoder_up_blocks[0])
        self.up4 = nn.Conv2d(c, 4 * b, 1)
        self.stage4_up = Stage(b, config.decoder_up_blocks[1])
        self.up2 = nn.Conv2d(b, 4 * a, 1)
        self.last = nn.Conv2d(a, a, 3, padding=1)
        self.out = nn.Conv2d(a, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias) if self.out.bias is not None else None

    def forward(self, picture: Tensor, u_hat: Tensor, reliability: Tensor, embedding: Tensor) -> Tensor:
        """Correction of the linear picture, [B, 3, H, W].

        Args:
            picture: Linear estimate, [B, 3, H, W].
            u_hat: Linear estimate of the unit-variance coefficients, [B, 256, H/32, W/32].
            reliability: Share of each coefficient's variance that the estimate explains, in [0, 1], same shape.
            embedding: [B, 64].
        """
        h2 = self.into(F.pixel_unshuffle(picture - 0.5, 2))
        h4 = self.stage4_down(self.down4(h2), embedding)
        h8 = self.stage8_down(self.down8(h4), embedding)
        h = self.down16(h8) + F.pixel_shuffle(self.coefficients(torch.cat([u_hat, reliability], 1)), 2)
        h = self.stage16(h, embedding)
        h = self.stage8_up(h8 + F.pixel_shuffle(self.up8(h), 2), embedding)
        h = self.stage4_up(h4 + F.pixel_shuffle(self.up4(h), 2), embedding)
        h = F.silu(self.last(F.silu(h2 + F.pixel_shuffle(self.up2(h), 2))))
        return F.pixel_shuffle(self.out(h), 2)
