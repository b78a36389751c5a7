# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of `gened` on NumPy arrays of any size, in tiles, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.analog.blocks import BLOCK, grid_shape
from gened.models.codecs.analog.linear import Analysis, LinearCoder, LinearEstimate
from gened.models.codecs.base import Map, Picture
from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.decoder import DecoderInput, DecoderNetwork
from gened.models.codecs.gened.encoder import COEFFICIENTS, EncoderInput, EncoderNetwork
from gened.models.codecs.gened.importance import ImportanceNetwork
from gened.models.codecs.gened.refine import refine
from gened.models.codecs.gened.synthesis import gather, padded, sent_map

LOOK_AREA = 256 * 256
"""Pixels of the resized picture that the importance network receives, the number of its training crops."""
LOOK_STEP = 32
TILE = 1024
MAX_AT_ONCE = 1 << 21
"""Largest batch of the decoder, pixels: 32 pictures of 256x256, or two whole tiles; about 2 GB."""
OVERLAP = 128
"""Overlap of neighbouring tiles, pixels. A pixel hardly depends on others more than 64 pixels away."""

Float32Array = npt.NDArray[np.float32]


class Tile(NamedTuple):
    """A part of a picture, in blocks."""

    rows: slice
    columns: slice

    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns in pixels."""
        return (
            slice(self.rows.start * BLOCK, self.rows.stop * BLOCK),
            slice(self.columns.start * BLOCK, self.columns.stop * BLOCK),
        )


def spans(n: int, tile: int, overlap: int) -> list[slice]:
    """Slices of equal length that cover 0 .. n, at most `tile` long, neighbours overlapping by at least `overlap`."""
    if n <= tile:
        return [slice(0, n)]
    count = -(-(n - overlap) // (tile - overlap))
    starts = [round(i * (n - tile) / (count - 1)) for i in range(count)]
    return [slice(start, start + tile) for start in starts]


def tiles(rows: int, columns: int) -> Iterator[Tile]:
    """Overlapping tiles of a grid of blocks."""
    for row in spans(rows, TILE // BLOCK, OVERLAP // BLOCK):
        for column in spans(columns, TILE // BLOCK, OVERLAP // BLOCK):
            yield Tile(row, column)


def ramp(part: slice, n: int) -> Float32Array:
    """Blending weights along one side of a tile: linear ramps over the overlaps, 1 at the picture's border."""
    length = (part.stop - part.start) * BLOCK
    weight = np.ones(length, np.float32)
    rise = (np.arange(OVERLAP, dtype=np.float32) + 0.5) / OVERLAP
    if part.start > 0:
        weight[:OVERLAP] = rise
    if part.stop < n:
        weight[-OVERLAP:] = np.minimum(weight[-OVERLAP:], rise[::-1])
    return weight


class Networks:
    """Decoder, importance network and, where the configuration has one, encoder, with their weights.

    Args:
        config: Widths and depths.
        weights: State dictionaries of the networks, with the prefixes `decoder.`, `importance.` and `encoder.`.
        device: PyTorch device.

    Raises:
        RuntimeError: Weights of another shape.
    """

    def __init__(self, config: GenedConfig, weights: dict[str, Tensor], *, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.decoder, self.importance = DecoderNetwork(config), ImportanceNetwork(config)
        self.encoder = EncoderNetwork(config) if config.encoder else None
        networks = {"decoder.": self.decoder, "importance.": self.importance}
        for name, network in (networks | ({} if self.encoder is None else {"encoder.": self.encoder})).items():
            network.load_state_dict(
                {key.removeprefix(name): value.float() for key, value in weights.items() if key.startswith(name)}
            )
            network.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            network.requires_grad_(False)

    @torch.inference_mode()
    def find_importance(self, x: Float32Array) -> Float32Array:
        """Probability that each pixel is important, [B, H, W] in [0, 1].

        Args:
            x: [B, 3, H, W] in [0, 1].
        """
        height, width = x.shape[2:]
        factor = (LOOK_AREA / (height * width)) ** 0.5
        look = [max(LOOK_STEP, round(side * factor / LOOK_STEP) * LOOK_STEP) for side in (height, width)]
        picture = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        if list(x.shape[2:]) != look:
            picture = F.interpolate(picture, look, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
        _, found = self.importance(picture.contiguous(memory_format=torch.channels_last))
        probability = torch.sigmoid(found.logit)
        whole = F.interpolate(probability, (height, width), mode="bilinear", align_corners=False)
        result: Float32Array = whole[:, 0].cpu().numpy()
        return result

    @torch.inference_mode()
    def change(self, analysis: Analysis, x: Picture, rate: Fraction) -> Analysis:
        """The analysis with the encoder's correction of the coefficients; unchanged without an encoder."""
        if self.encoder is None:
            return analysis
        shape = grid_shape(analysis.size)
        wide = padded(x, analysis.size)
        classes, importance = analysis.layout.maps(shape)[1], sent_map(analysis.layout.importance, shape)
        total = np.zeros((COEFFICIENTS, *shape), np.float32)
        weights = np.zeros(shape, np.float32)
        for tile in tiles(*shape):
            place, pixels = (tile.rows, tile.columns), tile.pixels()
            weight = ramp(tile.rows, shape[0])[::BLOCK, None] * ramp(tile.columns, shape[1])[None, ::BLOCK]
            given = EncoderInput(
                self._tensor(wide[None, :, pixels[0], pixels[1]]),
                torch.from_numpy(classes[place].copy())[None].to(self.device),
                self._tensor(importance[place][None, None]),
                self._vector([analysis.snr_db]), self._vector([float(rate)]),
            )  # fmt: skip
            change = torch.nan_to_num(self.encoder(given).coefficients)[0].cpu().numpy()
            total[:, place[0], place[1]] += weight * change
            weights[place] += weight
        by_block = (total / weights).reshape(COEFFICIENTS, -1).T
        z = analysis.z + gather(torch.from_numpy(by_block), analysis.layout).numpy()
        return replace(analysis, z=z)

    def refine(
        self,
        analysis: Analysis,
        x: Picture,
        coder: LinearCoder,
        rate: Fraction,
        *,
        weight: float,
        steps: int,
        seed: int,
    ) -> Analysis:
        """Coefficients with which the decoder does better; see `refine.py`."""
        return refine(
            analysis, x, coder=coder, decoder=self.decoder, rate=float(rate), weight=weight, n_steps=steps, seed=seed,
            device=self.device,
        )  # fmt: skip

    def correct(self, estimates: Sequence[LinearEstimate], rates: Sequence[Fraction]) -> list[tuple[Picture, Map]]:
        """Pictures with what the linear estimate left out, [3, H, W] in [0, 1], and masks, [H, W] in [0, 1].

        Pictures of one size form batches of up to `MAX_AT_ONCE` pixels.

        Args:
            estimates: Linear estimates of any sizes.
            rates: Rates of their frames.
        """
        found: dict[int, tuple[Picture, Map]] = {}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for index, estimate in enumerate(estimates):
            shapes.setdefault(estimate.group_of.shape, []).append(index)
        for shape, members in shapes.items():
            n_together = max(1, MAX_AT_ONCE // (min(TILE, shape[0] * BLOCK) * min(TILE, shape[1] * BLOCK)))
            for first in range(0, len(members), n_together):
                chosen = members[first : first + n_together]
                answers = self._correct([estimates[i] for i in chosen], [rates[i] for i in chosen])
                found.update(zip(chosen, answers, strict=True))
        return [found[index] for index in range(len(estimates))]

    @torch.inference_mode()
    def _correct(self, estimates: list[LinearEstimate], rates: list[Fraction]) -> list[tuple[Picture, Map]]:
        """As `correct`, for pictures with equal numbers of rows and columns of blocks, tile by tile."""
        rows, columns = estimates[0].group_of.shape
        pictures = np.stack([estimate.padded_picture() for estimate in estimates])
        error_std = np.stack([estimate.error_std() for estimate in estimates])
        total = np.zeros((len(estimates), 4, *error_std.shape[1:]), np.float32)
        weights = np.zeros(error_std.shape[1:], np.float32)
        for tile in tiles(rows, columns):
            y, x = tile.pixels()
            weight = ramp(tile.rows, rows)[:, None] * ramp(tile.columns, columns)[None]
            total[:, :, y, x] += weight * self._corrected(
                estimates, pictures[:, :, y, x], error_std[:, y, x], tile, rates
            )
            weights[y, x] += weight
        total /= weights
        sizes = [estimate.size for estimate in estimates]
        return [
            (np.clip(one[:3, : size.height, : size.width], 0, 1), np.clip(one[3, : size.height, : size.width], 0, 1))
            for one, size in zip(total, sizes, strict=True)
        ]

    def _corrected(
        self,
        estimates: list[LinearEstimate],
        pictures: Float32Array,
        error_std: Float32Array,
        tile: Tile,
        rates: list[Fraction],
    ) -> Float32Array:
        """Pictures and masks of one tile, [B, 4, h, w]."""
        place = tile.rows, tile.columns
        sent = np.stack([sent_map(each.importance, grid_shape(each.size))[place] for each in estimates])
        given = DecoderInput(
            picture=self._tensor(pictures),
            error_std=self._tensor(error_std[:, None]),
            classes=torch.from_numpy(np.stack([each.classes[place] for each in estimates])).to(self.device),
            sent_mask=self._tensor(sent[:, None]),
            snr_db=self._vector([each.snr_db for each in estimates]),
            rate=self._vector([float(rate) for rate in rates]),
        )
        found = self.decoder(given)
        mask = torch.sigmoid(F.interpolate(found.mask_logit, scale_factor=4, mode="bilinear", align_corners=False))
        result: Float32Array = torch.nan_to_num(torch.cat([found.x_hat, mask], 1), nan=0.5).cpu().numpy()
        return result

    def _vector(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _tensor(self, batch: npt.NDArray[np.float32]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(batch, np.float32)).to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last)
