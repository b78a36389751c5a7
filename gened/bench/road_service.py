# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec service without a codec: its pictures are black, so that a benchmark measures the transport alone."""

from __future__ import annotations

import numpy as np

from gened.gr_blocks.phy.types import Received
from gened.models.serving.codec_service import DecodedPicture


class BlackPictures:
    """Answers `decode` as `CodecService` does, without computing anything."""

    def decode(self, codec_id: int, received: Received) -> DecodedPicture:
        """A black picture of the frame's size, with a mask."""
        image = np.zeros((*received.size, 3), np.uint8)
        return DecodedPicture(image, False, np.zeros(received.size, np.uint8), f"{codec_id:08x}", 0.0)
