# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of a training of `gened`; equation numbers are those of arXiv:2606.04015."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gened.models.codecs.gened.config import Branch
from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class GenedTraining(Schedule):
    """Everything that a run depends on; saved with the weights."""

    codec: Literal["gened"] = "gened"
    stage: Literal["decoder", "importance", "both"] = "decoder"
    """"decoder": the receiver's network behind the real linear code; "importance": the transmitter's importance
    network; "both": encoder network (with `encoder`) and decoder network together, through a differentiable channel."""
    statistics: str = "softcast"
    """Folder with the statistics of the linear code, used without a `warm_start`."""
    trunk_only: bool = False
    """Take the trunk of the warm start's decoder and no branches and no importance prediction: those begin with random
    weights, so that variants which differ in them have equal chances."""
    crop: int = 256
    """Side of the square crops, pixels; a multiple of 32."""
    max_reduction: float = 2.5
    """Largest factor by which a photograph is reduced before it is cropped."""
    max_aspect: float = 1.5
    """Largest ratio by which the sides of a photograph are changed against each other."""
    rates: tuple[str, ...] = ("1/48", "1/36", "1/24", "1/24", "1/12")
    """Rates, of which one is drawn per crop."""
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    high_snr_share: float = 0.1
    """Fraction of the crops whose SNR lies between `snr_max_db` and 22 dB."""
    mismatch_share: float = 0.2
    """Fraction of the crops whose channel SNR differs from the design SNR, by a standard deviation of 2 dB."""
    erasure_share: float = 0.15
    """Fraction of the crops that lose symbols."""
    max_erasure: float = 0.2
    """Largest fraction of the symbols that such a crop loses."""
    focus_share: float = 0.4
    """Fraction of the crops sent with their mask, at a weight of 2, 4 or 8."""
    focus: float = 4.0
    """Default weight of important blocks in the codec that is written."""
    objective: Literal["log", "mse", "paper"] = "log"
    """"log": logarithm of each picture's squared error, weighted by the focus; "mse": plain squared error, without any
    loss on masks; "paper": eq. (26)."""
    mask_loss: float = 0.02
    """Objective "log": weight of the cross-entropy of the mask heads."""
    match_loss: Literal["full", "paper"] = "full"
    """"full": cross-entropy over all pixels; "paper": eq. (21), over the foreground alone, whose optimum is a mask of
    ones."""
    lambda_match: float = 1.0
    lambda_foreground: float = 1e-4
    """For pixels of 0 to 255, as in the paper."""
    lambda_background: float = 0.01
    lambda_background_mse: float = 0.0
    """Objective "paper": weight of the background's squared error, computed as in eq. (22), which the paper omits."""
    contextual_temperature: float = 0.5
    """tau of eq. (25)."""
    clip: str = ""
    """CLIP that supervises S: a repository or a folder for `transformers`; empty: masks and saliency maps alone."""
    encoder: bool = False
    """Stage "both": whether the transmitter has a correcting network."""
    foreground: Branch = "swin"
    background: Branch = "cbam"
    dual: bool = True
    """False: one branch for foreground and background."""
    predicts: bool = True
    """False: no importance prediction."""
