# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics by the names that `--metrics` takes, and what each gives for one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gened.errors import ConfigError
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.pixel_metrics import (
    mask_fmeasure,
    mask_iou,
    masked_psnr_db,
    ms_ssim,
    package_version,
    psnr_db,
)

if TYPE_CHECKING:
    from gened.models.evaluation.metrics.brisque import Brisque
    from gened.models.evaluation.metrics.clip_score import ClipScore
    from gened.models.evaluation.metrics.kernel_distance import PatchFeatures
    from gened.models.evaluation.metrics.recognition import Recognition
    from gened.models.evaluation.metrics.st_lpips import StLpips

METRICS: dict[str, tuple[str, ...]] = {
    "psnr": ("psnr_db",),
    "ms_ssim": ("ms_ssim",),
    "masks": ("psnr_fg_db", "psnr_bg_db", "mask_iou", "mask_fmeasure"),
    "st_lpips": ("st_lpips",),
    "brisque": ("brisque",),
    "clip_score": ("clip_score",),
    "kid": ("kid",),
    "recognition": ("class_agreement", "detector_f1"),
}
"""Name to the keys of a row. `lpips` is in no list: no package carries the trunks that it is defined with, so its key
stays null. `kid` is of a set of pictures: one picture gives features, see `kernel_distance.py`."""
DEFAULT = ("psnr", "ms_ssim", "masks")
"""What costs little beside encoding and decoding."""
EXTRA = ("kid", "recognition")
"""What needs further packages, see docs/editor.md."""
FIGURES = tuple(key for keys in METRICS.values() for key in keys)

Figures = dict[str, float | None]


def parse_metrics(text: str) -> tuple[str, ...]:
    """Names with commas between them; "all" for all but `clip_score`, which needs a model, and those of `EXTRA`.

    Raises:
        ConfigError: An unknown name; the message lists the known ones.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return tuple(name for name in METRICS if name not in ("clip_score", *EXTRA))
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ConfigError(f"metric '{unknown[0] if unknown else text}'; known are {', '.join(METRICS)}, or all")
    return tuple(name for name in METRICS if name in names or name == "psnr")


class MetricSet:
    """The metrics that were asked for; `psnr` is always one of them.

    Args:
        names: Of `METRICS`.
        clip: Folder or name of the CLIP for `clip_score`.

    Raises:
        ConfigError: An unknown name, or a package or model that is missing.
    """

    def __init__(self, names: Sequence[str] = DEFAULT, *, clip: str | None = None) -> None:
        chosen = set(parse_metrics(",".join(names)))
        if clip is not None:
            chosen.add("clip_score")
        if "clip_score" in chosen and clip is None:
            raise ConfigError("clip_score needs a CLIP: name one with --clip NAME_OR_FOLDER")
        self.names = tuple(name for name in METRICS if name in chosen)
        self._st_lpips: StLpips | None = None
        self._brisque: Brisque | None = None
        self._clip: ClipScore | None = None
        if "st_lpips" in chosen:
            _require("torch", "st_lpips")
            from gened.models.evaluation.metrics.st_lpips import StLpips

            self._st_lpips = StLpips()
        if "brisque" in chosen:
            from gened.models.evaluation.metrics.brisque import Brisque

            self._brisque = Brisque()
        self._patches: PatchFeatures | None = None
        self._recognition: Recognition | None = None
        if chosen & {"kid", "recognition"}:
            _require("torch", "kid")
            from gened.models.evaluation.metrics.recognition import Classifier

            classifier = Classifier()
            if "kid" in chosen:
                from gened.models.evaluation.metrics.kernel_distance import PatchFeatures

                self._patches = PatchFeatures(classifier)
            if "recognition" in chosen:
                from gened.models.evaluation.metrics.recognition import Recognition

                self._recognition = Recognition(classifier)
        if clip is not None:
            _require("torch", "clip_score")
            from gened.models.evaluation.metrics.clip_score import ClipScore

            self._clip = ClipScore(clip)

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """What the metrics say of a received picture; None where they say nothing.

        Args:
            item: The picture as it was.
            x_hat: [3, H, W] as it was received.
            mask: [H, W], what the receiver holds for important; None: it knows of no mask.
        """
        found: Figures = dict.fromkeys(FIGURES)
        found["psnr_db"] = psnr_db(item.x, x_hat)
        if "ms_ssim" in self.names:
            found["ms_ssim"] = ms_ssim(item.x, x_hat)
        if "masks" in self.names and item.mask is not None:
            found["psnr_fg_db"] = masked_psnr_db(item.x, x_hat, item.mask)
            found["psnr_bg_db"] = masked_psnr_db(item.x, x_hat, ~item.mask)
            if mask is not None:
                found["mask_iou"] = mask_iou(item.mask, mask)
                found["mask_fmeasure"] = mask_fmeasure(item.mask, mask)
        if self._st_lpips is not None:
            found["st_lpips"] = self._st_lpips(item.x, x_hat)
        if self._brisque is not None:
            found["brisque"] = self._brisque(x_hat)
        if self._clip is not None and item.caption is not None:
            found["clip_score"] = self._clip(x_hat, item.caption)
        if self._recognition is not None:
            found |= self._recognition(item.x, x_hat)
        return {key: value if value is None or math.isfinite(value) else None for key, value in found.items()}

    def patches(self, item: Item, x_hat: Picture) -> tuple[str, str] | None:
        """What the kernel distance needs of the picture as it was and as it was received; None where nobody asks."""
        return None if self._patches is None else (self._patches.of_original(item.x), self._patches(x_hat))

    def versions(self) -> dict[str, str | None]:
        """Each key of a row with the library and version behind it; None where it was not measured."""
        own = "own, on 8-bit values, peak 255, all three channels"
        by_metric = {
            "psnr": own,
            "ms_ssim": package_version("pytorch-msssim"),
            "masks": f"own, NumPy {np.__version__}: PSNR on 8-bit values, the receiver's mask at 0.5, beta^2 = 0.3",
            "st_lpips": None if self._st_lpips is None else self._st_lpips.version,
            "brisque": None if self._brisque is None else self._brisque.version,
            "clip_score": None if self._clip is None else self._clip.version,
            "kid": None if self._patches is None else self._patches.version,
            "recognition": None if self._recognition is None else self._recognition.version,
        }
        named = {key: by_metric[name] for name, keys in METRICS.items() if name in self.names for key in keys}
        return {key: named.get(key) for key in (*FIGURES, "lpips")}


def _require(package: str, metric: str) -> None:
    if package_version(package) is None:
        raise ConfigError(f"{metric} needs {package}, which is not installed: pip install 'gr-gened[metrics]'")
