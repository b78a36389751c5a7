# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks in Darknet's own files, a `.cfg` and its `.weights`, without Darknet and without OpenCV.

Layers: convolutional, maxpool, route (with groups), upsample, yolo, which is all that YOLOv4-tiny needs.

References:
    Wang, Bochkovskiy and Liao, "Scaled-YOLOv4: scaling cross stage partial network", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError

HEADER_BYTES = 20
"""Version (three 32-bit integers) and the number of training pictures (64 bits)."""
BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Section:
    """One `[name]` of a `.cfg` with its lines."""

    name: str
    values: dict[str, str]

    def number(self, key: str, default: int) -> int:
        """An integer value."""
        return int(self.values.get(key, default))

    def numbers(self, key: str) -> list[float]:
        """A list of numbers, separated by commas."""
        return [float(part) for part in self.values[key].split(",")]


def read_sections(path: Path) -> list[Section]:
    """The sections of a `.cfg` in their order; the first is `[net]`.

    Raises:
        ConfigError: The file cannot be read as such.
    """
    found: list[Section] = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    for line in (line.partition("#")[0].strip() for line in lines):
        if line.startswith("["):
            found.append(Section(line.strip("[]"), {}))
        elif line and found:
            key, _, value = line.partition("=")
            found[-1].values[key.strip()] = value.strip()
    if not found or found[0].name != "net":
        raise ConfigError(f"{path} is no Darknet configuration: it does not begin with [net]")
    return found


class Yolo(nn.Module):
    """Boxes and scores from the raw outputs of each grid position."""

    anchors: Tensor

    def __init__(self, section: Section, side: int) -> None:
        super().__init__()
        pairs = torch.tensor(section.numbers("anchors")).reshape(-1, 2)
        chosen = [int(index) for index in section.numbers("mask")]
        self.register_buffer("anchors", pairs[chosen] / side)
        self.classes = section.number("classes", 80)
        self.stretch = float(section.values.get("scale_x_y", "1"))

    def forward(self, x: Tensor) -> Tensor:
        """[B, anchors (5 + classes), h, w] to [B, anchors h w, 4 + classes]: centre and size as shares, scores."""
        batch, _, height, width = x.shape
        x = x.reshape(batch, len(self.anchors), 5 + self.classes, height, width).permute(0, 1, 3, 4, 2).float()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        corner = torch.stack([columns, rows], -1).to(x)
        centre = torch.sigmoid(x[..., :2]) * self.stretch - 0.5 * (self.stretch - 1) + corner
        centre = centre / torch.tensor([width, height], dtype=x.dtype, device=x.device)
        size = torch.exp(x[..., 2:4].clamp(max=8)) * self.anchors[:, None, None, :]
        scores = torch.sigmoid(x[..., 4:5]) * torch.sigmoid(x[..., 5:])
        return torch.cat([centre, size, scores], -1).flatten(1, 3)


class Darknet(nn.Module):
    """The network of a `.cfg`; batch normalisation is folded into the weights when they are read.

    Args:
        config: The `.cfg`.
        weights: The `.weights`.

    Raises:
        ConfigError: Not such files, an unsupported layer, or weights of another network.
    """

    def __init__(self, config: Path, weights: Path) -> None:
        super().__init__()
        net, *self.sections = read_sections(config)
        self.side = net.number("width", 416)
        self.layers = nn.ModuleList()
        widths = [net.number("channels", 3)]
        for section in self.sections:
            layer, width = self._layer(section, widths, config)
            self.layers.append(layer)
            widths.append(width)
        self._read(weights)
        self.eval().requires_grad_(False)

    def _layer(self, section: Section, widths: list[int], config: Path) -> tuple[nn.Module, int]:
        if section.name == "convolutional":
            size, filters = section.number("size", 1), section.number("filters", 1)
            padding = size // 2 if section.number("pad", 0) else 0
            return nn.Conv2d(widths[-1], filters, size, section.number("stride", 1), padding), filters
        if section.name == "maxpool":
            return nn.MaxPool2d(section.number("size", 2), section.number("stride", 2)), widths[-1]
        if section.name == "upsample":
            return nn.Upsample(scale_factor=section.number("stride", 2)), widths[-1]
        if section.name == "route":
            width = sum(widths[1:][index] for index in self._sources(section, len(widths) - 1))
            return nn.Identity(), width // section.number("groups", 1)
        if section.name == "yolo":
            return Yolo(section, self.side), widths[-1]
        raise ConfigError(f"{config}: a layer [{section.name}] is not known")

    @staticmethod
    def _sources(section: Section, here: int) -> list[int]:
        indices = [int(index) for index in section.numbers("layers")]
        return [index if index >= 0 else here + index for index in indices]

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        values = torch.from_numpy(
            np.frombuffer(content[HEADER_BYTES:], "<f4", (len(content) - HEADER_BYTES) // 4).copy()
        )
        at = 0

        def take(count: int) -> Tensor:
            nonlocal at
            at += count
            if at > len(values):
                raise ConfigError(f"{path} ends too early for its configuration")
            return values[at - count : at]

        for section, layer in zip(self.sections, self.layers, strict=True):
            if not isinstance(layer, nn.Conv2d) or layer.bias is None:
                continue
            bias = take(layer.out_channels)
            if section.number("batch_normalize", 0):
                scale, mean, variance = (take(layer.out_channels) for _ in range(3))
                gain = scale / torch.sqrt(variance + BATCH_NORM_EPSILON)
            else:
                gain, mean = torch.ones_like(bias), torch.zeros_like(bias)
            kernel = take(layer.weight.numel()).reshape(layer.weight.shape)
            layer.weight.data = kernel * gain[:, None, None, None]
            layer.bias.data = bias - mean * gain
        if at != len(values):
            raise ConfigError(f"{path} holds {len(values)} numbers, its configuration takes {at}")

    def forward(self, x: Tensor) -> Tensor:
        """Candidates of all scales, [B, n, 4 + classes], of pictures [B, 3, side, side] in [0, 1]."""
        outputs = zip(self._outputs(x), self.sections, strict=True)
        return torch.cat([output for output, section in outputs if section.name == "yolo"], 1)

    def _outputs(self, x: Tensor) -> list[Tensor]:
        """Output of each layer, in the order of the configuration."""
        outputs: list[Tensor] = []
        for index, (section, layer) in enumerate(zip(self.sections, self.layers, strict=True)):
            if section.name == "route":
                x = torch.cat([outputs[source] for source in self._sources(section, index)], 1)
                if (groups := section.number("groups", 1)) > 1:
                    x = x.chunk(groups, 1)[section.number("group_id", 0)]
            else:
                x = layer(x)
            if section.values.get("activation") == "leaky":
                x = F.leaky_relu(x, 0.1)
            outputs.append(x)
        return outputs
