# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of `deepjscc`: a linear code that begins as the analytic optimum, and convolutional corrections of it.

    x --analysis--> u [256, H/32, W/32] --gain(snr)--> + --normalise--> symbols ~~~channel~~~> y
    x ------encoder network (snr), begins as zero------^                                        |
                                                                                  linear MMSE: u_hat
                                 x_hat = picture(u_hat) + decoder network(picture(u_hat), u_hat, reliability, snr)

A patch of 32x32 pixels always gets 128 complex symbols (rate 1/24), as in Bourtsoulatze, Burth Kurka and Gündüz, "Deep
joint source-channel coding for wireless image transmission", IEEE Trans. Cogn. Commun. Netw. 5(3), 2019; the SNR is an
input of both ends, as in Xu et al., "Wireless image transmission using deep source channel coding with attention
modules", IEEE Trans. CSVT 32(4), 2022.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's own name for it

SNR_EMBEDDING = 64
SNR_KNOTS_DB = tuple(range(-4, 22, 2))  # 13 Gaussian bumps over the SNRs that a picture link meets


@dataclass(frozen=True)
class DeepJsccConfig:
    """Shape of the networks; saved beside the weights."""

    patch: int = 32
    reals_per_patch: int = 256
    encoder_widths: tuple[int, int, int] = (64, 128, 128)
    decoder_widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    decoder_down_blocks: tuple[int, int] = (1, 1)
    decoder_middle_blocks: int = 2
    decoder_up_blocks: tuple[int, int] = (2, 2)

    def to_json(self) -> dict[str, Any]:
        """Plain types, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DeepJsccConfig:
        """The inverse of `to_json`; unknown keys are an error of the constructor."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)


class Coded(NamedTuple):
    """What the encoder sends."""

    reals: Tensor
    """[B, 256, H/32, W/32], mean square 1/2 over each group of pictures."""
    log_scale: Tensor
    """[B] natural logarithm of the factor that brought the group to that power."""


class SnrEmbedding(nn.Module):
    """An SNR in dB as Gaussian bumps, through a small perceptron: [B] -> [B, 64]."""

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
        """[B] dB, and [B, extra], to [B, SNR_EMBEDDING]."""
        assert isinstance(self.knots, Tensor)
        bumps = torch.exp(-0.5 * ((snr_db.clamp(-6, 22)[:, None] - self.knots) / 2.0) ** 2)
        result: Tensor = self.mlp(bumps if extra is None else torch.cat([bumps, extra], 1))
        return result


class Block(nn.Module):
    """Residual block: GroupNorm - SiLU - 3x3 - GroupNorm - scale and shift from the SNR - SiLU - 3x3 (begins as
    zero)."""

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
        """[B, width, h, w] and [B, SNR_EMBEDDING] to [B, width, h, w]."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        result: Tensor = x + h
        return result


class Stage(nn.Module):
    """A row of blocks of one width."""

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[B, width, h, w] and [B, SNR_EMBEDDING] to [B, width, h, w]."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


class EncoderNetwork(nn.Module):
    """[B, 3, H, W] -> [B, 256, H/32, W/32], in units of a symbol's two reals; begins as zero."""

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
        """[B, 3, H, W] and [B, SNR_EMBEDDING] to [B, reals_per_patch, H/32, W/32]."""
        h = self.stage4(self.into(F.pixel_unshuffle(x - 0.5, 4)), embedding)
        h = self.stage8(self.down8(h), embedding)
        h = self.stage16(self.down16(h), embedding)
        result: Tensor = self.out(F.pixel_unshuffle(h, 2))
        return result


class DecoderNetwork(nn.Module):
    """A U-shaped network over the linear picture, with the coefficients entering at 1/16; its correction begins as
    zero."""

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
            reliability: Share of each coefficient's variance that the estimate holds, in [0, 1], same shape.
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


def water_filling(variances: Tensor, noise_var: Tensor) -> Tensor:
    """Powers that minimise the error of a linear analogue code at mean power 1/2 a real.

    p_i = max(0, m sqrt(lambda_i) - sigma^2), m such that their mean is 1/2 (Lee and Petersen, "Optimal linear coding
    for vector channels", IEEE Trans. Commun. 24(12), 1976). m is found in closed form: with variances falling, the
    active set is a prefix.

    Args:
        variances: [n], falling.
        noise_var: [B], noise variance of a real.

    Returns:
        [B, n].
    """
    n = len(variances)
    root = variances.sqrt()
    counts = torch.arange(1, n + 1, device=root.device, dtype=root.dtype)
    level = (0.5 * n + counts * noise_var[:, None]) / root.cumsum(0)  # [B, n]: m if just the first i are active
    active = level * root > noise_var[:, None]  # true for the right prefix and all shorter ones
    last = active.to(torch.int64).sum(1).clamp(min=1) - 1
    return (level.gather(1, last[:, None]) * root - noise_var[:, None]).clamp(min=0)


class DeepJsccNetwork(nn.Module):
    """Both ends in one module; `encode` and `decode` are what the codec calls, `forward` is for training."""

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
        """Power of each coefficient's real, [B, 256, 1, 1]; both ends compute it from the design SNR."""
        analytic = water_filling(self.log_variance.detach().exp(), 0.5 * 10 ** (-snr_db / 10))
        # A coefficient that the plan leaves out keeps a trace of power: a root has no slope at zero.
        return (analytic * torch.exp(self.encoder_gain(embedding)) + 1e-4)[:, :, None, None]

    def encode(self, x: Tensor, snr_db: Tensor, *, group: int = 1) -> Coded:
        """Pictures to reals.

        Args:
            x: [B, 3, H, W] in [0, 1], H and W multiples of 32.
            snr_db: Design SNR, [B].
            group: So many consecutive pictures share one power normalisation (training on small crops).
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
            noise_var: Of each real (half of the complex one), same shape; inf where it was lost.
            snr_db: Design SNR from the header, [B].
            log_scale: As the encoder told it, [B].

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

    def forward(self, x: Tensor, snr_db: Tensor, lost: Tensor, noise: Tensor, *, group: int = 1) -> Tensor:
        """Through an AWGN channel with erasures.

        Args:
            x: [B, 3, H, W].
            snr_db: [B].
            lost: bool, [B, 256, h, w].
            noise: Standard normal, same shape.
            group: See `encode`.
        """
        coded = self.encode(x, snr_db, group=group)
        noise_var = (0.5 * 10 ** (-snr_db / 10))[:, None, None, None].expand_as(noise)
        reals = coded.reals + noise * noise_var.sqrt()
        return self.decode(reals, torch.where(lost, torch.inf, noise_var), snr_db, coded.log_scale)
