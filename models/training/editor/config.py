# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a training of the embedded editor depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class EditorTraining(Schedule):
    """All that a run depends on; saved with the weights."""

    codec: Literal["editor"] = "editor"
    """Names the training; the codecs that made the pairs are told by the pairs."""
    batch: int = 8
    steps: int = 4000
    learning_rate: float = 4e-4
    crop: int = 128
    """Of the pairs' 256 pixels; a multiple of 16."""
    pixel_weight: float = 4.0
    """Of the mean absolute error, pictures in [0, 1]."""
    foreground_weight: float = 2.0
    """Of the mask's pixels in that error, against 1."""
    perceptual_weight: float = 1.0
    """Of the distance of VGG16's features, as ST-LPIPS weighs them."""
    adversarial_weight: float = 0.05
    adversarial_from: int = 600
    """Step at which the discriminator's word begins to count; it learns from the first."""
    discriminator_rate: float = 2e-4
    no_text_share: float = 0.5
    """Share of the crops whose words are kept from the network."""
    no_snr_share: float = 0.1
    no_mask_share: float = 0.2
