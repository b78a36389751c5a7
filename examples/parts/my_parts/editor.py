# SPDX-License-Identifier: GPL-3.0-or-later
"""An editor: sharpens what arrived, the less the noisier it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from gened.models.data.images import to_float, to_uint8
from gened.models.editing.base import Edited, EditRequest, blended


class Sharpener:
    """The editor. An option is a keyword of the constructor: `--editor-option radius=3`."""

    name, version, max_batch = "my-sharpener", "1", 8

    def __init__(self, *, device: str = "cpu", radius: float = 2.0) -> None:
        self.radius = radius

    def edit(self, request: EditRequest) -> Edited:
        """The picture with an unsharp mask; none below 0 dB, all of it from 20 dB."""
        begun = time.perf_counter()
        snr_db = 10.0 if request.snr_est_db is None else request.snr_est_db
        percent = round(100 * min(1.0, max(0.0, snr_db / 20)))
        picture = Image.fromarray(to_uint8(request.x_hat))
        sharp = to_float(np.asarray(picture.filter(ImageFilter.UnsharpMask(self.radius, percent, threshold=2))))
        return Edited(blended(request.x_hat, sharp, request.strength), time.perf_counter() - begun, self.name)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """One after another."""
        return [self.edit(request) for request in requests]
