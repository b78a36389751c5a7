# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs of another package, each of which breaks one rule of the contract, and one that keeps all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.softcast.codec import SoftCast

GAIN = 10
REPETITION = 24


class FairCodec(SoftCast):
    """`softcast` under another name, so that its number is another one."""

    name = "fair"

    def __init__(self, folder: Path | None = None, *, device: str = "cpu") -> None:
        super().__init__(folder, device=device)
        self.codec_id ^= sum(map(ord, self.name))


class LoudCodec(FairCodec):
    """Multiplies its symbols, and divides by the same factor at the receiver: a higher SNR than was asked for."""

    name = "loud"

    def encode(self, *arguments: Any, **settings: Any) -> Encoded:
        encoded = super().encode(*arguments, **settings)
        return replace(encoded, symbols=(GAIN * encoded.symbols).astype(np.complex64))

    def decode(self, received: Received) -> Decoded:
        symbols, noise_var = received.symbols / GAIN, received.noise_var / GAIN**2
        return super().decode(replace(received, symbols=symbols.astype(np.complex64), noise_var=noise_var))


class GreedyCodec(FairCodec):
    """Repeats each symbol and combines the copies at the receiver: more symbols than its rate has."""

    name = "greedy"

    def encode(self, *arguments: Any, **settings: Any) -> Encoded:
        encoded = super().encode(*arguments, **settings)
        return replace(encoded, symbols=np.repeat(encoded.symbols, REPETITION))

    def decode(self, received: Received) -> Decoded:
        n = len(received.symbols) // REPETITION
        symbols = received.symbols[: n * REPETITION].reshape(n, REPETITION).mean(1).astype(np.complex64)
        noise_var = received.noise_var[: n * REPETITION : REPETITION] / REPETITION
        return super().decode(replace(received, symbols=symbols, noise_var=noise_var))


class TransposedCodec(FairCodec):
    """Decodes to [H, W, 3] in place of [3, H, W]."""

    name = "transposed"

    def decode(self, received: Received) -> Decoded:
        decoded = super().decode(received)
        return replace(decoded, x_hat=decoded.x_hat.transpose(1, 2, 0))


class PatchyCodec(FairCodec):
    """The first of its symbols are no numbers."""

    name = "patchy"
    n_bad = 3

    def encode(self, *arguments: Any, **settings: Any) -> Encoded:
        encoded = super().encode(*arguments, **settings)
        symbols = encoded.symbols.copy()
        symbols[: self.n_bad] = np.nan
        return replace(encoded, symbols=symbols)


CODECS = (FairCodec, LoudCodec, GreedyCodec, TransposedCodec, PatchyCodec)


def install(folder: Path) -> None:
    """Make the codecs known by entry points to every process that has the folder and this one on its path."""
    place = folder / "unfair-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: unfair\nVersion: 1.0\n")
    lines = [f"{codec.name} = unfair_codecs:{codec.__name__}" for codec in CODECS]
    (place / "entry_points.txt").write_text("\n".join(["[gened.codecs]", *lines, ""]))
