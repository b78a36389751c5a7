# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of the trainings of `gened`; equation numbers are those of arXiv:2606.04015."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.analog.blocks import BLOCK
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.samples import Sample
from gened.models.trunks import Vgg16Features

EPSILON = 1e-6


def weighted_log_error(x_hat: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Mean over pictures of ln(weighted MSE + 2e-4): falls by 0.23 per decibel of mean PSNR.

    Args:
        x_hat: [B, 3, H, W].
        x: Same shape.
        weight: Weight per block, [B, 1, H/16, W/16].
    """
    error = F.avg_pool2d((x_hat - x).pow(2).mean(1, keepdim=True), BLOCK)
    mse = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return torch.log(mse + 2e-4).mean()


def known_cross_entropy(logit: Tensor, target: Tensor, kind: Literal["full", "paper"] = "full") -> Tensor:
    """Cross-entropy of a mask's logits against fractions of foreground, over the known places; 0 if none is known.

    Args:
        logit: [B, 1, h, w].
        target: [B, 1, H, W], pooled to [h, w]; -1 where unknown.
        kind: "paper": over foreground alone, eq. (21).
    """
    pooled = F.adaptive_avg_pool2d(target, (logit.shape[2], logit.shape[3]))
    known = (pooled >= 0).float()
    if kind == "paper":
        known = known * (pooled > 0.5).float()
    entropy = F.binary_cross_entropy_with_logits(logit.float(), pooled.clamp(0, 1), reduction="none")
    return (entropy * known).sum() / known.sum().clamp(min=1)


def soft_iou_loss(logit: Tensor, target: Tensor) -> Tensor:
    """1 - intersection over union of soft masks, mean over pictures whose mask is known."""
    pooled = F.adaptive_avg_pool2d(target, (logit.shape[2], logit.shape[3]))
    known = (pooled.amax((1, 2, 3)) >= 0).float()
    truth, found = pooled.clamp(0, 1), torch.sigmoid(logit.float())
    both, either = (truth * found).sum((1, 2, 3)), (truth + found - truth * found).sum((1, 2, 3))
    return ((1 - (both + 1) / (either + 1)) * known).sum() / known.sum().clamp(min=1)


def foreground_loss(x_hat: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Eq. (22), mean over pictures: squared error of a pixel, summed over its colours, over the pixels of the mask.

    Args:
        x_hat: [B, 3, H, W] in [0, 1]; the error is counted on 0 to 255.
        x: Same shape.
        mask: [B, 1, H, W] of 0 and 1; with 1 - mask it is the background's error.
    """
    error = (255 * (x_hat - x)).square().sum(1, keepdim=True)
    return ((error * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) + EPSILON)).mean()


def contextual(received: Tensor, original: Tensor, temperature: float) -> Tensor:
    """CX of eq. (25) per place, [B, h, w]: cross-entropy of matching a feature to its own original among all places.

    Args:
        received: [B, C, h, w].
        original: Same shape.
        temperature: tau.
    """
    r = F.normalize(received.flatten(2).transpose(1, 2), dim=2)
    o = F.normalize(original.flatten(2).transpose(1, 2), dim=2)
    similarity = r @ o.transpose(1, 2) / temperature  # [B, h w, h w]
    own = torch.diagonal(similarity, dim1=1, dim2=2)
    result: Tensor = (torch.logsumexp(similarity, 2) - own).reshape(len(r), *received.shape[2:])
    return result


def background_loss(received: Tensor, original: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Eq. (24), mean over pictures; the mask, [B, 1, H, W] of 0 and 1, is reduced to the features' grid."""
    background = 1 - (F.adaptive_avg_pool2d(mask, (received.shape[2], received.shape[3])) > 0.5).float()[:, 0]
    lost = contextual(received, original, temperature) * background
    return (lost.sum((1, 2)) / (background.sum((1, 2)) + EPSILON)).mean()


class Objective:
    """The loss of a step, from the outputs of the networks.

    Args:
        config: Configuration of the training.
        device: PyTorch device.

    Raises:
        ConfigError: The contextual loss is wanted, and the weights of its trunk are not installed.
    """

    def __init__(self, config: GenedTraining, device: torch.device) -> None:
        self.config, self.device = config, device
        wants_trunk = config.objective == "paper" and config.lambda_background > 0
        self.trunk: nn.Module | None = None
        if wants_trunk:
            trunk = Vgg16Features()
            self.trunk = trunk.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, x_hat: Tensor, logits: list[Tensor], batch: Sample) -> Tensor:
        """The loss of a batch.

        Args:
            x_hat: [B, 3, H, W], not clipped.
            logits: Logits of importance, of any size: S, M and the finer mask.
            batch: The originals with their masks and weights.
        """
        config, device = self.config, self.device
        x, target = batch.x.to(device).float() / 255, batch.target.to(device)
        if config.objective == "mse":
            return F.mse_loss(x_hat, x)
        matches = torch.stack([known_cross_entropy(logit, target, config.match_loss) for logit in logits])
        if config.objective == "log":
            return weighted_log_error(x_hat, x, batch.weight.to(device)) + config.mask_loss * matches.sum()
        mask = F.interpolate((target > 0.5).float(), scale_factor=4)
        loss = config.lambda_match * matches.mean() + config.lambda_foreground * foreground_loss(x_hat, x, mask)
        loss = loss + config.lambda_background_mse * foreground_loss(x_hat, x, 1 - mask)
        if self.trunk is not None:
            with torch.autocast(device.type, torch.bfloat16):
                with torch.no_grad():
                    original = self.trunk(x.contiguous(memory_format=torch.channels_last))
                received = self.trunk(x_hat.contiguous(memory_format=torch.channels_last))
            lost = background_loss(received.float(), original.float(), mask, config.contextual_temperature)
            loss = loss + config.lambda_background * lost
        return loss
