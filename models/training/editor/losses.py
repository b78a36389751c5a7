# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of the training of the embedded editor, and its critic (discriminator)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm

from gened.models.trunks import VGG16, VGG16_CHANNELS, Vgg16Features, weights_file

EPSILON = 1e-10
WIDTH = 64
CRITIC_STAGES = (0, 1, 2, 3)


class PerceptualDistance(nn.Module):
    """Distance of features of VGG16, weighted per channel as in the shift-tolerant LPIPS of that trunk.

    The AlexNet trunk, which is the metric, is no part of any training.

    Raises:
        ConfigError: The weights are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Vgg16Features()
        state = torch.load(weights_file(VGG16), map_location="cpu", weights_only=True)
        for index in range(len(VGG16_CHANNELS)):
            self.register_buffer(f"weight{index}", state[f"lin{index}.model.1.weight"].float())

    def forward(self, one: list[Tensor], two: list[Tensor]) -> Tensor:
        """[B] from the trunk's stages of two batches."""
        total = torch.zeros(len(one[0]), device=one[0].device)
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            weight = getattr(self, f"weight{index}")
            difference = (_unit(a.float()) - _unit(b.float())).square()
            total = total + F.conv2d(difference, weight).mean((1, 2, 3))
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPSILON)


class Critic(nn.Module):
    """A discriminator of photographs and edited pictures: a network per stage of the frozen trunk, one on the pixels.

        stage  -> [half size] -> 1x1 to 64 -> 4x4, half size -> 3x3 -> one logit per place
        pixels -> 4x4, half size -> 4x4, half size -> 3x3 -> one logit per place

    On pretrained features a discriminator of this size learns in hundreds of steps. They are low-pass filtered before
    each subsampling, so they miss a grid of single pixels; the last head detects it. Every head weighs all places alike
    (means, and kernels of even width, where a size is halved): one that skipped every second place taught the editor to
    draw that very grid.

    References:
        Sauer et al., "Projected GANs converge faster", NeurIPS 2021.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.AvgPool2d(2 if index < 2 else 1),
                spectral_norm(nn.Conv2d(VGG16_CHANNELS[index], WIDTH, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, WIDTH, *((4, 2) if index < 3 else (3, 1)), padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, 1, 3, padding=1)),
            )
            for index in CRITIC_STAGES
        )
        self.pixels = nn.Sequential(
            spectral_norm(nn.Conv2d(3, WIDTH // 2, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(WIDTH // 2, WIDTH, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(WIDTH, 1, 3, padding=1)),
        )

    def forward(self, stages: list[Tensor], x: Tensor) -> list[Tensor]:
        """Logits [B, 1, h, w] per head, positive where the picture looks real, from stages and pictures in [0, 1]."""
        words = [head(_unit(stages[i]) * 8) for head, i in zip(self.heads, CRITIC_STAGES, strict=True)]
        # The high-pass part, amplified: behind a spectral norm a faint grid would not show.
        return [*words, self.pixels(8 * (x - F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)))]


def critic_loss(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Hinge loss of the critic, mean over its heads."""
    parts = [F.relu(1 - a.float()).mean() + F.relu(1 + b.float()).mean() for a, b in zip(real, made, strict=True)]
    return torch.stack(parts).mean()


def maker_loss(made: list[Tensor]) -> Tensor:
    """Adversarial loss of the editor."""
    return -torch.stack([words.float().mean() for words in made]).mean()


def pixel_loss(edited: Tensor, x: Tensor, mask: Tensor, foreground_weight: float) -> Tensor:
    """Mean absolute error, with a weight on the pixels of the mask.

    Args:
        edited: [B, 3, H, W].
        x: Same shape.
        mask: [B, 1, H, W] in [0, 1].
        foreground_weight: Weight of a pixel of the mask, against 1.
    """
    weight = 1 + (foreground_weight - 1) * mask
    return ((edited - x).abs().mean(1, keepdim=True) * weight).sum() / weight.sum()
