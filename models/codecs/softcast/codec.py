# SPDX-License-Identifier: GPL-3.0-or-later
"""`softcast`: the classical analogue scheme, NumPy and SciPy alone, any rate from 1/96 to 1/12 and any SNR.

`analog/linear.py` holds the code; this module adapts it to the contract of codecs.

References:
    Jakubczak and Katabi, "A cross-layer design for scalable mobile video", ACM MobiCom 2011 (SoftCast).
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from gened import paths
from gened.errors import CodecError
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.blocks import to_pixels
from gened.models.codecs.analog.linear import LinearCoder, block_importance
from gened.models.codecs.base import Decoded, Map, Picture, codec_id

DEFAULT_FOCUS = 4.0
WEIGHTS = paths.WEIGHTS / "softcast"


class SoftCast:
    """The codec `softcast`; see the module's docstring.

    Args:
        folder: `model.safetensors` and `config.json`; default: the statistics that ship with the package.
        device: Unused; there is no network.

    Raises:
        CodecError: No statistics in the folder, or not those of this codec.
    """

    name = "softcast"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        folder = Path(folder) if folder is not None else WEIGHTS
        try:
            description: dict[str, Any] = json.loads((folder / "config.json").read_text())
            weights = (folder / "model.safetensors").read_bytes()
            self.statistics = stats.from_tensors(load_tensors(weights))
            self.linear = LinearCoder(self.statistics)
            self.codec_id = codec_id(self.name, description["statistics"], weights)
        except FileNotFoundError as error:
            raise CodecError(f"no softcast statistics in {folder}: {Path(error.filename).name} is missing") from error
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CodecError(
                f"the statistics in {folder} are not those of softcast: {str(error).splitlines()[0]}"
            ) from error

    def encode(
        self,
        x: Picture,
        *,
        rate: Fraction = Fraction(1, 24),
        snr_db: float,
        mask: Map | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
        side_margin_db: float = 0.0,
    ) -> Encoded:
        """Picture to symbols.

        Args:
            x: [3, H, W] float32 RGB in [0, 1].
            rate: From 1/96 to 1/12.
            snr_db: Es/N0 that the code is made for.
            mask: Importance of each pixel, [H, W]; a block is important where its mean is at least 1/2.
            focus: Weight of important blocks against the others, 1/16 to 15; default 4. It needs a mask.
            refine_steps: Not of this codec: 0.
            seed: Unused; the code is deterministic.
            side_margin_db: How far a burst may fade below `snr_db` before the side information is lost, 0 to 30: it is
                sent in a mode for that SNR, and the picture has the rest.

        Raises:
            CodecError: A rate, a focus or a margin out of range, a focus without a mask, a refinement, or a mask of
                another shape.
        """
        if refine_steps:
            raise CodecError("softcast has nothing to refine: give no refinement steps")
        if mask is None and focus not in (None, 1):
            raise CodecError("softcast does not see by itself what is important: give a mask with the focus")
        importance, weight_q = block_importance(
            mask, DEFAULT_FOCUS if focus is None else focus, ImageSize(x.shape[1], x.shape[2])
        )
        analysis = self.linear.analyse(
            x, rate=rate, snr_db=snr_db, importance=importance, weight_q=weight_q, side_margin_db=side_margin_db
        )
        return self.linear.pack(analysis)

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols.

        Args:
            received: See `Received`. Values that are not numbers count as lost. Without side information
                the symbols cannot be assigned to coefficients: the result is the mean of all photographs, confidence 0.
        """
        size = received.size
        estimate = self.linear.estimate(received)
        if estimate is None:
            return Decoded(self.linear.mean_picture(size), None, np.zeros(tuple(size), np.float32))
        mask = None if estimate.importance is None else to_pixels(estimate.importance.ravel(), size)
        return Decoded(np.clip(estimate.picture(), 0, 1), mask, to_pixels(estimate.share, size))
