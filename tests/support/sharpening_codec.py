# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec with a setting and a constructor option that the package does not know: what a newcomer would add.

The setting touches two places: a field of the settings' record, here in a class of its own, and a keyword of `encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
from installing import install_entry_points

from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.codecs.base import Decoded, Picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.option_fields import Option

CODEC_ID = 0x5AA7BE11


@dataclass(frozen=True, kw_only=True)
class SharpeningOptions(EncodeOptions):
    """The settings of every codec, and one more."""

    sharpness: Annotated[float, Option("--sharpness", metavar="S", min=0, max=1)] = 0.0
    """Sharpness of edges, from 0 to 1."""


class SharpeningCodec:
    """Sends nothing but what it was asked for, as side information."""

    name = "sharpening"
    codec_id = CODEC_ID

    def __init__(self, folder: Path | None = None, *, device: str = "cpu", gain: float = 1.0) -> None:
        self._gain = gain

    def encode(self, x: Picture, *, rate: Fraction, snr_db: float, seed: int = 0, sharpness: float = 0.0) -> Encoded:
        return Encoded(np.ones(8, np.complex64), f"{rate} {snr_db} {seed} {sharpness} {self._gain}".encode())

    def decode(self, received: Received) -> Decoded:
        return Decoded(np.full((3, *received.size), 0.5, np.float32))


def install(folder: Path) -> None:
    """Makes the codec known by an entry point to every process that has the folder on its path."""
    install_entry_points(folder, "sharpening", {"gened.codecs": {"sharpening": "sharpening_codec:SharpeningCodec"}})
