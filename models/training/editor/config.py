# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of a training of the embedded editor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class EditorTraining(Schedule):
    """Everything that a run depends on; saved with the weights."""

    codec: Literal["editor"] = "editor"
    """Name of the training. The pairs name the codecs that produced them."""
    batch: int = 8
    steps: int = 4000
    learning_rate: float = 4e-4
    crop: int = 128
    """Side of the crops, of at most 256 pixels; a multiple of 16."""
    pixel_weight: float = 4.0
    """Weight of the mean absolute error of pictures in [0, 1]."""
    foreground_weight: float = 2.0
    """Weight of the mask's pixels in that error, against 1."""
    perceptual_weight: float = 1.0
    """Weight of the distance of VGG16's features, which ST-LPIPS weighs per channel."""
    adversarial_weight: float = 0.05
    adversarial_from: int = 600
    """First step with the adversarial loss; the critic is trained from step 0."""
    discriminator_rate: float = 2e-4
    no_text_share: float = 0.5
    """Fraction of the crops without words."""
    no_snr_share: float = 0.1
    no_mask_share: float = 0.2
