# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear code from coefficients to the receiver's picture, differentiable: for refinement at the transmitter and
for joint training of encoder and decoder.

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
    """The picture padded to whole blocks by replicating its edges, [3, 16 rows, 16 columns]."""
    rows, columns = grid_shape(size)
    margin = ((0, 0), (0, rows * BLOCK - size.height), (0, columns * BLOCK - size.width))
    return np.pad(x, margin, mode="edge").astype(np.float32)


def sent_map(importance: IntMap | None, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The mask as an input of the networks, [rows, columns] of 0 and 1; -1: not sent."""
    return np.full(shape, -1, np.float32) if importance is None else importance.astype(np.float32)


def gather(values: Tensor, layout: Layout) -> Tensor:
    """Coefficients of all blocks, [blocks, n], in transmission order, [n_reals]; 0 beyond the n-th of a block."""
    parts = []
    for _, members, begin, end in layout.slices():
        chosen = values[torch.from_numpy(members).to(values.device), min(begin, values.shape[1]) : end]
        parts.append(F.pad(chosen, (0, end - begin - chosen.shape[1])).reshape(-1))
    joined = torch.cat([*parts, values.new_zeros(layout.n_reals)])
    return joined[: layout.n_reals]


class Synthesis:
    """The differentiable synthesis of one picture.

    Args:
        coder: The codec's linear code.
        analysis: The picture's analysis.
        device: PyTorch device.
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
        """The receiver's estimates of the coefficients, [n_reals], one per noise.

        The total power is normalised, so a larger coefficient takes power from all others.

        Args:
            z: Coefficients in units of their standard deviation, [n_reals].
            noises: Channel noise after despreading, [n_reals] each.
            sigma2: Noise variance per real dimension.
        """
        power = self.power
        scale = torch.sqrt(0.5 / (power * z.square()).mean().clamp(min=1e-8))
        clean = torch.sqrt(power) * z * scale
        return [torch.sqrt(power) * (clean + noise) / (power + sigma2) / scale for noise in noises]

    def __call__(self, z: Tensor) -> Tensor:
        """Coefficients [n_reals] to the picture with whole blocks, [1, 3, 16 rows, 16 columns]."""
        blocks, place = self.mean, 0
        for members, rows in self.parts:
            n = len(rows)
            values = z[place : place + len(members) * n].reshape(len(members), n)
            blocks = blocks.index_add(0, members, values @ rows)
            place += len(members) * n
        tiles = blocks.reshape(*self.shape, 3, BLOCK, BLOCK).permute(2, 0, 3, 1, 4)
        return tiles.reshape(1, 3, self.shape[0] * BLOCK, self.shape[1] * BLOCK)
