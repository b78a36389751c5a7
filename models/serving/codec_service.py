# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of a worker process that encodes and decodes: codecs by name at the sender, by number at the receiver."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import GenedError, OtherWeightsError
from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.codecs.base import Codec, decode_picture, encode_picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.registry import codec_names, load_codec
from gened.models.data.images import Mask, to_float, to_uint8

Image = npt.NDArray[np.uint8]
QUICK = ("softcast", "hevc-ldpc")
"""Codecs without PyTorch. They load fast and are tried first for an unknown number in a header."""


@dataclass(frozen=True)
class EncodedPicture:
    """Result of `encode`."""

    encoded: Encoded
    codec_id: int
    encode_ms: float


@dataclass(frozen=True)
class DecodedPicture:
    """Result of `decode`."""

    image: Image
    """[H, W, 3] uint8 RGB."""
    is_lost: bool
    """Whether the picture is a substitute because essential data did not arrive."""
    mask: Mask | None
    """[H, W] uint8 importance as the receiver knows it, 255 is important."""
    codec: str
    """Name of the codec with the header's number."""
    decode_ms: float


class CodecService:
    """Encodes and decodes with codecs that are loaded once.

    Args:
        codecs: Names or folders of codecs beside those of the registry, for numbers in headers.
        device: See `load_codec`.
        options: Options of codecs, by the codec's name or folder; see `load_codec`.
    """

    def __init__(
        self,
        codecs: tuple[str, ...] = (),
        *,
        device: str = "cpu",
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._device = device
        self._options = dict(options or {})
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
        options: EncodeOptions,
        mask: Mask | None = None,
    ) -> EncodedPicture:
        """Symbols of a picture.

        Args:
            codec: Name or folder.
            image: [H, W, 3] uint8 RGB.
            options: Settings of this frame; the SNR is the one that the header carries.
            mask: [H, W] uint8, 255 is important; None: the codec's own, or none.

        Raises:
            CodecError: Unknown codec, missing weights, or a setting or mask that the codec cannot do.
        """
        chosen = self._codec(codec)
        x = to_float(image)
        importance = None if mask is None else mask.astype(np.float32) / np.float32(255)
        begin = time.perf_counter()
        encoded = encode_picture(chosen, x, options, mask=importance, is_live=True)
        return EncodedPicture(encoded, chosen.codec_id, 1e3 * (time.perf_counter() - begin))

    def decode(self, codec_id: int, received: Received) -> DecodedPicture:
        """The picture of a received frame.

        Raises:
            OtherWeightsError: No codec has this number: the sender has another codec or other weights.
            CodecError: The codec's result breaks the contract.
        """
        chosen = self._numbered(codec_id)
        begin = time.perf_counter()
        decoded = decode_picture(chosen, received)
        decode_ms = 1e3 * (time.perf_counter() - begin)
        mask = None if decoded.mask is None else to_uint8(decoded.mask[None])[..., 0]
        return DecodedPicture(to_uint8(decoded.x_hat), decoded.is_lost, mask, chosen.name, decode_ms)

    def _codec(self, name: str) -> Codec:
        if name not in self._by_name:
            codec = load_codec(name, device=self._device, **self._options.get(name, {}))
            self._by_name[name] = self._by_id[codec.codec_id] = codec
        return self._by_name[name]

    def _numbered(self, codec_id: int) -> Codec:
        """The codec with a header's number.

        For an unknown number the codecs are loaded one after another, each once, because the number may be forged.
        """
        while codec_id not in self._by_id and self._untried:
            with contextlib.suppress(GenedError):  # missing weights of one codec must not stop the search
                self._codec(self._untried.pop())
        if codec_id not in self._by_id:
            known = ", ".join(f"{codec.name} {number:08x}" for number, codec in self._by_id.items())
            raise OtherWeightsError(
                f"no codec here has the sender's number {codec_id:08x} (here: {known}); both ends need the same weights"
            )
        return self._by_id[codec_id]
