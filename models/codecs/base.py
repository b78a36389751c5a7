# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of all picture codecs."""

from __future__ import annotations

import inspect
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gened.errors import CodecError
from gened.gr_blocks.phy.framing.planning import sendable
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs import contract
from gened.models.codecs.encode_options import EncodeOptions

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
    """A decoded picture."""

    x_hat: Picture
    """[3, H, W] float32 RGB in [0, 1]."""
    mask: Map | None = None
    """Importance as the receiver knows it, [H, W] in [0, 1]; None: unknown."""
    confidence: Map | None = None
    """Share of each pixel's information that arrived, [H, W] in [0, 1]; 0 everywhere means that the frame is lost and
    the picture a substitute."""

    @property
    def is_lost(self) -> bool:
        """Whether the picture is a substitute because essential side information or data did not arrive."""
        return self.confidence is not None and not bool(self.confidence.any())


class Codec(Protocol):
    """A codec of pictures, used by `evaluate`, the worker and the commands.

    `encode` has a keyword for each setting of `EncodeOptions` that the codec knows, named as the field, and one named
    `mask` if it can weigh pixels; `encode_picture` passes what was chosen and refuses the rest for it. A codec that is
    made with the device "numpy" encodes without importing PyTorch, or its constructor raises `CodecError`.
    """

    name: str
    codec_id: int
    """Hash of name, configuration and weights, 32 bits. In the header, so that other weights give a clear error."""

    def encode(self, x: Picture, *, rate: Fraction, snr_db: float) -> Encoded:
        """Picture to symbols and side information, within `phy.framing.budget.budget(size, rate, snr_db)`.

        Args:
            x: [3, H, W] in [0, 1].
            rate: (analogue + side symbols) / (3 H W).
            snr_db: Design SNR, as the header carries it (`quantize_snr_db`).

        Optional keywords, each passed only where it is not its default:
            seed (int): For codecs that draw; always passed to a codec that has the keyword.
            mask ([H, W] float32 in [0, 1]): Importance of each pixel; without one, the codec's own, or none.
            focus, refine_steps, side_margin_db and every other field: See `EncodeOptions`.

        Raises:
            CodecError: The codec does not support the rate or the value of a setting.
        """
        ...

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols."""
        ...


@runtime_checkable
class BatchedCodec(Protocol):
    """Optional methods of a codec with networks: batches, for training and evaluation on a GPU."""

    def encode_batch(self, x: Pictures, *, rate: Fraction, snr_db: float) -> list[Encoded]:
        """As `Codec.encode` of each, up to rounding; pictures of one size, [B, 3, H, W].

        Optional keywords are those of `encode`, but `masks` [B, H, W] in place of `mask`, and `seeds`, one per picture
        or none, in place of `seed`.
        """
        ...

    def decode_batch(self, received: Sequence[Received]) -> list[Decoded]:
        """As `Codec.decode` of each, up to rounding; frames of any sizes and rates."""
        ...


def encode_picture(
    codec: Codec,
    x: Picture,
    options: EncodeOptions,
    *,
    mask: Map | None = None,
    name: str = "",
    is_live: bool = False,
) -> Encoded:
    """One picture through any codec, with the settings that it knows; the result is checked (`contract.py`).

    Args:
        codec: Any codec.
        x: [3, H, W].
        options: Settings; those that are not at their defaults must be known to the codec.
        mask: Importance of each pixel, [H, W]; None: the codec's own, or none.
        name: Name of the picture for messages; empty if it has none.
        is_live: For a running link: symbols that are not finite are checked as the 0 that the modulator sends for each,
            so that a few of them do not cost the picture.

    Raises:
        CodecError: The codec does not know a setting, does not support its value, or breaks the contract.
    """
    keywords = _keywords(codec, codec.encode, options, {"mask": mask}, {"seed": options.seed})
    encoded = codec.encode(x, **keywords)
    _checked(codec, _as_sent(encoded) if is_live else encoded, x, options, name)
    return encoded


def _as_sent(encoded: Encoded) -> Encoded:
    """The encoded picture with the symbols that the modulator sends; anything else is left to the check."""
    symbols = getattr(encoded, "symbols", None)
    if not isinstance(symbols, np.ndarray) or symbols.dtype != np.complex64:
        return encoded
    return replace(encoded, symbols=sendable(symbols))


def encode_batch(
    codec: Codec,
    x: Pictures,
    options: EncodeOptions,
    *,
    masks: Maps | None = None,
    seeds: Sequence[int] = (),
    names: Sequence[str] = (),
) -> list[Encoded]:
    """Pictures of one size through any codec: at once where it can, else one after another; the results are checked.

    Args:
        codec: Of either kind.
        x: [B, 3, H, W].
        options: Settings of all; see `encode_picture`.
        masks: [B, H, W]; None: the codec's own, or none.
        seeds: One for each picture; none: that of the options for all.
        names: Names of the pictures for messages; none: they have none.

    Raises:
        CodecError: The codec does not know a setting, does not support its value, or breaks the contract.
    """
    seeds, names = seeds or [options.seed] * len(x), names or [""] * len(x)
    if isinstance(codec, BatchedCodec):
        found = codec.encode_batch(
            x, **_keywords(codec, codec.encode_batch, options, {"masks": masks}, {"seeds": seeds})
        )
        if len(found) != len(x):
            raise CodecError(f"codec {codec.name}: encode_batch returned {len(found)} results for {len(x)} pictures")
        return [_checked(codec, *each) for each in zip(found, x, [options] * len(x), names, strict=True)]
    return [
        encode_picture(codec, one, replace(options, seed=seed), mask=None if masks is None else masks[i], name=name)
        for i, (one, seed, name) in enumerate(zip(x, seeds, names, strict=True))
    ]


def _checked(codec: Codec, encoded: Encoded, x: Picture, options: EncodeOptions, name: str) -> Encoded:
    """The encoded picture, if it keeps the rules for its size, rate and SNR."""
    size = ImageSize(x.shape[1], x.shape[2])
    return contract.check_encoded(
        encoded, codec=codec.name, size=size, rate=options.rate, snr_db=options.snr_db, picture=name
    )


def _keywords(
    codec: Codec,
    encode: Callable[..., Any],
    options: EncodeOptions,
    masks: Mapping[str, Any],
    seeds: Mapping[str, Any],
) -> dict[str, Any]:
    """Keywords of `encode`, by its signature.

    Raises:
        CodecError: It lacks one for a setting that was chosen, or for a mask that was given.
    """
    parameters = inspect.signature(encode).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    asked = options.chosen() | {name: mask for name, mask in masks.items() if mask is not None}
    if asked.get("focus") == 1 and "focus" not in parameters and not takes_all:
        del asked["focus"]  # no weight at all: what a codec without the setting does anyway
    for name in asked:
        if name not in parameters and not takes_all:
            what = "a mask" if name in masks else options.flag(name)
            raise CodecError(f"codec {codec.name} does not know {what}; leave it out, or take another codec")
    kept = {name: seed for name, seed in seeds.items() if name in parameters or takes_all}
    return {"rate": options.rate, "snr_db": options.snr_db, **asked, **kept}


def decode_picture(codec: Codec, received: Received, *, name: str = "") -> Decoded:
    """One frame through any codec; the result is checked (`contract.py`).

    Args:
        codec: Any codec.
        received: The frame.
        name: Name of the picture for messages; empty if it has none.

    Raises:
        CodecError: The result breaks the contract.
    """
    decoded = codec.decode(received)
    contract.check_decoded(decoded, codec=codec.name, size=received.size, picture=name)
    return decoded


def decode_batch(codec: Codec, received: Sequence[Received], *, names: Sequence[str] = ()) -> list[Decoded]:
    """Frames through any codec: at once where it can, else one after another; the results are checked.

    Args:
        codec: Any codec.
        received: The frames.
        names: Names of the pictures for messages; none: they have none.

    Raises:
        CodecError: A result breaks the contract.
    """
    names = names or [""] * len(received)
    if not isinstance(codec, BatchedCodec):
        return [decode_picture(codec, one, name=name) for one, name in zip(received, names, strict=True)]
    found = codec.decode_batch(received)
    if len(found) != len(received):
        raise CodecError(f"codec {codec.name}: decode_batch returned {len(found)} pictures for {len(received)} frames")
    for decoded, one, name in zip(found, received, names, strict=True):
        contract.check_decoded(decoded, codec=codec.name, size=one.size, picture=name)
    return found


def codec_id(name: str, configuration: dict[str, Any], weights: bytes = b"") -> int:
    """32-bit hash of what both ends must have in common."""
    description = json.dumps([name, configuration], sort_keys=True, separators=(",", ":")).encode()
    return zlib.crc32(weights, zlib.crc32(description))
