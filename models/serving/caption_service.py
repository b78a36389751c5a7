# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of a worker process that writes captions with one captioner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gened.models.captioning.base import check_caption
from gened.models.captioning.registry import load_captioner
from gened.models.data.images import Mask, Pixels, to_float


class CaptionService:
    """Writes captions with a captioner that is loaded once.

    Args:
        captioner: See `load_captioner`.
        options: Options of the captioner.
        device: PyTorch device.

    Raises:
        CaptionerError: As `load_captioner`.
    """

    def __init__(self, captioner: str, options: Mapping[str, Any] | None = None, device: str = "cpu") -> None:
        self._captioner = load_captioner(captioner, device=device, **(options or {}))

    def ready(self) -> bool:
        """True: the weights are loaded."""
        return True

    def describe(self, image: Pixels, max_bytes: int, mask: Mask | None = None) -> str:
        """A caption for a photograph.

        Args:
            image: [H, W, 3] uint8 RGB.
            max_bytes: Largest length of the caption, UTF-8 bytes.
            mask: [H, W] uint8, 255 is important; None: unknown.

        Raises:
            CaptionerError: The captioner cannot work, or breaks its contract.
        """
        importance = None if mask is None else mask.astype(np.float32) / np.float32(255)
        return check_caption(self._captioner.describe(to_float(image), max_bytes=max_bytes, mask=importance), max_bytes)
