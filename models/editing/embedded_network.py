# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of the embedded editor: one step from the received picture to a plausible original.

                 I_r [3, H, W], mask [1, H, W]          SNR, words
                      | pixels 2x2 -> channels              | perceptron
                      v                                     v
    1/2    48: block ------------------------------+ block block -> pixels 2x2 -> 3x3 -> I_g - I_r
    1/4    96:   + block block --------------- + block block block
    1/8   144:       + block block -------- + block block block
    1/16  192:            + block block ---+

On the way up, before the blocks of each resolution and at full size, noise is added where the features ask for it:
texture of which nothing arrived can be drawn from something, instead of one pattern everywhere.

The conditions modulate every block. Normalisation is over the channels of a position alone, so that a large picture may
be edited in tiles.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.gened.layers import EMBEDDING, SNR_KNOTS_DB, ResidualBlock, zeroed
from gened.models.editing.words import VOCABULARY

WIDTHS = (48, 96, 144, 192)
DOWN, UP = (1, 2, 2, 2), (2, 3, 3)
"""Residual blocks per resolution in the contracting and in the expanding path."""
MULTIPLE = 2 ** len(WIDTHS)
"""Height and width are multiples of this."""
WORD_WIDTH = 48
FULL_WIDTH = 12
"""Channels at full size."""
NOISE_MAPS = len(UP) + 1
"""Noise maps: one at full size and one per resolution of the expanding path."""


class EditorInput(NamedTuple):
    """A batch of received pictures with their conditions."""

    x_hat: Tensor
    """[B, 3, H, W] in [0, 1]; H and W are multiples of 16."""
    mask: Tensor
    """[B, 1, H, W] in [0, 1]; zero if unknown."""
    knows_mask: Tensor
    """1 if the mask is known, else 0, [B]."""
    snr_db: Tensor
    """Received SNR, dB, [B]; NaN if unknown."""
    words: Tensor
    """Numbers of all words of all captions in series, int64 [n]."""
    word_starts: Tensor
    """Start of each caption in `words`, int64 [B]."""
    noise: Tensor
    """Standard normal noise, [B, NOISE_MAPS, H, W]; lower resolutions use a decimated map."""


class _Conditions(nn.Module):
    """Embedding of SNR, presence of the mask and caption, [B, 64]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(SNR_KNOTS_DB, dtype=torch.float32), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(len(SNR_KNOTS_DB) + 2, EMBEDDING), nn.SiLU())
        self.table = nn.EmbeddingBag(VOCABULARY, WORD_WIDTH, mode="mean")
        self.read = nn.Linear(WORD_WIDTH, EMBEDDING)
        self.mix = nn.Sequential(nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU())

    def forward(self, given: EditorInput) -> Tensor:
        """The conditioning vector of all blocks, [B, 64]."""
        assert isinstance(self.knots, Tensor)
        knows_snr = torch.isfinite(given.snr_db)
        snr_db = torch.where(knows_snr, given.snr_db, 0.0).clamp(-6, 22)
        bumps = torch.exp(-0.5 * ((snr_db[:, None] - self.knots) / 2.0) ** 2) * knows_snr[:, None]
        known = torch.cat([bumps, knows_snr[:, None].to(bumps.dtype), given.knows_mask[:, None].to(bumps.dtype)], 1)
        text = self.read(self.table(given.words, given.word_starts))
        result: Tensor = self.mix(self.mlp(known) + text)
        return result


class EditorNetwork(nn.Module):
    """Conditional one-step restoration with 5 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions = _Conditions()
        self.first = nn.Conv2d(4 * 4, WIDTHS[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width) for _ in range(count)) for width, count in zip(WIDTHS, DOWN, strict=True)
        )
        self.reduce = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
        self.enlarge = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
        self.up = nn.ModuleList(
            nn.ModuleList(ResidualBlock(width) for _ in range(count)) for width, count in zip(WIDTHS, UP, strict=False)
        )
        self.grain = nn.ModuleList(zeroed(nn.Conv2d(width, width, 1)) for width in (FULL_WIDTH, *WIDTHS[: len(UP)]))
        self.last = nn.Conv2d(WIDTHS[0], 4 * FULL_WIDTH, 3, padding=1)
        self.finish = zeroed(nn.Conv2d(FULL_WIDTH, 3, 3, padding=1))

    def forward(self, given: EditorInput) -> Tensor:
        """I_g, [B, 3, H, W], not clipped."""
        embedding = self.conditions(given)
        x = torch.cat([2 * given.x_hat - 1, given.mask], 1)
        h = self.first(F.pixel_unshuffle(x, 2))
        kept: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                kept.append(h)
                h = self.reduce[level - 1](h)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
        for level in reversed(range(len(self.up))):
            h = kept[level] + F.pixel_shuffle(self.enlarge[level](h), 2)
            h = self._grained(h, given.noise, level + 1)
            for block in self.up[level]:  # type: ignore[attr-defined]
                h = block(h, embedding)
        # A convolution at full size comes last: without it the four pixels of a cell make a grid that is seen.
        full = self._grained(F.pixel_shuffle(self.last(F.silu(h)), 2), given.noise, 0)
        change: Tensor = self.finish(F.silu(full))
        return given.x_hat + change

    def _grained(self, h: Tensor, noise: Tensor, level: int) -> Tensor:
        """Features plus noise with a learned amplitude per position; level 0 is full size."""
        step = 2**level
        amplitude: Tensor = self.grain[level](h)
        return h + amplitude * noise[:, level : level + 1, ::step, ::step].to(h.dtype)
