# SPDX-License-Identifier: GPL-3.0-or-later
"""The training: crops of photographs through encoder, channel and decoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from gened.models.channel import SymbolChannel
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.training.files import write_json, write_tensors
from gened.models.training.loop import Trainer
from gened.models.training.run import Run, RunOptions, Training
from gened.models.training.schedule import Schedule
from my_jscc.codec import NAME, Network


@dataclass(frozen=True)
class MyTraining(Schedule):
    """Keys of the configuration: those of every training with new defaults, and four more."""

    codec: str = NAME
    steps: int = 1500
    batch: int = 8
    learning_rate: float = 1e-3
    crop: int = 96
    channel: str = "awgn"
    max_snr_db: float = 20.0


class MyRun(Run):
    """One training, a function of configuration, seed and step."""

    def __init__(self, config: MyTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.config, self.channel = config, SymbolChannel(config.channel, erasure=0.05)
        photographs = load_photographs(options.data, min_side=config.crop)
        self.sampler = CropSampler(photographs, crop=config.crop, seed=config.seed, max_reduction=2.5)
        torch.manual_seed(config.seed)
        self.trainer = Trainer(config, Network(), self.device)

    def summary(self) -> str:
        """The first line of the output."""
        return f"{NAME} over {self.config.channel}, {self.config.steps} steps"

    def step_data(self, step: int) -> Tensor:
        """Crops of a step, [B, 3, crop, crop] uint8."""
        numbers = self.numbers(step)
        return torch.from_numpy(self.sampler.batch(numbers.start, len(numbers)))

    def loss(self, batch: Tensor) -> Tensor:
        """Mean logarithm of the squared error, each crop at an SNR of its own."""
        x, network = batch.to(self.device).float() / 255, self.trainer.model
        first = self.numbers(self.trainer.step).start
        generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + first)
        snr_db = self.config.max_snr_db * torch.rand(len(x), generator=generator)
        received = self.channel(network.encode(x), snr_db, generator=generator)
        x_hat = network.decode(received.symbols, received.noise_var)
        return torch.log((x_hat - x).square().flatten(1).mean(1) + 2e-4).mean()

    def keep(self) -> dict[str, float]:
        """Write the averaged weights, and the configuration that names the codec."""
        weights = {name: value.contiguous() for name, value in self.trainer.averaged_weights().items()}
        write_tensors(self.out / "model.safetensors", weights)
        write_json(self.out / "config.json", {"codec": NAME, "training": asdict(self.config)})
        return {}


TRAINING = Training(MyTraining, MyRun)
