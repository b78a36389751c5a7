# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder network: the dual-branch encoder of arXiv:2606.04015, eqs. (1), (4), (5) and (12) to (20).

    picture -> 1/2 -> 1/4 -> 1/8 -> 1/16 (+ class map, M) = v --> S, M (unless M is sent)
                                                            +--> dual branches --> change of each coefficient

It adds to the coefficients of the linear code, in units of their standard deviations, and begins as zero. The shipped
weights have no encoder (docs/codec.md compares both at equal training); the configuration `paper` trains one.
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

COEFFICIENTS = 192
"""Corrected coefficients per block, in the order of falling variance; more are hardly ever sent."""


class EncoderInput(NamedTuple):
    """A batch of pictures at the transmitter; H and W are multiples of 16."""

    picture: Tensor
    """[B, 3, H, W] in [0, 1]."""
    classes: Tensor
    """Class of each block, int64 [B, H/16, W/16]."""
    sent_mask: Tensor
    """Importance of each block in the side information, [B, 1, H/16, W/16] of 0 and 1; -1: not sent."""
    snr_db: Tensor
    """Design SNR, dB, [B]."""
    rate: Tensor
    """Complex symbols per source value, [B]."""


class Change(NamedTuple):
    """Output of the encoder network."""

    coefficients: Tensor
    """Correction in standard deviations, [B, 192, H/16, W/16]."""
    score: Tensor
    """Score map S at 1/16, a logit, [B, 1, H/16, W/16]."""
    importance: Importance
    """Importance prediction at 1/16."""


class EncoderNetwork(nn.Module):
    """The encoder network; the module's docstring has its drawing.

    Args:
        config: Widths and branches.
    """

    def __init__(self, config: GenedConfig) -> None:
        super().__init__()
        a, b, c, d = config.encoder_widths
        self.conditions = Conditions()
        self.into = nn.Conv2d(12, a, 3, padding=1)
        self.down4, self.stage4 = nn.Conv2d(a, b, 2, stride=2), ResidualBlock(b)
        self.down8, self.stage8 = nn.Conv2d(b, c, 2, stride=2), ResidualBlock(c)
        self.down16, self.stage16 = nn.Conv2d(c, d, 2, stride=2), ResidualBlock(d)
        self.classes = nn.Embedding(config.classes + 1, d)
        self.told = nn.Conv2d(2, d, 1)  # of the sent mask; the name is part of the weights
        self.score = nn.Sequential(ChannelNorm(d), nn.SiLU(), nn.Conv2d(d, 1, 3, padding=1))
        self.prediction = make_prediction(d, config)
        self.dual = DualBranch(d, config)
        self.norm = ChannelNorm(d)
        self.out = zeroed(nn.Conv2d(d, COEFFICIENTS, 1))

    def forward(self, given: EncoderInput) -> Change:
        """The correction of the coefficients, with the predictions behind it."""
        embedding = self.conditions(given.snr_db, given.rate)
        h = self.into(F.pixel_unshuffle(given.picture - 0.5, 2))
        h = self.stage4(self.down4(h), embedding)
        h = self.stage8(self.down8(h), embedding)
        sent = torch.cat([given.sent_mask.clamp(min=0), (given.sent_mask >= 0).to(given.picture.dtype)], 1)
        v = self.down16(h) + self.told(sent) + self.classes(given.classes).permute(0, 3, 1, 2)
        v = self.stage16(v, embedding)
        score = self.score(v)
        importance = self.prediction(v, score, given.sent_mask)
        v = self.dual(v, importance, embedding)
        return Change(self.out(F.silu(self.norm(v))).float(), score.float(), importance)
