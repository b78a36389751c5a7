# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of `deepjscc`: a linear code, initialised with the analytic optimum, and convolutional corrections of it.

    x --analysis--> u [256, H/32, W/32] --gain(snr)--> + --normalise--> symbols ~~~channel~~~> y
    x ------encoder network (snr), begins as zero------^                                        |
                                                                                  linear MMSE: u_hat
                                 x_hat = picture(u_hat) + decoder network(picture(u_hat), u_hat, reliability, snr)

A patch of 32x32 pixels always gets 128 complex symbols, rate 1/24.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.models.channel import ChannelDraws, transmit
from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.decoder import DecoderNetwork
from gened.models.codecs.deepjscc.encoder import EncoderNetwork
from gened.models.codecs.deepjscc.layers import SNR_EMBEDDING, SnrEmbedding


class Coded(NamedTuple):
    """Result of the encoder."""

    reals: Tensor
    """[B, 256, H/32, W/32], mean square 1/2 over each group of pictures."""
    log_scale: Tensor
    """[B], natural logarithm of the factor that normalises the group to that power."""


def water_filling(variances: Tensor, noise_var: Tensor) -> Tensor:
    """Powers that minimise the mean squared error of a linear analogue code at mean power 1/2 per real dimension.

    p_i = max(0, m sqrt(lambda_i) - sigma^2), with m such that their mean is 1/2. With falling variances the active set
    is a prefix, so m has a closed form.

    Args:
        variances: lambda, [n], falling.
        noise_var: sigma^2, noise variance per real dimension, [B].

    Returns:
        p, [B, n].

    References:
        Lee and Petersen, "Optimal linear coding for vector channels", IEEE Trans. Commun. 24(12), 1976.
    """
    n = len(variances)
    root = variances.sqrt()
    counts = torch.arange(1, n + 1, device=root.device, dtype=root.dtype)
    level = (0.5 * n + counts * noise_var[:, None]) / root.cumsum(0)  # [B, n]: m if the first i are active
    active = level * root > noise_var[:, None]  # true for the right prefix and all shorter ones
    last = active.to(torch.int64).sum(1).clamp(min=1) - 1
    return (level.gather(1, last[:, None]) * root - noise_var[:, None]).clamp(min=0)


class DeepJsccNetwork(nn.Module):
    """Both ends in one module: the codec calls `encode` and `decode`, training calls `forward`.

    Args:
        config: Widths and depths.
    """

    basis: Tensor
    mean: Tensor
    log_variance: Tensor

    def __init__(self, config: DeepJsccConfig) -> None:
        super().__init__()
        self.config = config
        size = 3 * config.patch**2
        self.basis = nn.Parameter(torch.zeros(config.reals_per_patch, size))
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_variance = nn.Parameter(torch.zeros(config.reals_per_patch))
        self.encoder_embedding = SnrEmbedding()
        self.encoder_gain = nn.Linear(SNR_EMBEDDING, config.reals_per_patch)
        self.encoder = EncoderNetwork(config)
        self.decoder_embedding = SnrEmbedding(extra=1)
        self.decoder = DecoderNetwork(config)
        nn.init.zeros_(self.encoder_gain.weight)
        nn.init.zeros_(self.encoder_gain.bias)

    def _powers(self, snr_db: Tensor, embedding: Tensor) -> Tensor:
        """Power of each coefficient, [B, 256, 1, 1]; both ends compute it from the design SNR."""
        analytic = water_filling(self.log_variance.detach().exp(), 0.5 * 10 ** (-snr_db / 10))
        # Coefficients without power keep 1e-4, because the gradient of the square root diverges at zero.
        return (analytic * torch.exp(self.encoder_gain(embedding)) + 1e-4)[:, :, None, None]

    def encode(self, x: Tensor, snr_db: Tensor, *, group: int = 1) -> Coded:
        """Pictures to reals.

        Args:
            x: [B, 3, H, W] in [0, 1], H and W multiples of 32.
            snr_db: Design SNR, [B].
            group: Number of consecutive pictures with a common power normalisation (training on small crops).
        """
        embedding = self.encoder_embedding(snr_db)
        with torch.autocast(x.device.type, enabled=False):
            patches = F.pixel_unshuffle(x.float(), self.config.patch) - self.mean[:, None, None]  # [B, 3072, h, w]
            u = torch.einsum("oi,bihw->bohw", self.basis, patches) * torch.exp(-0.5 * self.log_variance)[:, None, None]
            s = u * self._powers(snr_db, embedding.float()).sqrt()
        s = s + self.encoder(x, embedding).float()
        power = s.reshape(len(s) // group, -1).pow(2).mean(1).clamp(min=1e-8).repeat_interleave(group)
        log_scale = 0.5 * torch.log(0.5 / power)
        return Coded(s * torch.exp(log_scale)[:, None, None, None], log_scale)

    def decode(self, reals: Tensor, noise_var: Tensor, snr_db: Tensor, log_scale: Tensor) -> Tensor:
        """Received reals to pictures.

        Args:
            reals: [B, 256, h, w].
            noise_var: Noise variance of each real (half of the complex one), same shape; inf for lost symbols.
            snr_db: Design SNR from the header, [B].
            log_scale: From the side information, [B].

        Returns:
            [B, 3, 32 h, 32 w], not clipped.
        """
        scale = torch.exp(log_scale)[:, None, None, None]
        lost = ~torch.isfinite(noise_var)
        noise = torch.where(lost, torch.zeros_like(noise_var), noise_var) / scale**2
        mean_snr_db = -10 * torch.log10(
            2 * noise_var.where(~lost, torch.ones_like(noise_var)).flatten(1).mean(1).clamp(1e-4, 1e2)
        )
        with torch.autocast(reals.device.type, enabled=False):
            power = self._powers(snr_db, self.encoder_embedding(snr_db).float())
            gain = torch.where(lost, torch.zeros_like(noise), power.sqrt() / (power + noise + 1e-6))
            u_hat = gain * torch.where(lost, torch.zeros_like(reals), reals / scale)
            reliability = gain * power.sqrt()
            patches = torch.einsum(
                "oi,bohw->bihw", self.basis, u_hat * torch.exp(0.5 * self.log_variance)[:, None, None]
            )
            picture = F.pixel_shuffle(patches + self.mean[:, None, None], self.config.patch)
        embedding = self.decoder_embedding(mean_snr_db, log_scale[:, None])
        result: Tensor = picture + self.decoder(picture, u_hat, reliability, embedding).float()
        return result

    def forward(self, x: Tensor, snr_db: Tensor, draws: ChannelDraws, *, group: int = 1) -> Tensor:
        """Through a channel.

        Args:
            x: [B, 3, H, W].
            snr_db: Design SNR and SNR of the channel, [B].
            draws: Gains, noise and losses of the symbols, [B, 128, h, w].
            group: See `encode`.
        """
        coded = self.encode(x, snr_db, group=group)
        pairs = coded.reals.reshape(len(x), -1, 2, *coded.reals.shape[2:])  # channels 2 i and 2 i + 1 are a symbol
        received = transmit(pairs.movedim(2, -1), snr_db, draws)  # [B, 128, h, w, 2]
        reals = received.symbols.movedim(-1, 2).flatten(1, 2)  # [B, 256, h, w]: channels 2 i and 2 i + 1 are a symbol
        noise_var = received.noise_var.repeat_interleave(2, 1) / 2
        return self.decode(reals, noise_var, snr_db, coded.log_scale)
