# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened`: one set of weights for all rates from 1/96 to 1/12 and all SNRs.

    picture -> importance network -> M ------+
        |                                    v
        +-> class map -> plan, weighted by M -> (encoder, if any) -> spread -> symbols ~~~channel~~~+
                                                  dual-branch decoder <- linear estimate <----------+

The transmitter uses the linear code alone: with a mask of the user, or none, it needs nothing but NumPy
(`device="numpy"`). A receiver without PyTorch displays the linear estimate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from gened import paths
from gened.errors import CodecError
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.blocks import to_pixels
from gened.models.codecs.analog.linear import LinearCoder, LinearEstimate, block_importance
from gened.models.codecs.analog.plan import WEIGHT_UNIT
from gened.models.codecs.base import Decoded, Map, Maps, Picture, Pictures, codec_id
from gened.models.codecs.gened.config import GenedConfig

if TYPE_CHECKING:
    from gened.models.codecs.gened.networks import Networks

NUMPY = "numpy"
LINEAR = "linear."
"""Prefix of the names of the statistics in the weights file."""
MAX_REFINED = 1 << 20
"""Largest picture for a refinement, pixels; it then takes about 2 GB of memory."""
WEIGHTS = paths.WEIGHTS / "gened"


class Gened:
    """The codec `gened`; see the module's docstring.

    Args:
        folder: `model.safetensors` and `config.json`; default: the weights that ship with the package.
        device: PyTorch device, or `numpy` for the linear code alone.

    Raises:
        CodecError: No weights in the folder, or not those of this codec; or no such device.
    """

    name = "gened"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        folder = Path(folder) if folder is not None else WEIGHTS
        try:
            description: dict[str, Any] = json.loads((folder / "config.json").read_text())
            weights = (folder / "model.safetensors").read_bytes()
            tensors = load_tensors(weights)
            linear = {key.removeprefix(LINEAR): value for key, value in tensors.items() if key.startswith(LINEAR)}
            self.linear = LinearCoder(stats.from_tensors(linear))
            self.config = GenedConfig.from_json(description["network"])
            self.focus = float(description["focus"])
            self.networks = None if device == NUMPY else self._networks(folder, device)
        except FileNotFoundError as error:
            raise CodecError(f"no gened weights in {folder}: {Path(error.filename).name} is missing") from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CodecError(f"the weights in {folder} are not those of gened: {str(error).splitlines()[0]}") from error
        self.codec_id = codec_id(self.name, description["network"], weights)

    def _networks(self, folder: Path, device: str) -> Networks:
        from safetensors.torch import load_file  # here, because a transmitter needs no PyTorch

        from gened.models.codecs.gened.networks import Networks
        from gened.models.devices import torch_device

        torch_device(device, CodecError)
        return Networks(self.config, load_file(folder / "model.safetensors"), device=device)

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
            mask: Importance of each pixel, [H, W]; None: the importance network's, or none without PyTorch.
            focus: Weight of important blocks against the others, 1/16 to 15; None: the default of the weights; 1: none.
            refine_steps: Gradient steps through the decoder, spent on this picture's symbols.
            seed: Of the noise in the refinement.
            side_margin_db: How far a burst may fade below `snr_db` before the side information is lost, 0 to 30: it is
                sent in a mode for that SNR, and the picture has the rest.

        Raises:
            CodecError: A rate, a focus or a margin out of range, a mask of another shape, or a refinement without
                PyTorch or of more than a million pixels.
        """
        size = ImageSize(x.shape[1], x.shape[2])
        if refine_steps and self.networks is None:
            raise CodecError("refinement goes through the decoder and needs PyTorch: leave it, or use another device")
        if refine_steps and size.height * size.width > MAX_REFINED:
            raise CodecError(
                f"refinement is for pictures of up to {MAX_REFINED} pixels, this one has {size.height * size.width}"
            )
        focus = self.focus if focus is None else focus
        if mask is None and focus != 1 and self.networks is not None:
            mask = self.networks.find_importance(np.nan_to_num(x, nan=0.5)[None])[0]
        importance, weight_q = block_importance(mask, focus, size)
        analysis = self.linear.analyse(
            x, rate=rate, snr_db=snr_db, importance=importance, weight_q=weight_q, side_margin_db=side_margin_db
        )
        if self.networks is not None and len(analysis.z):
            analysis = self.networks.change(analysis, np.nan_to_num(x, nan=0.5), rate)
        if refine_steps and self.networks is not None and len(analysis.z):
            weight = weight_q * WEIGHT_UNIT
            analysis = self.networks.refine(
                analysis, x, self.linear, rate, weight=weight, steps=refine_steps, seed=seed
            )
        return self.linear.pack(analysis)

    def encode_batch(
        self,
        x: Pictures,
        *,
        rate: Fraction = Fraction(1, 24),
        snr_db: float,
        masks: Maps | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seeds: Sequence[int] = (),
        side_margin_db: float = 0.0,
    ) -> list[Encoded]:
        """As `encode`, for [B, 3, H, W]; the importance network runs on the batch, the linear code on each picture."""
        chosen = self.focus if focus is None else focus
        if masks is None and chosen != 1 and self.networks is not None:
            masks = self.networks.find_importance(np.nan_to_num(x, nan=0.5))
        return [
            self.encode(
                one, rate=rate, snr_db=snr_db, mask=None if masks is None else masks[i], focus=focus,
                refine_steps=refine_steps, seed=seeds[i] if seeds else 0, side_margin_db=side_margin_db,
            )
            for i, one in enumerate(x)
        ]  # fmt: skip

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols.

        Args:
            received: See `Received`. Values that are not numbers count as lost. Without side information
                the symbols cannot be assigned to coefficients: the result is the mean of all photographs, confidence 0.
        """
        return self.decode_batch([received])[0]

    def decode_batch(self, received: Sequence[Received]) -> list[Decoded]:
        """As `decode`, for frames of any sizes and rates; frames of one size form a batch of the network."""
        estimates = [self.linear.estimate(one) for one in received]
        known = [i for i, estimate in enumerate(estimates) if estimate is not None]
        found: dict[int, tuple[Picture, Map]] = {}
        if self.networks is not None:
            given = [estimate for estimate in estimates if estimate is not None]
            corrected = self.networks.correct(given, [received[i].rate for i in known])
            found = dict(zip(known, corrected, strict=True))
        return [self._decoded(one, estimates[i], found.get(i)) for i, one in enumerate(received)]

    def _decoded(
        self, received: Received, estimate: LinearEstimate | None, corrected: tuple[Picture, Map] | None
    ) -> Decoded:
        size = received.size
        if estimate is None:
            return Decoded(self.linear.mean_picture(size), None, np.zeros(tuple(size), np.float32))
        confidence = to_pixels(estimate.share, size)
        if corrected is not None:
            return Decoded(*corrected, confidence)
        mask = None if estimate.importance is None else to_pixels(estimate.importance.ravel(), size)
        return Decoded(np.clip(estimate.picture(), 0, 1), mask, confidence)
