# SPDX-License-Identifier: GPL-3.0-or-later
"""Refinement at the transmitter: this picture's coefficients, moved so that the receiver's decoder does best with them.

    z --> symbols' power --> +- noise, drawn each step --> linear estimate --> decoder --> error against the picture
    ^_______________________________________ Adam ___________________________________________________|

Plan, class map and mask stay as they are, so nothing about the frame changes but the values of its symbols.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.analog.blocks import BLOCK, VALUES, grid_shape
from gened.models.codecs.analog.linear import Analysis, LinearCoder
from gened.models.codecs.base import Picture
from gened.models.codecs.gened.decoder import Corrected, DecoderInput

STEP = 0.03
"""Adam's first step, in deviations of a coefficient; steps shrink to nothing, so that the noise's jitter is averaged
away."""


class Synthesis:
    """The linear estimate as a function that has a slope, on one device.

    Args:
        coder: Of the codec.
        analysis: Of the picture.
        device: Where to.
    """

    def __init__(self, coder: LinearCoder, analysis: Analysis, device: torch.device) -> None:
        layout = analysis.layout
        self.shape = grid_shape(analysis.size)
        self.mean = torch.zeros(self.shape[0] * self.shape[1], VALUES, device=device)
        self.parts: list[tuple[Tensor, Tensor, int]] = []
        for i, members in enumerate(layout.members):
            entry = coder.statistics.classes[layout.class_of[i]]
            self.mean[torch.from_numpy(members)] = torch.from_numpy(entry.mean).to(device)
        for i, members, begin, end in layout.slices():
            entry = coder.statistics.classes[layout.class_of[i]]
            rows = entry.basis[begin:end] * np.sqrt(entry.variance[begin:end])[:, None]
            self.parts.append(
                (
                    torch.from_numpy(members).to(device),
                    torch.from_numpy(rows.astype(np.float32)).to(device),
                    end - begin,
                )
            )

    def __call__(self, z: Tensor) -> Tensor:
        """[n_reals] to the picture with whole blocks, [1, 3, 16 rows, 16 columns]."""
        blocks, place = self.mean, 0
        for members, rows, n in self.parts:
            values = z[place : place + len(members) * n].reshape(len(members), n)
            blocks = blocks.index_add(0, members, values @ rows)
            place += len(members) * n
        tiles = blocks.reshape(*self.shape, 3, BLOCK, BLOCK).permute(2, 0, 3, 1, 4)
        return tiles.reshape(1, 3, self.shape[0] * BLOCK, self.shape[1] * BLOCK)


def refine(
    analysis: Analysis,
    x: Picture,
    *,
    coder: LinearCoder,
    decoder: Callable[[DecoderInput], Corrected],
    rate: float,
    weight: float,
    n_steps: int,
    seed: int,
    device: torch.device,
) -> Analysis:
    """The analysis with better coefficients.

    Args:
        analysis: Of the picture.
        x: The picture, [3, H, W].
        coder: Of the codec.
        decoder: The receiver's network.
        rate: Of the frame.
        weight: Of important blocks in the error.
        n_steps: Gradient steps.
        seed: Of the noise.
        device: Of the decoder.
    """
    layout, size = analysis.layout, analysis.size
    sigma2 = 10 ** (-analysis.snr_db / 10) / 2
    still = coder.synthesise(np.zeros_like(analysis.z), layout, size, 1 / sigma2)
    given = DecoderInput(
        picture=torch.empty(0), error_std=_batch(still.error_std()[None], device),
        classes=torch.from_numpy(still.classes)[None].to(device),
        sent_mask=_batch(_told(still.importance, still.classes.shape)[None], device),
        snr_db=torch.tensor([analysis.snr_db], dtype=torch.float32, device=device),
        rate=torch.tensor([rate], dtype=torch.float32, device=device),
    )  # fmt: skip
    rows, columns = still.classes.shape
    wide = np.pad(x, ((0, 0), (0, rows * BLOCK - size.height), (0, columns * BLOCK - size.width)), mode="edge")
    target = _batch(wide, device)
    pixel_weight = F.interpolate(1 + (weight - 1) * given.sent_mask.clamp(min=0), scale_factor=BLOCK)
    pixel_weight = pixel_weight / pixel_weight.mean()
    synthesis = Synthesis(coder, analysis, device)
    power = torch.from_numpy(layout.powers()).to(device)
    generator = torch.Generator().manual_seed(seed)
    z = torch.from_numpy(analysis.z.copy()).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=STEP)
    both = given._replace(
        **{name: value.expand(2, *value.shape[1:]) for name, value in given._asdict().items() if name != "picture"}
    )
    for step in range(n_steps):
        optimizer.param_groups[0]["lr"] = STEP * (1 - step / n_steps)
        # Power is shared: what one coefficient takes more, all others have less.
        scale = torch.sqrt(0.5 / (power * z.square()).mean().clamp(min=1e-8))
        noise = torch.randn(len(z), generator=generator).to(device) * sigma2**0.5
        # The same noise with both signs: what it does to first order cancels in the slope.
        clean = torch.sqrt(power) * z * scale
        pictures = [synthesis(torch.sqrt(power) * (clean + n) / (power + sigma2) / scale) for n in (noise, -noise)]
        found = decoder(both._replace(picture=torch.cat(pictures).contiguous(memory_format=torch.channels_last)))
        loss = torch.log(((found.x_hat - target).square() * pixel_weight).mean() + 1e-6)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    refined = z.detach().cpu().numpy().astype(np.float32)
    good = bool(np.isfinite(refined).all())
    return Analysis(refined if good else analysis.z, layout, analysis.side, size, analysis.snr_db)


def _batch(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], device: torch.device) -> Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None].to(device)
    return batch.contiguous(memory_format=torch.channels_last)


def _told(
    importance: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The mask as the decoder takes it: -1 where none was told."""
    return np.full(shape, -1, np.float32) if importance is None else importance.astype(np.float32)
