# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec without networks: a reduced picture, two of its values per complex symbol. Any rate, any size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from gened.gr_blocks.phy.framing.budget import budget
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded, Picture, codec_id

LEAST_RMS = 10 ** (-255 / 100)
"""Smallest RMS value that the byte of side information can describe; it shows as no level of 8 bits."""


def reduced_size(size: ImageSize, n_symbols: int) -> tuple[int, int]:
    """Height and width of the largest reduced picture whose 3 h w values fit into the symbols; 0 where none does."""
    factor = min(1.0, (2 * n_symbols / (3 * size.height * size.width)) ** 0.5)
    return int(size.height * factor), int(size.width * factor)


def resized(x: Picture, height: int, width: int, how: Image.Resampling) -> Picture:
    """The picture in another size, [3, height, width]."""
    return np.stack([np.asarray(Image.fromarray(channel).resize((width, height), how)) for channel in x])


class Thumbnail:
    """The codec; it encodes with NumPy and Pillow alone, so the device does not matter."""

    name = "my-thumbnail"

    def __init__(self, folder: Path | None = None, *, device: str = "cpu", sharp: bool = True) -> None:
        self.filter = Image.Resampling.BICUBIC if sharp else Image.Resampling.BILINEAR
        self.codec_id = codec_id(self.name, {})  # without `sharp`, which both ends need not have in common

    def encode(self, x: Picture, *, rate: Fraction, snr_db: float) -> Encoded:
        """Symbols of mean power 1, and a byte with the scale, which costs nothing."""
        size = ImageSize(*x.shape[1:])
        height, width = reduced_size(size, budget(size, rate, snr_db).symbols)
        if not height * width:
            return Encoded(np.zeros(0, np.complex64), b"\0")
        values = resized(x, height, width, Image.Resampling.BOX).reshape(-1) - 0.5
        values = np.pad(values, (0, len(values) % 2), mode="edge").astype(np.float32)
        if np.sqrt(np.mean(values**2)) < LEAST_RMS:
            values[:] = LEAST_RMS  # uniform grey: symbols need a power
        rms = float(np.sqrt(np.mean(values**2)))
        code = round(-100 * np.log10(rms))
        return Encoded(((values / rms).view(np.complex64) / np.sqrt(2)).astype(np.complex64), bytes([code]))

    def decode(self, received: Received) -> Decoded:
        """The reduced picture by linear estimation, enlarged; grey where nothing arrived."""
        size, side = received.size, received.side_info
        height, width = reduced_size(size, budget(size, received.rate, received.snr_design_db).symbols)
        if side is None or len(side) != 1 or not height * width:
            return Decoded(np.full((3, *size), 0.5, np.float32), confidence=np.zeros(size, np.float32))
        symbols, noise_var = received.usable(-(-3 * height * width // 2))
        reliability = 1 / (1 + noise_var)  # 0 where lost
        rms = 10 ** (-side[0] / 100)
        values = (symbols * reliability * np.sqrt(2) * rms).astype(np.complex64).view(np.float32)
        small = values[: 3 * height * width].reshape(3, height, width) + 0.5
        x_hat = np.clip(resized(small, *size, self.filter), 0, 1).astype(np.float32)
        return Decoded(x_hat, confidence=np.full(size, reliability.mean(), np.float32))
