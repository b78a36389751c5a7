# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of a training of `deepjscc`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class DeepJsccTraining(Schedule):
    """Everything that a run depends on; saved with the weights."""

    codec: Literal["deepjscc"] = "deepjscc"
    batch: int = 16
    crop: int = 128
    """Side of the square crops, pixels; a multiple of 32."""
    group: int = 4
    """Consecutive crops that share one power normalisation, as the patches of one picture do."""
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    first_share: float = 0.05
    """Fraction of the steps, at the beginning, in which the SNR is `first_snr_db`."""
    first_snr_db: float = 10.0
    erasure_share: float = 0.15
    """Fraction of the crops that lose symbols."""
    max_erasure: float = 0.2
    """Largest fraction of the symbols that such a crop loses."""
    linear_crops: int = 24000
    """Crops from which the principal components of the initial linear code are computed."""
    max_reduction: float = 2.5
    """Largest factor by which a photograph is reduced before it is cropped."""
    max_aspect: float = 1.5
    """Largest ratio by which the sides of a photograph are changed against each other."""
