# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stages of the training of `gened` have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict

import torch
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.linear import LinearCoder
from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.decoder import DecoderNetwork
from gened.models.codecs.gened.encoder import EncoderNetwork
from gened.models.codecs.gened.importance import ImportanceNetwork
from gened.models.data.training_set import CropSampler, Photograph
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.weights import load_networks, load_start, save_weights
from gened.models.training.loop import Trainer
from gened.models.training.run import Run, RunOptions

N_SAMPLES = 6
"""Crops in a row of the sample sheet."""


class GenedRun(Run):
    """The linear code, the networks, and what is written; a stage adds its data and its loss."""

    def __init__(self, config: GenedTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.config = config
        if config.batch % self.size or config.crop % 32:
            raise ConfigError(
                f"batch {config.batch} must be a multiple of {self.size} processes, and crop {config.crop} of 32"
            )
        self.linear, start = load_start(config)
        photographs = self.training_photographs(self.read_photographs(min_side=config.crop, saliency=options.saliency))
        self.n_photographs = len(photographs)
        self.sampler = CropSampler(
            photographs, crop=config.crop, seed=config.seed, max_reduction=config.max_reduction,
            max_aspect=config.max_aspect,
        )  # fmt: skip
        statistics = stats.from_tensors(self.linear)
        self.network = GenedConfig(
            classes=statistics.n_map_classes, foreground=config.foreground, background=config.background,
            dual=config.dual, predicts=config.predicts, encoder=config.encoder,
        )  # fmt: skip
        torch.manual_seed(config.seed)
        self.networks: dict[str, nn.Module] = {
            "decoder": DecoderNetwork(self.network), "importance": ImportanceNetwork(self.network)
        }  # fmt: skip
        if config.encoder:
            self.networks["encoder"] = EncoderNetwork(self.network)
        load_networks(self.networks, start, config)
        self.coder = LinearCoder(statistics)
        self.trainer = Trainer(config, self.model().train(), self.device)

    def training_photographs(self, photographs: list[Photograph]) -> list[Photograph]:
        """Those of the photographs that the training may use."""
        return photographs

    def model(self) -> nn.Module:
        """The module that is trained."""
        return self.networks[self.config.stage]

    @abstractmethod
    def validated(self) -> dict[str, float]:
        """Figures of the averaged weights on crops that training never draws."""

    def averaged_networks(self) -> dict[str, dict[str, Tensor]]:
        """Averaged weights of the networks that this stage trains, by network."""
        return {self.config.stage: self.trainer.averaged_weights()}

    def summary(self) -> str:
        """Number of photographs, and the stage."""
        return f"{self.n_photographs} photographs, stage {self.config.stage}, {self.config.steps} steps"

    def keep(self) -> dict[str, float]:
        """Validate the averaged weights and write them, with the other networks as they were."""
        with torch.no_grad():
            figures = self.validated()
        record = {
            "photographs": self.n_photographs, "steps_done": self.trainer.step, "seconds": round(self.trainer.seconds),
            "torch": torch.__version__, "validation": figures, **asdict(self.config),
        }  # fmt: skip
        description = {
            "codec": "gened", "network": self.network.to_json(), "focus": self.config.focus,
            "training": {self.config.stage: record},
        }  # fmt: skip
        untrained = {part: network.state_dict() for part, network in self.networks.items()}
        save_weights(self.out, self.linear, {**untrained, **self.averaged_networks()}, description, self.config)
        return figures


def split_networks(weights: dict[str, Tensor], prefixes: dict[str, str]) -> dict[str, dict[str, Tensor]]:
    """Weights by network, from those of a module that contains several; empty networks are left out."""
    parts = {
        part: {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        for prefix, part in prefixes.items()
    }
    return {part: found for part, found in parts.items() if found}
