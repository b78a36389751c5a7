# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface that every training implements."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gened.models.data.training_set import Photograph, load_photographs
from gened.models.training import loop
from gened.models.training.folder import CONFIG_FILE, SAMPLES_FILE, WEIGHTS_FILE
from gened.models.training.processes import rank_and_size
from gened.models.training.schedule import Schedule

__all__ = ["CONFIG_FILE", "SAMPLES_FILE", "WEIGHTS_FILE", "Report", "Run", "RunOptions", "Training"]

Report = Callable[[str, int, int], None]
"""Called while a run is prepared: with what is done, how much of it is finished, and how much there is."""


def no_report(what: str, done: int, total: int) -> None:
    """A `Report` that does nothing."""


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
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Hash of the data by option (`data`, `saliency`), see `fingerprint.py`. It is kept in the state."""
    report: Report = no_report
    """Receives the progress of the preparation."""
    step_report: loop.StepReport = loop.no_step_report
    """Receives the progress of the training."""


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

    def read_photographs(self, *, min_side: int, saliency: Path | None = None) -> list[Photograph]:
        """The photographs of the data, see `load_photographs`; the progress is reported.

        Raises:
            ConfigError: There are none that are large enough, or a file is damaged.
        """
        report = partial(self._options.report, "reading files of photographs")
        return load_photographs(self._options.data, min_side=min_side, saliency=saliency, report=report)

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

    def go(self, *, minutes: float | None, say: Callable[[str], None] = print) -> None:
        """Train until the schedule is done or the minutes are over, which count from the first step of this call.

        Raises:
            ConfigError: To be resumed, but there is no state of this training in the folder; or it cannot be written.
            CodecError: The loss is not finite.
        """
        if self._options.resume:
            self.trainer.restore(self.out)
        self.trainer.data = dict(self._options.fingerprints)
        stream = loop.prepared(self.step_data, self.trainer.step, threads=self._options.threads)
        with contextlib.closing(stream):
            loop.run(
                self.trainer, self.loss, stream, self.out, minutes=minutes, keep=self.keep, say=say,
                report=self._options.step_report,
            )  # fmt: skip


@dataclass(frozen=True)
class Training:
    """A registered training: the class of its configuration, and what makes a run of one."""

    config: type[Schedule]
    make: Callable[[Any, RunOptions], Run]
