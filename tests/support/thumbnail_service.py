# SPDX-License-Identifier: GPL-3.0-or-later
"""A service for the worker that needs no weights: a picture as a 16x16 thumbnail of grey values, one symbol each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from waiting import wait_until

from gened.errors import CodecError, OtherWeightsError
from gened.gr_blocks.phy.types import Encoded, Received
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.serving.codec_service import DecodedPicture, EncodedPicture

CODEC_ID = 0xFEDCBA98
SIDE = 16
SERVICE = "thumbnail_service:ThumbnailService"


class ThumbnailService:
    """Answers `encode` and `decode` as the codec service does, and a few methods that misbehave."""

    def encode(
        self,
        codec: str,
        image: Any,
        *,
        options: EncodeOptions,
        mask: Any = None,
    ) -> EncodedPicture:
        """Its side information is "t", or tells what it was asked for."""
        if codec == "broken":
            raise CodecError("this codec cannot encode")
        height, width = (side - side % SIDE for side in image.shape[:2])
        grey = image[:height, :width].mean(axis=2).reshape(SIDE, height // SIDE, SIDE, width // SIDE).mean(axis=(1, 3))
        symbols = ((grey.ravel() - 127.5) / 64).astype(np.complex64)
        is_plain = mask is None and (options.focus, options.refine_steps) == (None, 0)
        n_important = None if mask is None else int((mask == 255).sum())
        side_info = b"t" if is_plain else f"{n_important} {options.focus} {options.refine_steps}".encode()
        side_mode = "bpsk-1/2x2" if options.side_margin_db else None
        return EncodedPicture(Encoded(symbols, side_info, side_mode), CODEC_ID, 1.0)

    def decode(self, codec_id: int, received: Received) -> DecodedPicture:
        if codec_id != CODEC_ID:
            raise OtherWeightsError(f"no codec has the number {codec_id:08x}")
        grey = np.clip(received.symbols.real * 64 + 127.5, 0, 255).astype(np.uint8).reshape(SIDE, SIDE)
        rows = np.arange(received.size.height) * SIDE // received.size.height
        columns = np.arange(received.size.width) * SIDE // received.size.width
        image = np.repeat(grey[rows][:, columns, None], 3, axis=2)
        mask = np.full(image.shape[:2], 255, np.uint8) if received.side_info == b"m" else None
        return DecodedPicture(image, False, mask, "thumbnail", 1.0)

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)  # a job that takes its time
        return seconds

    def hold(self, begun: str, released: str) -> None:
        """A job that makes one file when it begins and ends when another is there."""
        Path(begun).touch()
        assert wait_until(Path(released).exists, 240.0)

    def die(self) -> None:
        os._exit(7)

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def say(self, text: str) -> int:
        os.write(1, f"{text}\n".encode())
        return os.getpid()

    def unsendable(self) -> Any:
        return lambda: None
