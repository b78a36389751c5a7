# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface that every training implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gened.models.training import loop
from gened.models.training.processes import rank_and_size
from gened.models.training.schedule import Schedule

WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE = "model.safetensors", "config.json", "samples.png"
"""What a training leaves in its folder, beside state and log."""


@dataclass(frozen=True)
class RunOptions:
    """What a run depends on beside its configuration: data, folder and machine."""

    data: Path
    """Folder of tar shards or of pictures; of pairs for the editor."""
    out: Path
    """Folder for weights, state, log and sample pictures."""
    saliency: Path | None = None
    """Folder of a teacher's saliency maps for the shards."""
    device: str = "cpu"
    """PyTorch device."""
    threads: int = 2
    """PyTorch threads on a CPU, and threads that prepare the data."""
    resume: bool = False
    """Whether to continue from the state in `out`; initial weights need not be computed then."""


class Run(ABC):
    """One training: its data, its networks, and what it writes.

    Args:
        schedule: The configuration.
        options: Data, folder and machine.
    """

    trainer: loop.Trainer
    """Set by the subclass."""

    def __init__(self, schedule: Schedule, options: RunOptions) -> None:
        self._schedule, self._options = schedule, options
        self.out, self.device = options.out, torch.device(options.device)
        self.rank, self.size = rank_and_size()

    def numbers(self, step: int) -> range:
        """Numbers of the crops of a step that this process computes, a part of the whole batch."""
        each = self._schedule.batch // self.size
        first = step * self._schedule.batch + self.rank * each
        return range(first, first + each)

    @abstractmethod
    def summary(self) -> str:
        """What is trained, and on how much data, for the first line of the output."""

    @abstractmethod
    def step_data(self, step: int) -> Any:
        """This process's part of the batch of a step, a function of seed and step."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Scalar loss of what `step_data` returned, with a gradient."""

    @abstractmethod
    def keep(self) -> dict[str, float]:
        """Validate the averaged weights and write them; returns figures for the log."""

    def go(self, *, deadline: float | None, say: Callable[[str], None] = print) -> None:
        """Train until the schedule is done or `time.monotonic()` reaches the deadline.

        Raises:
            ConfigError: To be resumed, but there is no state of this training in the folder.
            CodecError: The loss is not finite.
        """
        if self._options.resume:
            self.trainer.restore(self.out)
        stream = loop.prepared(self.step_data, self.trainer.step, threads=self._options.threads)
        loop.run(self.trainer, self.loss, stream, self.out, deadline=deadline, keep=self.keep, say=say)


@dataclass(frozen=True)
class Training:
    """A registered training: the class of its configuration, and what makes a run of one."""

    config: type[Schedule]
    make: Callable[[Any, RunOptions], Run]
