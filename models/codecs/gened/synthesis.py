# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear code's way from coefficients to the receiver's picture as a function that has a slope; for refinement at
the transmitter and for training encoder and decoder together.

    z --> power --> scale --> + noise --> linear MMSE --> blocks --> picture
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.gr_blocks.phy.types import ImageSize
from gened.models.codecs.analog.blocks import BLOCK, VALUES, grid_shape
from gened.models.codecs.analog.class_map import IntMap
from gened.models.codecs.analog.linear import Analysis, Layout, LinearCoder
from gened.models.codecs.base import Picture


def padded(x: Picture, size: ImageSize) -> Picture:
    """The picture with its edges repeated to whole blocks, [3, 16 rows, 16 columns]."""
    rows, columns = grid_shape(size)
    margin = ((0, 0), (0, rows * BLOCK - size.height), (0, columns * BLOCK - size.width))
    return np.pad(x, margin, mode="edge").astype(np.float32)


def told(importance: IntMap | None, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The mask as the networks take it, [rows, columns]: -1 where none was told."""
    return np.full(shape, -1, np.float32) if importance is None else importance.astype(np.float32)


def gather(values: Tensor, layout: Layout) -> Tensor:
    """Values of each block's coefficients by number, [blocks, n], in wire order, [n_reals]; 0 behind the n-th."""
    parts = []
    for _, members, begin, end in layout.slices():
        chosen = values[torch.from_numpy(members).to(values.device), min(begin, values.shape[1]) : end]
        parts.append(F.pad(chosen, (0, end - begin - chosen.shape[1])).reshape(-1))
    joined = torch.cat([*parts, values.new_zeros(layout.n_reals)])
    return joined[: layout.n_reals]


class Synthesis:
    """Of one picture, on one device.

    Args:
        coder: Of the codec.
        analysis: Of the picture.
        device: Where to.
    """

    def __init__(self, coder: LinearCoder, analysis: Analysis, device: torch.device) -> None:
        layout = analysis.layout
        self.shape = grid_shape(analysis.size)
        self.power = torch.from_numpy(layout.powers()).to(device)
        self.mean = torch.zeros(self.shape[0] * self.shape[1], VALUES, device=device)
        self.parts: list[tuple[Tensor, Tensor]] = []
        for i, members in enumerate(layout.members):
            entry = coder.statistics.classes[layout.class_of[i]]
            self.mean[torch.from_numpy(members)] = torch.from_numpy(entry.mean).to(device)
        for i, members, begin, end in layout.slices():
            entry = coder.statistics.classes[layout.class_of[i]]
            rows = entry.basis[begin:end] * np.sqrt(entry.variance[begin:end])[:, None]
            basis = torch.from_numpy(rows.astype(np.float32)).to(device)
            self.parts.append((torch.from_numpy(members).to(device), basis))

    def arrived(self, z: Tensor, noises: list[Tensor], sigma2: float) -> list[Tensor]:
        """Coefficients as the receiver estimates them, [n_reals], once for each noise.

        Power is shared: what one coefficient takes more, all others have less.

        Args:
            z: In units of their deviation, [n_reals].
            noises: Of the channel, after the spreading is undone, [n_reals].
            sigma2: Its variance a real dimension.
        """
        power = self.power
        scale = torch.sqrt(0.5 / (power * z.square()).mean().clamp(min=1e-8))
        clean = torch.sqrt(power) * z * scale
        return [torch.sqrt(power) * (clean + noise) / (power + sigma2) / scale for noise in noises]

    def __call__(self, z: Tensor) -> Tensor:
        """[n_reals] to the picture with whole blocks, [1, 3, 16 rows, 16 columns]."""
        blocks, place = self.mean, 0
        for members, rows in self.parts:
            n = len(rows)
            values = z[place : place + len(members) * n].reshape(len(members), n)
            blocks = blocks.index_add(0, members, values @ rows)
            place += len(members) * n
        tiles = blocks.reshape(*self.shape, 3, BLOCK, BLOCK).permute(2, 0, 3, 1, 4)
        return tiles.reshape(1, 3, self.shape[0] * BLOCK, self.shape[1] * BLOCK)
