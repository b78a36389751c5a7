# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver's network: a correction of the linear estimate, in units of its expected error.

```text
linear picture, expected error -> 1/2 -> 1/4 -> 1/8 -> 1/16 (+ the blocks' values, class map, mask)
                                   |      |      |       |--> S, M (predicted unless M was sent)
                                   |      |      |       +--> dual branches
                                   |      |      +<-- dual branch, residual blocks
                                   |      +<-- residual blocks --> mask at 1/4
                                   +<-- convolutions --> correction x expected error --> + linear picture
```
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.gened.branches import DualBranch
from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.importance import Importance, make_prediction
from gened.models.codecs.gened.layers import ChannelNorm, Conditions, ResidualBlock, zeroed

CORRECTION_GAIN = 5.0
"""Unit of the last layer's output, in expected errors; chosen so that its weights are as large as the others'."""


class DecoderInput(NamedTuple):
    """Linear estimates of a batch of pictures; H and W are multiples of 16."""

    picture: Tensor
    """Linear picture, not clipped, [B, 3, H, W]."""
    error_std: Tensor
    """Expected RMS error of each pixel over R, G and B, [B, 1, H, W]."""
    classes: Tensor
    """Class of each block, int64 [B, H/16, W/16]."""
    sent_mask: Tensor
    """Importance of each block from the side information, [B, 1, H/16, W/16] of 0 and 1; -1: not sent."""
    snr_db: Tensor
    """Received SNR, dB, [B]."""
    rate: Tensor
    """Complex symbols per source value, [B]."""


class Corrected(NamedTuple):
    """Output of the decoder network."""

    x_hat: Tensor
    """[B, 3, H, W], not clipped."""
    mask_logit: Tensor
    """Logit of the finer mask, at 1/4, [B, 1, H/4, W/4]."""
    score: Tensor
    """Score map S at 1/16, a logit, [B, 1, H/16, W/16]."""
    importance: Importance
    """Importance prediction at 1/16."""


class DecoderNetwork(nn.Module):
    """The decoder network; the module's docstring has its drawing.

    Args:
        config: Widths and branches.
    """

    def __init__(self, config: GenedConfig) -> None:
        super().__init__()
        a, b, c, d = config.decoder_widths
        self.conditions = Conditions()
        self.into = nn.Conv2d(16, a, 3, padding=1)
        self.down4, self.stage4_down = nn.Conv2d(a, b, 2, stride=2), _stage(b, config.down_blocks[0])
        self.down8, self.stage8_down = nn.Conv2d(b, c, 2, stride=2), _stage(c, config.down_blocks[1])
        self.down16 = nn.Conv2d(c, d, 2, stride=2)
        self.blocks = nn.Conv2d(768, d, 1)
        self.classes = nn.Embedding(config.classes + 1, d)
        self.told = nn.Conv2d(2, d, 1)  # of the sent mask; the name is part of the weights
        self.score = nn.Sequential(ChannelNorm(d), nn.SiLU(), nn.Conv2d(d, 1, 3, padding=1))
        self.prediction = make_prediction(d, config)
        self.dual16 = nn.ModuleList(DualBranch(d, config) for _ in range(config.dual_blocks[1]))
        self.up8 = nn.Conv2d(d, 4 * c, 1)
        self.routes8 = make_prediction(c, config)
        self.dual8 = nn.ModuleList(DualBranch(c, config) for _ in range(config.dual_blocks[0]))
        self.stage8_up = _stage(c, config.up_blocks[1])
        self.up4, self.stage4_up = nn.Conv2d(c, 4 * b, 1), _stage(b, config.up_blocks[0])
        self.mask = nn.Sequential(ChannelNorm(b), nn.SiLU(), nn.Conv2d(b, 1, 3, padding=1))
        self.up2 = nn.Conv2d(b, 4 * a, 1)
        self.last = nn.Conv2d(a, a, 3, padding=1)
        self.out = zeroed(nn.Conv2d(a, 12, 3, padding=1))

    def forward(self, given: DecoderInput) -> Corrected:
        """The corrected picture, with the mask and the predictions behind it."""
        embedding = self.conditions(given.snr_db, given.rate)
        picture = given.picture - 0.5
        log_error = torch.log(given.error_std + 1e-3) + 3
        h2 = self.into(F.pixel_unshuffle(torch.cat([picture, log_error], 1), 2))
        h4 = _through(self.stage4_down, self.down4(h2), embedding)
        h8 = _through(self.stage8_down, self.down8(h4), embedding)
        sent = torch.cat([given.sent_mask.clamp(min=0), (given.sent_mask >= 0).to(picture.dtype)], 1)
        h = self.down16(h8) + self.blocks(F.pixel_unshuffle(picture, 16)) + self.told(sent)
        h = h + self.classes(given.classes).permute(0, 3, 1, 2)
        score = self.score(h)
        importance = self.prediction(h, score, given.sent_mask)
        for branch in self.dual16:
            h = branch(h, importance, embedding)
        h = h8 + F.pixel_shuffle(self.up8(h), 2)
        fine_mask = F.interpolate(importance.mask, scale_factor=2)
        routes = self.routes8(h, F.interpolate(score, scale_factor=2))._replace(mask=fine_mask)
        for branch in self.dual8:
            h = branch(h, routes, embedding)
        h = _through(self.stage8_up, h, embedding)
        h = _through(self.stage4_up, h4 + F.pixel_shuffle(self.up4(h), 2), embedding)
        mask_logit = self.mask(h).float()
        h = F.silu(self.last(F.silu(h2 + F.pixel_shuffle(self.up2(h), 2))))
        correction = F.pixel_shuffle(self.out(h), 2).float()
        x_hat = given.picture + CORRECTION_GAIN * given.error_std * correction
        return Corrected(x_hat, mask_logit, score.float(), importance)


def _stage(width: int, n_blocks: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(width) for _ in range(n_blocks))


def _through(stage: nn.ModuleList, x: Tensor, embedding: Tensor) -> Tensor:
    for block in stage:
        x = block(x, embedding)
    return x
