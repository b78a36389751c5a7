# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a training of `gened` depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gened.models.codecs.gened.config import Branch
from gened.models.training.loop import Schedule


@dataclass(frozen=True)
class GenedTraining(Schedule):
    """All that a run depends on; saved with the weights."""

    codec: Literal["gened"] = "gened"
    stage: Literal["decoder", "importance", "both"] = "decoder"
    """"both": encoder, where there is one, and decoder together, through a channel that has a slope."""
    statistics: str = "models/weights/softcast"
    """Folder with the linear code's statistics, where there is no `warm_start`."""
    trunk_only: bool = False
    """Of the decoder that a warm start gives, take no branches and no importance prediction: those begin anew, and
    variants that differ in them start equal."""
    crop: int = 256
    max_reduction: float = 2.5
    max_aspect: float = 1.5
    rates: tuple[str, ...] = ("1/48", "1/36", "1/24", "1/24", "1/12")
    """One of them is drawn for each crop."""
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    high_snr_share: float = 0.1
    """Share of the crops whose SNR lies between `snr_max_db` and 22."""
    mismatch_share: float = 0.2
    """Share of the crops that arrive at another SNR than they were made for, by a deviation of 2 dB."""
    erasure_share: float = 0.15
    max_erasure: float = 0.2
    focus_share: float = 0.4
    """Share of the crops with a mask, at a weight of 2, 4 or 8."""
    focus: float = 4.0
    """Default weight of the codec that is written."""
    objective: Literal["log", "mse", "paper"] = "log"
    """"log": logarithm of each picture's squared error, weighted by the focus; "mse": plain squared error, nothing of
    masks; "paper": eq. (26)."""
    mask_loss: float = 0.02
    """Objective "log": weight of the mask heads' cross-entropy."""
    match_loss: Literal["full", "paper"] = "full"
    """"paper": eq. (21), which scores only what is foreground; it drifts to a mask of ones."""
    lambda_match: float = 1.0
    lambda_foreground: float = 1e-4
    """For pixels of 0 to 255, as the paper has it."""
    lambda_background: float = 0.01
    lambda_background_mse: float = 0.0
    """Objective "paper": weight of what the paper leaves out, the background's squared error, as eq. (22) counts it."""
    contextual_temperature: float = 0.5
    clip: str = ""
    """CLIP that teaches S, a repository or a folder for `transformers`; empty: masks and maps alone do."""
    encoder: bool = False
    """Stage "both": whether the transmitter gets a correcting network."""
    foreground: Branch = "swin"
    background: Branch = "cbam"
    dual: bool = True
    predicts: bool = True
    """False: no importance prediction."""
