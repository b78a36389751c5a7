# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of all picture codecs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import Encoded, Received

Picture = npt.NDArray[np.float32]
"""[3, H, W] float32 RGB in [0, 1]."""
Pictures = npt.NDArray[np.float32]
"""[B, 3, H, W] float32 RGB in [0, 1]."""
Map = npt.NDArray[np.float32]
"""[H, W] float32 in [0, 1]."""
Maps = npt.NDArray[np.float32]
"""[B, H, W] float32 in [0, 1]."""


@dataclass(frozen=True)
class Decoded:
    """A picture as its codec could restore it."""

    x_hat: Picture
    """[3, H, W] float32 RGB in [0, 1]."""
    mask: Map | None = None
    """Importance as the receiver knows it."""
    confidence: Map | None = None
    """How much of each pixel's picture arrived; 0 everywhere means that the frame is lost and the picture only a
    stand-in."""

    @property
    def is_lost(self) -> bool:
        """Whether the codec gave a stand-in because what decides everything did not arrive."""
        return self.confidence is not None and not bool(self.confidence.any())


class Codec(Protocol):
    """What `evaluate`, the worker and the commands ask of a codec.

    A codec that is made with the device "numpy" encodes without importing PyTorch, or its constructor raises
    `CodecError`. What it cannot do of mask, focus and refinement, `encode` refuses; it leaves out nothing in silence.
    """

    name: str
    codec_id: int
    """32 bits: hash of name, configuration and weights. In the header, so that other weights end in a clear error."""

    def encode(
        self,
        x: Picture,
        *,
        rate: Fraction,
        snr_db: float,
        mask: Map | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
        side_margin_db: float = 0.0,
    ) -> Encoded:
        """Picture to symbols and side information, within `phy.budget.budget(size, rate, snr_db)`.

        Args:
            x: [3, H, W] in [0, 1].
            rate: (analogue + side symbols) / (3 H W).
            snr_db: What the code is made for, as the header tells it (`phy.header.quantize_snr_db`).
            mask: Importance of each pixel, [H, W] in [0, 1]; None: the codec's own, or none.
            focus: Weight of important against other blocks; None: the codec's default.
            refine_steps: Gradient steps spent on this picture.
            seed: For codecs that draw.
            side_margin_db: How far a burst may fade below `snr_db` before the side information is lost; only given
                where it is not 0.

        Raises:
            CodecError: The codec cannot do what is asked: the rate, or a mask, focus, refinement or margin that it
                lacks.
        """
        ...

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols."""
        ...


@runtime_checkable
class BatchedCodec(Protocol):
    """What a codec with networks may have besides: many pictures at once, for training and evaluation on a GPU."""

    def encode_batch(
        self,
        x: Pictures,
        *,
        rate: Fraction,
        snr_db: float,
        masks: Maps | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seeds: Sequence[int] = (),
        side_margin_db: float = 0.0,
    ) -> list[Encoded]:
        """As `Codec.encode` of each, up to rounding; pictures of one size, [B, 3, H, W], one seed each or none."""
        ...

    def decode_batch(self, received: Sequence[Received]) -> list[Decoded]:
        """As `Codec.decode` of each, up to rounding; frames of any sizes and rates."""
        ...


def encode_batch(
    codec: Codec,
    x: Pictures,
    *,
    rate: Fraction,
    snr_db: float,
    masks: Maps | None = None,
    seeds: Sequence[int] = (),
    **others: Any,
) -> list[Encoded]:
    """Pictures of one size through any codec: at once where it can, else one after another.

    Args:
        codec: Of either kind.
        x: [B, 3, H, W].
        rate: See `Codec.encode`, as are all others.
        snr_db: Told of all.
        masks: [B, H, W]; None: the codec's own, or none.
        seeds: One for each picture; none: 0 for all.
        others: Further keywords of `Codec.encode`.

    Raises:
        CodecError: The codec cannot do what is asked.
    """
    if isinstance(codec, BatchedCodec):
        told = others if masks is None else {**others, "masks": masks}
        return codec.encode_batch(x, rate=rate, snr_db=snr_db, seeds=seeds, **told)
    each = [others if masks is None else {**others, "mask": masks[i]} for i in range(len(x))]
    return [
        codec.encode(one, rate=rate, snr_db=snr_db, seed=seeds[i] if seeds else 0, **each[i]) for i, one in enumerate(x)
    ]


def decode_batch(codec: Codec, received: Sequence[Received]) -> list[Decoded]:
    """Frames through any codec: at once where it can, else one after another."""
    return codec.decode_batch(received) if isinstance(codec, BatchedCodec) else [codec.decode(one) for one in received]


def codec_id(name: str, configuration: dict[str, Any], weights: bytes = b"") -> int:
    """32-bit hash of what both ends must have in common."""
    description = json.dumps([name, configuration], sort_keys=True, separators=(",", ":")).encode()
    return zlib.crc32(weights, zlib.crc32(description))
