# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker process does: pictures through codecs, by name at the sender and by number at the receiver."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from gened.errors import GenedError, OtherWeightsError
from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.codecs.base import Codec
from gened.models.codecs.registry import codec_names, load_codec
from gened.models.data.images import Mask, to_float, to_uint8

Image = npt.NDArray[np.uint8]
QUICK = ("softcast", "hevc-ldpc")
"""Codecs without PyTorch: they load in a moment, and are tried first when a header names an unknown number."""


@dataclass(frozen=True)
class EncodedPicture:
    """Answer of `encode`."""

    encoded: Encoded
    codec_id: int
    encode_ms: float


@dataclass(frozen=True)
class DecodedPicture:
    """Answer of `decode`."""

    image: Image
    """[H, W, 3] uint8 RGB."""
    is_lost: bool
    """Whether the picture is only a stand-in, because what decides everything did not arrive."""
    mask: Mask | None
    """[H, W] uint8 importance as the receiver knows it, 255 is important."""
    codec: str
    """Name of the codec that the header's number stands for."""
    decode_ms: float


class CodecService:
    """Keeps the codecs it was asked for, so that weights load once.

    Args:
        codecs: Names or folders to look through, besides the registry's own, for the codec that a header names.
        device: See `load_codec`.
    """

    def __init__(self, codecs: tuple[str, ...] = (), *, device: str = "cpu") -> None:
        self._device = device
        self._by_name: dict[str, Codec] = {}
        self._by_id: dict[int, Codec] = {}
        self._untried = sorted(codec_names(), key=lambda name: name in QUICK)
        for name in codecs:
            self._codec(name)

    def ready(self) -> bool:
        """True: the imports are done."""
        return True

    def encode(
        self,
        codec: str,
        image: Image,
        *,
        rate: Fraction,
        snr_db: float,
        mask: Mask | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
        side_margin_db: float = 0.0,
    ) -> EncodedPicture:
        """Symbols of a picture.

        Args:
            codec: Name or folder.
            image: [H, W, 3] uint8 RGB.
            rate: Complex symbols per source value.
            snr_db: Es/N0 to design for, as the header will tell it.
            mask: [H, W] uint8, 255 is important; None: nothing is told of it.
            focus: Weight of what is important; None: the codec's own.
            refine_steps: Gradient steps spent on the picture.
            seed: Of whatever the codec draws.
            side_margin_db: How far a burst may fade before the side information is lost.

        Raises:
            CodecError: Unknown codec, missing weights, or a rate, mask, focus, refinement or margin that it cannot do.
        """
        chosen = self._codec(codec)
        x = to_float(image)
        importance = None if mask is None else mask.astype(np.float32) / np.float32(255)
        begin = time.perf_counter()
        encoded = chosen.encode(
            x, rate=rate, snr_db=snr_db, mask=importance, focus=focus, refine_steps=refine_steps, seed=seed,
            **({"side_margin_db": side_margin_db} if side_margin_db else {}),
        )  # fmt: skip
        return EncodedPicture(encoded, chosen.codec_id, 1e3 * (time.perf_counter() - begin))

    def decode(self, codec_id: int, received: Received) -> DecodedPicture:
        """The picture of a received frame.

        Raises:
            OtherWeightsError: No codec here has this number: another codec, or other weights.
        """
        chosen = self._numbered(codec_id)
        begin = time.perf_counter()
        decoded = chosen.decode(received)
        decode_ms = 1e3 * (time.perf_counter() - begin)
        mask = None if decoded.mask is None else to_uint8(decoded.mask[None])[..., 0]
        return DecodedPicture(to_uint8(decoded.x_hat), decoded.is_lost, mask, chosen.name, decode_ms)

    def _codec(self, name: str) -> Codec:
        if name not in self._by_name:
            codec = load_codec(name, device=self._device)
            self._by_name[name] = self._by_id[codec.codec_id] = codec
        return self._by_name[name]

    def _numbered(self, codec_id: int) -> Codec:
        """The codec of a header's number.

        An unknown number makes the codecs load one after the other until it is found, each once: it may be forged.
        """
        while codec_id not in self._by_id and self._untried:
            with contextlib.suppress(GenedError):  # one without its weights is no reason to lose the others
                self._codec(self._untried.pop())
        if codec_id not in self._by_id:
            known = ", ".join(f"{codec.name} {number:08x}" for number, codec in self._by_id.items())
            raise OtherWeightsError(
                f"no codec here has the sender's number {codec_id:08x} (here: {known}); both ends need the same weights"
            )
        return self._by_id[codec_id]
