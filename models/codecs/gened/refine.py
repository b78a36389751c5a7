# SPDX-License-Identifier: GPL-3.0-or-later
"""Refinement at the transmitter: optimises the coefficients of one picture for the receiver's decoder.

    z --> symbols' power --> +- noise, drawn each step --> linear estimate --> decoder --> error against the picture
    ^_______________________________________ Adam ___________________________________________________|

Plan, class map and mask are fixed, so only the values of the symbols change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.analog.blocks import BLOCK, grid_shape
from gened.models.codecs.analog.linear import Analysis, LinearCoder
from gened.models.codecs.base import Picture
from gened.models.codecs.gened.decoder import Corrected, DecoderInput
from gened.models.codecs.gened.synthesis import Synthesis, padded, sent_map

STEP = 0.03
"""Initial learning rate of Adam, in standard deviations of a coefficient; it falls linearly to zero, which averages the
gradient noise."""


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
    """The analysis with optimised coefficients.

    Args:
        analysis: The picture's analysis.
        x: The picture, [3, H, W] in [0, 1].
        coder: The codec's linear code.
        decoder: The receiver's network.
        rate: Complex symbols per source value.
        weight: Weight of important blocks in the squared error.
        n_steps: Gradient steps.
        seed: Seed of the channel noise.
        device: PyTorch device of the decoder.
    """
    layout, size = analysis.layout, analysis.size
    sigma2 = 10 ** (-analysis.snr_db / 10) / 2
    prior = coder.synthesise(np.zeros_like(analysis.z), layout, size, 1 / sigma2)
    given = DecoderInput(
        picture=torch.empty(0), error_std=_batch(prior.error_std()[None], device),
        classes=torch.from_numpy(prior.classes)[None].to(device),
        sent_mask=_batch(sent_map(prior.importance, grid_shape(size))[None], device),
        snr_db=torch.tensor([analysis.snr_db], dtype=torch.float32, device=device),
        rate=torch.tensor([rate], dtype=torch.float32, device=device),
    )  # fmt: skip
    target = _batch(padded(x, size), device)
    pixel_weight = F.interpolate(1 + (weight - 1) * given.sent_mask.clamp(min=0), scale_factor=BLOCK)
    pixel_weight = pixel_weight / pixel_weight.mean()
    synthesis = Synthesis(coder, analysis, device)
    generator = torch.Generator().manual_seed(seed)
    z = torch.from_numpy(analysis.z.copy()).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=STEP)
    both = given._replace(
        **{name: value.expand(2, *value.shape[1:]) for name, value in given._asdict().items() if name != "picture"}
    )
    for step in range(n_steps):
        optimizer.param_groups[0]["lr"] = STEP * (1 - step / n_steps)
        noise = torch.randn(len(z), generator=generator).to(device) * sigma2**0.5
        # Antithetic noise: its first-order effect cancels in the gradient.
        pictures = [synthesis(estimate) for estimate in synthesis.arrived(z, [noise, -noise], sigma2)]
        found = decoder(both._replace(picture=torch.cat(pictures).contiguous(memory_format=torch.channels_last)))
        loss = torch.log(((found.x_hat - target).square() * pixel_weight).mean() + 1e-6)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    refined = z.detach().cpu().numpy().astype(np.float32)
    good = bool(np.isfinite(refined).all())
    return replace(analysis, z=refined if good else analysis.z)


def _batch(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], device: torch.device) -> Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None].to(device)
    return batch.contiguous(memory_format=torch.channels_last)
