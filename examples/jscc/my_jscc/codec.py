# SPDX-License-Identifier: GPL-3.0-or-later
"""The network and the codec: 8 complex symbols per 8x8 pixels, rate 1/24."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.errors import CodecError
from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.channel import normalize_power
from gened.models.codecs.base import Decoded, Picture, codec_id

NAME, RATE = "my-jscc", Fraction(1, 24)
FOLDER = Path("runs/my-jscc")
"""Folder in which `gened train my-jscc` leaves the weights."""


class Network(nn.Module):
    """Encoder and decoder. Symbols are pairs of reals, [B, 8, h, w, 2], for pictures [B, 3, 8 h, 8 w]."""

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(8), nn.Conv2d(192, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, 16, 3, padding=1)
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(24, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU(),
            nn.Conv2d(width, 192, 1), nn.PixelShuffle(8),
        )  # fmt: skip

    def encode(self, x: Tensor) -> Tensor:
        """Pictures to symbols of mean power 1."""
        return normalize_power(self.encoder(x - 0.5).unflatten(1, (8, 2)).movedim(2, -1))

    def decode(self, symbols: Tensor, noise_var: Tensor) -> Tensor:
        """Received symbols and their noise variances, [B, 8, h, w], inf where lost, to pictures."""
        trust = 1 / (1 + noise_var)  # 0 where lost
        reals = (symbols * trust[..., None]).movedim(-1, 2).flatten(1, 2)  # [B, 16, h, w]
        picture: Tensor = self.decoder(torch.cat([reals, trust], 1)) + 0.5
        return picture


class MyJscc:
    """The codec: for pictures of any size; patches at the edges are completed, and the last symbols are not sent."""

    name = NAME

    def __init__(self, folder: Path | None = None, *, device: str = "cpu") -> None:
        path = (folder or FOLDER) / "model.safetensors"
        if device == "numpy":
            raise CodecError(f"{NAME} needs PyTorch at the transmitter")
        self.device, self.network = device, Network().to(device)
        try:
            self.network.load_state_dict(load_file(path, device))
            self.codec_id = codec_id(NAME, {}, path.read_bytes())
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CodecError(f"no weights of {NAME} in {path}; gened train {NAME} makes them") from error

    @torch.inference_mode()
    def encode(self, x: Picture, *, rate: Fraction, snr_db: float) -> Encoded:
        """Symbols within the budget of the rate, without side information."""
        if rate != RATE:
            raise CodecError(f"{NAME} has the rate {RATE}, not {rate}")
        height, width = x.shape[1:]
        edges = (0, -width % 8, 0, -height % 8)
        whole = F.pad(torch.from_numpy(x)[None].to(self.device), edges, mode="replicate")
        pairs = self.network.encode(whole).reshape(1, -1, 2)[:, : 3 * height * width // 24]
        return Encoded(torch.view_as_complex(normalize_power(pairs)[0]).cpu().numpy())

    @torch.inference_mode()
    def decode(self, received: Received) -> Decoded:
        """The picture of whatever arrived."""
        height, width = received.size
        h, w = -(-height // 8), -(-width // 8)
        symbols, noise_var = received.usable(8 * h * w)
        pairs, variances = symbols.view(np.float32).reshape(1, 8, h, w, 2), noise_var.reshape(1, 8, h, w)
        x_hat = self.network.decode(*(torch.from_numpy(part).to(self.device) for part in (pairs, variances)))
        picture = x_hat[0, :, :height, :width].clamp(0, 1).cpu().numpy()
        return Decoded(picture, confidence=np.full(received.size, np.isfinite(noise_var).mean(), np.float32))
