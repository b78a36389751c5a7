# SPDX-License-Identifier: GPL-3.0-or-later
"""Shift-tolerant LPIPS on its AlexNet trunk, with the weights that the package stlpips-pytorch carries.

The package itself needs torchvision, IPython and torchsummary when it is imported, so only its weight file is read, and
the network is built here; a test holds it equal to the package's own code. No training loss may use this trunk.

A picture of 256x256 takes 0.15 s on one core, one of 768x512 1.1 s; the features of the original are kept between SNRs.

    picture -> scale -> conv1, blur -> conv2 -> conv3 -> conv4 -> conv5
                             |           |        |        |        |      features, normalised over channels
                             +-- squared difference to the other picture, weighted by channel, mean over pixels, sum

References:
    Ghildyal and Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.pixel_metrics import package_version, rounded
from gened.models.trunks import ALEXNET, PACKAGE, Blur, stage, weights_file

CHANNELS = (64, 192, 384, 256, 256)
EPSILON = 1e-10
"""Keeps a pixel without features from dividing by zero."""


class Trunk(nn.Module):
    """AlexNet without borders and strides that alias: five stages, each ending in a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = CHANNELS
        self.slice1 = stage(0, nn.Conv2d(3, c1, 11, padding=2), Blur(c1), nn.ReLU())
        self.slice2 = stage(3, nn.MaxPool2d(3, 1), Blur(c1), nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU())
        self.slice3 = stage(7, nn.MaxPool2d(3, 1), Blur(c2), nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU())
        self.slice4 = stage(11, nn.Conv2d(c3, c4, 3, padding=1), nn.ReLU())
        self.slice5 = stage(13, nn.Conv2d(c4, c5, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the five stages."""
        features = []
        for part in (self.slice1, self.slice2, self.slice3, self.slice4, self.slice5):
            x = part(x)
            features.append(x)
        return features


class Network(nn.Module):
    """Trunk and the weight of each channel."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(1, 3, 1, 1))
        self.net = Trunk()
        self.lins = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS)

    def features(self, x: Tensor) -> list[Tensor]:
        """Features of pictures [B, 3, H, W] in [-1, 1]: per stage, unit vectors over the channels at each pixel."""
        found: list[Tensor] = self.net((x - self.shift) / self.scale)
        return [layer / (layer.square().sum(1, keepdim=True).sqrt() + EPSILON) for layer in found]

    def distance(self, one: list[Tensor], two: list[Tensor]) -> Tensor:
        """[B] from the features of two batches."""
        parts = [weigh((a - b).square()).mean((1, 2, 3)) for weigh, a, b in zip(self.lins, one, two, strict=True)]
        return torch.stack(parts).sum(0)


def load_network(path: Path) -> Network:
    """The network with the weights of a file of the package."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = Network()
    network.load_state_dict({_our_name(name): values for name, values in state.items()})
    return network.eval().requires_grad_(False)


def _our_name(name: str) -> str:
    """The package's name of a parameter, "lin0.model.1.weight" for one, in this network: "lins.0.weight"."""
    return re.sub(r"^lin(\d)\.model\.1\.", r"lins.\1.", name.removeprefix("scaling_layer."))


class StLpips:
    """The metric: 0 for equal pictures, about 0.8 for unlike ones.

    Raises:
        ConfigError: The weights are not installed.
    """

    def __init__(self) -> None:
        self._network = load_network(weights_file(ALEXNET))
        self._original: tuple[Picture, list[Tensor]] | None = None
        self.version = f"{package_version(PACKAGE)}, weights vST0.0 alex_shift_tolerant, network by gened"

    def __call__(self, x: Picture, x_hat: Picture) -> float:
        """Distance of two pictures [3, H, W] in [0, 1] after rounding to 8 bits."""
        if self._original is None or self._original[0] is not x:
            self._original = (x, self._features(x))
        return float(self._network.distance(self._original[1], self._features(x_hat)))

    def _features(self, x: Picture) -> list[Tensor]:
        with torch.no_grad():
            return self._network.features(2 * torch.from_numpy(rounded(x))[None] - 1)


class StLpipsMetric(Metric):
    """The registered metric."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._distance = StLpips()
        self.version = self._distance.version

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`st_lpips`."""
        return {"st_lpips": self._distance(item.x, x_hat)}
