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

import importlib.util
import re
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn

from gened.gr_blocks.phy.errors import ConfigError
from gened.models.codecs.base import Picture
from gened.models.evaluation.metrics import package_version, rounded

PACKAGE = "stlpips-pytorch"
WEIGHTS = Path("weights", "vST0.0", "alex_shift_tolerant.pth")
CHANNELS = (64, 192, 384, 256, 256)
EPSILON = 1e-10
"""Keeps a pixel without features from dividing by zero."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for pictures in [-1, 1], as LPIPS 0.1 has them."""


class Blur(nn.Module):
    """Binomial low-pass 1 2 1 in both directions, then every second pixel; the border is mirrored two pixels wide."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", (taps[:, None] * taps).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, ceil((H + 2) / 2), ceil((W + 2) / 2)]."""
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.filt, stride=2, groups=len(self.filt))


def _stage(first: int, *layers: nn.Module) -> nn.Sequential:
    """Layers under the numbers that they have in the weight file."""
    stage = nn.Sequential()
    for number, layer in enumerate(layers, first):
        stage.add_module(str(number), layer)
    return stage


class Trunk(nn.Module):
    """AlexNet without borders and strides that alias: five stages, each ending in a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = CHANNELS
        self.slice1 = _stage(0, nn.Conv2d(3, c1, 11, padding=2), Blur(c1), nn.ReLU())
        self.slice2 = _stage(3, nn.MaxPool2d(3, 1), Blur(c1), nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU())
        self.slice3 = _stage(7, nn.MaxPool2d(3, 1), Blur(c2), nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU())
        self.slice4 = _stage(11, nn.Conv2d(c3, c4, 3, padding=1), nn.ReLU())
        self.slice5 = _stage(13, nn.Conv2d(c4, c5, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the five stages."""
        features = []
        for stage in (self.slice1, self.slice2, self.slice3, self.slice4, self.slice5):
            x = stage(x)
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
        """Of pictures [B, 3, H, W] in [-1, 1]: unit vectors over the channels at each pixel of each stage."""
        found: list[Tensor] = self.net((x - self.shift) / self.scale)
        return [layer / (layer.square().sum(1, keepdim=True).sqrt() + EPSILON) for layer in found]

    def distance(self, one: list[Tensor], two: list[Tensor]) -> Tensor:
        """[B] from the features of two batches."""
        parts = [weigh((a - b).square()).mean((1, 2, 3)) for weigh, a, b in zip(self.lins, one, two, strict=True)]
        return torch.stack(parts).sum(0)


def weights_file() -> Path:
    """Where the package keeps its weights, without importing it.

    Raises:
        ConfigError: It is not installed.
    """
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("st_lpips needs the weights in stlpips-pytorch: pip install --no-deps stlpips-pytorch==0.0.2")
    return Path(spec.submodule_search_locations[0]) / WEIGHTS


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
        self._network = load_network(weights_file())
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
