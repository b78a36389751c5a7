# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: data in advance, steps, signals, the time limit.

A run is a function of its configuration, seed and step alone, so a run that was interrupted and resumed ends with the
same weights as an uninterrupted one. Under `torchrun` the first process writes the weights, the state and the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gened.models.training.folder import LOG_FILE
from gened.models.training.interruption import noticed_signals
from gened.models.training.processes import data_parallel, in_any, rank_and_size
from gened.models.training.state import STATE_FILE
from gened.models.training.trainer import Trainer
from gened.models.training.writer import LOG_STEPS, Writer

AHEAD = 4
"""Steps whose data are prepared in advance."""

Item = TypeVar("Item")
StepReport = Callable[[int, int, float, float | None], None]
"""Called after each step, see `run`."""


def no_step_report(step: int, steps: int, seconds: float, deadline: float | None) -> None:
    """A `StepReport` that does nothing."""


__all__ = ["LOG_FILE", "LOG_STEPS", "STATE_FILE", "Trainer", "prepared", "run"]


def prepared(make: Callable[[int], Item], first: int, *, threads: int) -> Generator[Item]:
    """make(first), make(first + 1), ... without end; `AHEAD` of them are prepared in advance by threads."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        ahead: list[Future[Item]] = [pool.submit(make, first + i) for i in range(AHEAD)]
        step = first + AHEAD
        try:
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(make, step))
                step += 1
        finally:
            for future in ahead:
                future.cancel()


def run(
    trainer: Trainer,
    loss: Callable[[Any], Tensor],
    stream: Iterator[Any],
    out: Path,
    *,
    minutes: float | None,
    keep: Callable[[], dict[str, float]],
    say: Callable[[str], None] = print,
    report: StepReport = no_step_report,
) -> None:
    """Train until the schedule or the time ends, or until SIGINT or SIGTERM.

    There is a log line every `LOG_STEPS` steps. The state is saved before the first step, then every `save_every_s` at
    any step, and at the end; the averaged weights are validated and written every `validate_every_s` and at the end.
    After a signal the state is saved, and the signal is raised again.

    Args:
        trainer: What is trained.
        loss: The loss of a step, from an element of the stream.
        stream: The data of the steps, from `trainer.step` on.
        out: Folder for state and log.
        minutes: Time limit, which counts from the first step of this call; None: none.
        keep: Validates and writes the averaged weights; its figures are logged.
        say: Receives each log line as well.
        report: Receives after each step: the steps done, all steps, the seconds of that step, and the time of
            `time.monotonic()` at which training stops, or None.

    Raises:
        ConfigError: State, weights or log cannot be written; the last saved state is kept.
        CodecError: The loss is not finite.
    """
    is_first = rank_and_size()[0] == 0
    with noticed_signals() as interruption:
        loss = data_parallel(trainer.model, loss)
        writer = Writer(trainer, out, keep, say) if is_first else None
        last = time.monotonic()
        deadline = None if minutes is None else last + 60 * minutes
        while True:
            is_over = deadline is not None and time.monotonic() >= deadline
            # All processes stop at the same step: one that stopped alone would leave the others waiting for its
            # gradient.
            is_over, is_interrupted = in_any([is_over, interruption.is_set], trainer.device)
            is_over |= trainer.step >= trainer.schedule.steps
            if writer is not None:
                writer.write(is_over=is_over, is_interrupted=is_interrupted)
            if is_over or is_interrupted:
                break
            last = time.monotonic()
            torch.manual_seed(_seed(trainer))
            value = trainer.apply(loss(next(stream)))
            seconds = time.monotonic() - last
            trainer.seconds += seconds
            if writer is not None:
                writer.losses.append(value)
                report(trainer.step, trainer.schedule.steps, seconds, deadline)
        in_any([False], trainer.device)  # the others wait until the first process has written
        if writer is not None:
            writer.close(interruption.number if is_interrupted else None)
    interruption.raise_again()


def _seed(trainer: Trainer) -> int:
    """Seed of what PyTorch draws in a step, such as dropout, so that a run is a function of seed and step alone."""
    return trainer.schedule.seed * 1_000_003 + trainer.step + 999_983 * rank_and_size()[0]
