# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: optimiser, moving average of the weights, state, log.

A run is a function of its configuration, seed and step alone, so a run that was interrupted and resumed ends with the
same weights as an uninterrupted one. Under `torchrun` the first process writes the weights, the state and the log.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gened.errors import CodecError, ConfigError
from gened.models.training.processes import data_parallel, is_any, rank_and_size
from gened.models.training.schedule import Schedule, learning_rate

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
LOG_STEPS = 100
AHEAD = 4
"""Steps whose data are prepared in advance."""

Item = TypeVar("Item")


def prepared(make: Callable[[int], Item], first: int, *, threads: int) -> Iterator[Item]:
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


class Trainer:
    """A network with its optimiser and the moving average of its weights, saved and restored together.

    Args:
        schedule: Configuration of the run.
        model: Trained in place.
        device: PyTorch device to train on.
    """

    def __init__(self, schedule: Schedule, model: nn.Module, device: torch.device) -> None:
        self.schedule, self.device = schedule, device
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.model, multi_avg_fn=self._update_average)
        self.average.update_parameters(self.model)  # the average begins with the initial weights
        self.optimizer = torch.optim.AdamW(self.parameter_groups(), lr=schedule.learning_rate, betas=(0.9, 0.98))
        self.extras: dict[str, nn.Module | torch.optim.Optimizer] = {}
        """Further parts of the state, such as a discriminator and its optimiser; their owner trains them."""
        self.step = 0
        self.seconds = 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters; `scale` multiplies the learning rate of a group."""
        decay = self.schedule.weight_decay
        return [{"params": list(self.model.parameters()), "scale": 1.0, "weight_decay": decay}]

    def _update_average(self, average: Sequence[Tensor], weights: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        """Exponential moving average; the decay rises with the step, so that the initial weights are soon forgotten."""
        decay = min(self.schedule.ema_decay, (1 + int(n_averaged)) / (10 + int(n_averaged)))
        get_ema_multi_avg_fn(decay)(average, weights, n_averaged)  # type: ignore[no-untyped-call]

    def averaged(self) -> nn.Module:
        """The model with the averaged weights, for evaluation."""
        model: nn.Module = self.average.module
        return model.eval()

    def averaged_weights(self) -> dict[str, Tensor]:
        """The averaged weights by name."""
        return dict(self.average.module.state_dict())

    def apply(self, loss: Tensor) -> float:
        """One optimiser step; returns the value of the loss.

        Raises:
            CodecError: The loss is not finite; the last good state is on disk.
        """
        if not torch.isfinite(loss):
            raise CodecError(
                f"the loss is not a number at step {self.step}; the last good state is kept: "
                "lower learning_rate and resume"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.schedule, self.step) * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.average.update_parameters(self.model)
        return float(loss.detach())

    def save(self, out: Path) -> None:
        """Write the state from which `restore` continues; the file appears whole or not at all."""
        state = {
            "step": self.step, "seconds": self.seconds, "schedule": asdict(self.schedule),
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "extras": {name: extra.state_dict() for name, extra in self.extras.items()},
        }  # fmt: skip
        part = out / (STATE_FILE + ".part")
        torch.save(state, part)
        part.replace(out / STATE_FILE)

    def restore(self, out: Path) -> None:
        """Continue from the state in a folder.

        Raises:
            ConfigError: There is no state, or it is not of this training.
        """
        path = out / STATE_FILE
        if not path.exists():
            raise ConfigError(f"nothing to resume: {path} does not exist; start without --resume")
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.load_state_dict(_average_state(state))
            for name, extra in self.extras.items():
                extra.load_state_dict(state["extras"][name])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{path} is damaged or of another training ({reason}); start without --resume") from error


def _average_state(state: dict[str, Any]) -> dict[str, Tensor]:
    """The state of the `AveragedModel`; files written before it was used hold the averaged weights alone."""
    average: dict[str, Tensor] = state["average"]
    if "n_averaged" in average:
        return average
    n_averaged = torch.tensor(int(state["step"]) + 1)
    return {"n_averaged": n_averaged, **{f"module.{name}": value for name, value in average.items()}}


def run(
    trainer: Trainer,
    loss: Callable[[Any], Tensor],
    stream: Iterator[Any],
    out: Path,
    *,
    deadline: float | None,
    keep: Callable[[], dict[str, float]],
    say: Callable[[str], None] = print,
) -> None:
    """Train until the schedule or the time ends, with a log line every `LOG_STEPS` and a state every few minutes.

    Args:
        trainer: What is trained.
        loss: The loss of a step, from an element of the stream.
        stream: The data of the steps, from `trainer.step` on.
        out: Folder for state and log.
        deadline: Time of `time.monotonic()` at which training stops; None: none.
        keep: Validates and writes the averaged weights; its figures are logged.
        say: Receives each log line as well.
    """
    is_first = rank_and_size()[0] == 0
    board = _board(out) if is_first else None
    loss = data_parallel(trainer.model, loss)
    last_save = last = time.monotonic()
    values: list[float] = []
    while True:
        is_over = deadline is not None and time.monotonic() >= deadline
        # All processes stop at the same step: one that stopped alone would leave the others waiting for its gradient.
        finished = trainer.step >= trainer.schedule.steps or is_any(is_over, trainer.device)
        if finished or (values and trainer.step % LOG_STEPS == 0):
            record = _record(trainer, values)
            values = []
            if is_first and (finished or last - last_save > trainer.schedule.save_every_s):
                record |= keep()
                trainer.save(out)
                last_save = time.monotonic()
            if is_first:
                _log(record, out, board)
                say(json.dumps(record))
            last = time.monotonic()
        if finished:
            break
        values.append(trainer.apply(loss(next(stream))))
        now = time.monotonic()
        trainer.seconds += now - last
        last = now
    if board is not None:
        board.close()


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


def _board(out: Path) -> Any:
    """A TensorBoard log; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out))
