# SPDX-License-Identifier: GPL-3.0-or-later
"""A training of a few numbers, with all that a state has to hold: batch statistics, dropout, moments, averages."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gened.models.training.loop import Trainer
from gened.models.training.run import Run, RunOptions
from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class SumTraining(Schedule):
    """Learns the sum of three numbers."""

    codec: Literal["sum"] = "sum"
    steps: int = 12
    batch: int = 8
    learning_rate: float = 0.05
    scale: float = 1.0


class SumRun(Run):
    """One training; `before_loss` runs in every step."""

    before_loss: Callable[[SumRun], None] = staticmethod(lambda run: None)

    def __init__(self, config: SumTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.config = config
        self.kept: list[int] = []
        torch.manual_seed(config.seed)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.trainer = Trainer(config, model.train(), self.device)

    def summary(self) -> str:
        """What is trained."""
        return "a sum"

    def step_data(self, step: int) -> Tensor:
        """Three numbers per element, [batch, 3]."""
        return torch.sin(torch.tensor(self.numbers(step))[:, None] * torch.tensor([1.0, 2.0, 3.0]))

    def loss(self, batch: Tensor) -> Tensor:
        """Mean squared error."""
        type(self).before_loss(self)
        result: Tensor = (self.trainer.model(batch) - self.config.scale * batch.sum(1, keepdim=True)).square().mean()
        return result

    def keep(self) -> dict[str, float]:
        """Nothing but a note of the step."""
        self.kept.append(self.trainer.step)
        return {"kept": float(self.trainer.step)}


def make_run(out: Path, *, resume: bool = False, config: SumTraining | None = None) -> SumRun:
    """A run in a folder, which is made."""
    out.mkdir(exist_ok=True)
    return SumRun(config or SumTraining(), RunOptions(out, out, threads=1, resume=resume))


def signal_at(step: int, number: signal.Signals) -> Callable[[SumRun], None]:
    """Sends this process a signal while a step is computed."""

    def send(run: SumRun) -> None:
        if run.trainer.step == step:
            signal.raise_signal(number)

    return send
