# SPDX-License-Identifier: GPL-3.0-or-later
"""The important parts of a picture: the score map S and the semantic importance prediction module.

    picture -> visual feature encoder -> v ------------------+--> e_cond = [v; A_g; S] (eq. 12)
                                         |--> S (head) ------|        |
                                         |--> A_g (CNN) -----+        +--> M, offsets, A_CA, A_SA (eqs. 13, 14)

A head predicts S from the picture, in place of CLIP's context matching in the paper. Annotated masks and saliency maps
taught the shipped head; a training can use CLIP as a teacher instead (`context_matching.py`).

Equation numbers are those of "GenED-SC: generative editing semantic communication", arXiv:2606.04015.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.layers import ChannelNorm, ResidualBlock, zeroed

MAX_OFFSET = 2.0
"""Largest displacement of a key, grid positions."""


class Importance(NamedTuple):
    """Output of the prediction module, eq. (13)."""

    mask: Tensor
    """M of eq. (14), [B, 1, h, w] of 0 and 1, with the gradient of its soft form."""
    logit: Tensor
    """Logit of M = 1, [B, 1, h, w]."""
    offsets: Tensor
    """Displacements in grid positions, [B, 2, h, w], x first."""
    channel_attention: Tensor
    """A_CA, [B, C, 1, 1]."""
    spatial_attention: Tensor
    """A_SA, [B, 1, h, w]."""


class SemanticImportancePrediction(nn.Module):
    """Psi of eq. (13): from features and score map to mask, offsets and attention maps.

    A patch is one grid position, 16x16 pixels at the finest grid.

    Args:
        width: Channels of the features.
        temperature: Temperature of the Gumbel softmax.
    """

    def __init__(self, width: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.global_modulation = nn.Sequential(nn.Conv2d(width, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 2, 1))
        self.mask = nn.Sequential(nn.Conv2d(width + 3, 32, 1), nn.SiLU(), nn.Conv2d(32, 2, 1))
        self.offsets = zeroed(nn.Conv2d(width + 3, 2, 3, padding=1))
        self.channels = nn.Sequential(nn.Linear(width + 3, 32), nn.SiLU(), zeroed(nn.Linear(32, width)))
        self.places = zeroed(nn.Conv2d(width + 3, 1, 3, padding=1))

    def forward(self, v: Tensor, score: Tensor, sent: Tensor | None = None) -> Importance:
        """Features [B, C, h, w] and score map S, a logit, [B, 1, h, w].

        Args:
            v: Features.
            score: S.
            sent: Mask from the side information, [B, 1, h, w] of 0 and 1, which replaces the prediction; -1: not sent.
        """
        condition = torch.cat([v, self.global_modulation(v), score.to(v.dtype)], 1)  # eq. (12)
        logits = self.mask(condition).float()
        if self.training:
            mask = F.gumbel_softmax(logits, tau=self.temperature, hard=True, dim=1)[:, 1:]  # eq. (14)
        else:
            mask = (logits[:, 1:] > logits[:, :1]).float()
        if sent is not None:
            mask = torch.where(sent < 0, mask, sent)
        return Importance(
            mask=mask.to(v.dtype),
            logit=logits[:, 1:] - logits[:, :1],
            offsets=MAX_OFFSET * torch.tanh(self.offsets(condition)),
            channel_attention=2 * torch.sigmoid(self.channels(condition.mean((2, 3))))[:, :, None, None],
            spatial_attention=2 * torch.sigmoid(self.places(condition)),
        )


class NoPrediction(nn.Module):
    """Replaces the prediction in configurations without one: without a mask from the sender M is 1/2 everywhere."""

    def forward(self, v: Tensor, score: Tensor, sent: Tensor | None = None) -> Importance:
        """As `SemanticImportancePrediction`."""
        half = torch.full_like(score, 0.5, dtype=v.dtype)
        one = torch.ones_like(half)
        return Importance(
            mask=half if sent is None else torch.where(sent < 0, half, sent.to(v.dtype)),
            logit=torch.zeros_like(score, dtype=torch.float32), offsets=torch.zeros_like(v[:, :2]),
            channel_attention=one[:, :, :1, :1], spatial_attention=one,
        )  # fmt: skip


def make_prediction(width: int, config: GenedConfig) -> SemanticImportancePrediction | NoPrediction:
    """The prediction module of a configuration."""
    return SemanticImportancePrediction(width) if config.predicts else NoPrediction()


class ImportanceNetwork(nn.Module):
    """The transmitter's importance network: from a picture to the score map S and the mask M.

        1/4 -> 1/8 -> 1/16 -> 1/32, and back to 1/8, where S is predicted; M is predicted at 1/16

    Args:
        config: Widths.
    """

    def __init__(self, config: GenedConfig) -> None:
        super().__init__()
        a, b, c, d = config.importance_widths
        self.into = nn.Conv2d(48, a, 3, padding=1)
        self.stage4 = ResidualBlock(a, conditioned=False)
        self.down8, self.stage8 = nn.Conv2d(a, b, 2, stride=2), _stage(b, 1)
        self.down16, self.stage16 = nn.Conv2d(b, c, 2, stride=2), _stage(c, 2)
        self.down32, self.stage32 = nn.Conv2d(c, d, 2, stride=2), _stage(d, 2)
        self.whole = nn.Sequential(nn.Linear(d, d), nn.SiLU(), zeroed(nn.Linear(d, d)))
        self.up16, self.stage16_up = nn.Conv2d(d, 4 * c, 1), _stage(c, 1)
        self.up8, self.stage8_up = nn.Conv2d(c, 4 * b, 1), _stage(b, 1)
        self.score = nn.Sequential(ChannelNorm(b), nn.SiLU(), nn.Conv2d(b, 1, 3, padding=1))
        self.prediction = SemanticImportancePrediction(c)

    def forward(self, x: Tensor) -> tuple[Tensor, Importance]:
        """S, a logit at 1/8, [B, 1, H/8, W/8], and the importance prediction at 1/16.

        Args:
            x: [B, 3, H, W] in [0, 1]; H and W multiples of 32.
        """
        h8 = self.stage8(self.down8(self.stage4(self.into(F.pixel_unshuffle(x - 0.5, 4)))))
        h16 = self.stage16(self.down16(h8))
        h = self.stage32(self.down32(h16))
        h = h + self.whole(h.mean((2, 3)))[:, :, None, None]  # global context
        v = self.stage16_up(h16 + F.pixel_shuffle(self.up16(h), 2))
        score = self.score(self.stage8_up(h8 + F.pixel_shuffle(self.up8(v), 2))).float()
        return score, self.prediction(v, F.avg_pool2d(score, 2))


def _stage(width: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, conditioned=False) for _ in range(n_blocks)))
