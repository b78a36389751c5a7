# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training writes while it runs: state, weights, the log, and TensorBoard's log."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from gened.errors import ConfigError
from gened.models.training.files import write_whole
from gened.models.training.folder import LOG_FILE, require_space
from gened.models.training.schedule import learning_rate
from gened.models.training.state import reason_of
from gened.models.training.trainer import Trainer

LOG_STEPS = 100
"""Steps between two lines of the log."""


class Writer:
    """What the first process writes while it trains: state, weights and log.

    Raises:
        ConfigError: The initial state or the log cannot be written.
    """

    def __init__(
        self, trainer: Trainer, out: Path, keep: Callable[[], dict[str, float]], say: Callable[[str], None]
    ) -> None:
        self._trainer, self._out, self._keep, self._say = trainer, out, keep, say
        self.losses: list[float] = []
        """Losses of the steps since the last log line."""
        self._saved_step = trainer.step
        trainer.save(out)  # so that a disk that is full, or too small, is known before the first step
        require_space(out, is_new=trainer.step == 0)
        self._last_save = self._last_keep = time.monotonic()
        with self._writing():
            forget_log(out / LOG_FILE, trainer.step)
            self._board = _board(out, trainer.step)

    def write(self, *, is_over: bool, is_interrupted: bool) -> None:
        """Write what is due between two steps.

        Args:
            is_over: Whether the training has come to its end: everything is due.
            is_interrupted: Whether it stops for a signal: the state is due, and no validation.

        Raises:
            ConfigError: A file cannot be written.
        """
        trainer, now = self._trainer, time.monotonic()
        ends = is_over or is_interrupted
        if ends or now - self._last_save >= trainer.schedule.save_every_s:
            if trainer.step != self._saved_step:
                trainer.save(self._out)
            self._saved_step, self._last_save = trainer.step, time.monotonic()
        if not (is_over or (self.losses and (is_interrupted or trainer.step % LOG_STEPS == 0))):
            return
        record = _record(trainer, self.losses)
        self.losses = []
        with self._writing():
            if is_over or (not ends and now - self._last_keep >= trainer.schedule.validate_every_s):
                record |= self._keep()
                self._last_keep = time.monotonic()
            _log(record, self._out, self._board)
        self._say(json.dumps(record))

    def close(self, signal_number: int | None) -> None:
        """Close the log; say where an interrupted training stands."""
        with self._writing():
            if self._board is not None:
                self._board.close()
        if signal_number is not None:
            name = signal.Signals(signal_number).name
            self._say(f"{name} after step {self._trainer.step}: the state is saved in {self._out}, --resume continues")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"cannot write to {self._out}: {reason_of(error)}; the state of step {self._saved_step} is kept, "
                "--resume continues"
            ) from error


def _record(trainer: Trainer, losses: list[float]) -> dict[str, Any]:
    rate = learning_rate(trainer.schedule, trainer.step)
    loss = round(sum(losses) / len(losses), 4) if losses else None
    return {
        "step": trainer.step, "seconds": round(trainer.seconds, 1), "loss": loss, "learning_rate": round(rate, 7)
    }  # fmt: skip


def _log(record: dict[str, Any], out: Path, board: Any) -> None:
    with (out / LOG_FILE).open("a") as log:
        log.write(json.dumps(record) + "\n")
    for key, value in record.items():
        if board is not None and value is not None and key not in ("step", "seconds"):
            board.add_scalar(key, value, record["step"])


def forget_log(path: Path, step: int) -> None:
    """Remove the lines after a step from a log: a training that is resumed computes those steps again."""
    if not path.exists():
        return
    lines = path.read_text(errors="replace").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    if kept != lines:
        text = "".join(line + "\n" for line in kept)
        write_whole(path, lambda file: file.write(text.encode()))


def _step_of(line: str) -> float:
    """The step of a log line; infinite for a line that was cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _board(out: Path, step: int) -> Any:
    """A TensorBoard log from a step on; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out), purge_step=step)
