# SPDX-License-Identifier: GPL-3.0-or-later
"""What every training has in common: schedule, optimiser, moving average, state, log, and several processes.

A run is a function of its configuration, seed and step alone: it may be cut off at any step and go on as if it had not.
Under `torchrun` each process takes its share of a step's crops and the gradients are averaged; the first one writes.
"""

from __future__ import annotations

import json
import math
import os
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from gened.errors import CodecError, ConfigError

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
LOG_STEPS = 100
AHEAD = 4
"""Steps whose data are prepared beforehand."""

Item = TypeVar("Item")
Config = TypeVar("Config", bound="Schedule")


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, from where; a training's own configuration adds to it."""

    steps: int = 12000
    batch: int = 4
    """Crops in a step, over all processes."""
    learning_rate: float = 4e-4
    final_learning_rate: float = 1e-5
    warm_up: int = 200
    hold_share: float = 0.4
    """Share of the steps before the learning rate begins to fall (a cosine)."""
    weight_decay: float = 0.01
    clip_norm: float = 0.5
    ema_decay: float = 0.999
    seed: int = 1
    save_every_s: float = 300.0
    warm_start: str = ""
    """Folder of weights to begin from."""


def read_config(path: Path, kind: type[Config]) -> Config:
    """A TOML file that states only what differs from the defaults.

    Raises:
        ConfigError: No such file, not TOML, an unknown key, or a value of another type.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the training configuration {path}: {error}") from error
    defaults = asdict(kind())
    for key, value in values.items():
        if key not in defaults:
            raise ConfigError(f"{path}: unknown key {key!r}; known are {', '.join(sorted(defaults))}")
        if isinstance(defaults[key], float) and isinstance(value, int):
            values[key] = float(value)
        elif type(value) is not type(defaults[key]) and not isinstance(defaults[key], tuple):
            raise ConfigError(f"{path}: {key} = {value!r}; expected such as {defaults[key]!r}")
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return kind(**fields)


def learning_rate(schedule: Schedule, step: int) -> float:
    """Warm-up, constant, then a cosine down to `final_learning_rate`."""
    progress = step / schedule.steps
    rise = min(1.0, (step + 1) / max(1, schedule.warm_up))
    if progress <= schedule.hold_share:
        return schedule.learning_rate * rise
    fall = min(1.0, (progress - schedule.hold_share) / (1 - schedule.hold_share))
    swing = schedule.learning_rate - schedule.final_learning_rate
    return rise * (schedule.final_learning_rate + 0.5 * swing * (1 + math.cos(math.pi * fall)))


def rank_and_size() -> tuple[int, int]:
    """Number of this process and how many there are; joins the others when `torchrun` has started it."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def prepared(make: Callable[[int], Item], first: int, *, threads: int) -> Iterator[Item]:
    """make(first), make(first + 1), ... without end, a few of them prepared beforehand by threads."""
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


def average_gradients(model: nn.Module) -> None:
    """The mean over all processes, in each of them."""
    if not distributed.is_initialized():
        return
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)
        parameter.grad /= distributed.get_world_size()


class Trainer:
    """A network with its optimiser and the moving average of its weights, saved and restored together.

    Args:
        schedule: Of the run.
        model: Trained in place.
        device: Where to.
    """

    def __init__(self, schedule: Schedule, model: nn.Module, device: torch.device) -> None:
        self.schedule, self.device = schedule, device
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.parameter_groups(), lr=schedule.learning_rate, betas=(0.9, 0.98))
        self.extras: dict[str, nn.Module | torch.optim.Optimizer] = {}
        """What else a state holds, such as a discriminator and its optimiser; training them is their owner's part."""
        self.step = 0
        self.seconds = 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters by what their learning rate is multiplied with, and their weight decay."""
        decay = self.schedule.weight_decay
        return [{"params": list(self.model.parameters()), "scale": 1.0, "weight_decay": decay}]

    def apply(self, loss: Tensor) -> float:
        """One step down the slope of `loss`; its value.

        Raises:
            CodecError: The loss is not a number; the last good state is on disk.
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
        average_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(self.schedule.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)
        return float(loss.detach())

    def save(self, out: Path) -> None:
        """The state, from which `restore` goes on; the file appears whole or not at all."""
        state = {
            "step": self.step, "seconds": self.seconds, "schedule": asdict(self.schedule),
            "model": self.model.state_dict(), "average": self.average, "optimizer": self.optimizer.state_dict(),
            "extras": {name: extra.state_dict() for name, extra in self.extras.items()},
        }  # fmt: skip
        part = out / (STATE_FILE + ".part")
        torch.save(state, part)
        part.replace(out / STATE_FILE)

    def restore(self, out: Path) -> None:
        """Go on from the state in a folder.

        Raises:
            ConfigError: There is none.
        """
        path = out / STATE_FILE
        if not path.exists():
            raise ConfigError(f"nothing to resume: {path} does not exist; start without --resume")
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        for name, extra in self.extras.items():
            extra.load_state_dict(state["extras"][name])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


def run(
    trainer: Trainer,
    losses: Callable[[Any], Tensor],
    stream: Iterator[Any],
    out: Path,
    *,
    deadline: float | None,
    keep: Callable[[], dict[str, float]],
    say: Callable[[str], None] = print,
) -> None:
    """Steps until the schedule or the time is over; a log line now and then, a state every few minutes.

    Args:
        trainer: What is trained.
        losses: From what the stream gives to the loss of a step.
        stream: From `trainer.step` on.
        out: Folder for state and log.
        deadline: Of `time.monotonic()`; None: none.
        keep: Validates and writes the averaged weights; its figures enter the log.
        say: Where the log lines go as well.
    """
    is_first = rank_and_size()[0] == 0
    board = _board(out) if is_first else None
    last_save = last = time.monotonic()
    values: list[float] = []
    while True:
        finished = trainer.step >= trainer.schedule.steps or _is_over(deadline, trainer.device)
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
        values.append(trainer.apply(losses(next(stream))))
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


def _is_over(deadline: float | None, device: torch.device) -> bool:
    """Whether the time is over, for all processes alike: one that stops alone would leave the others waiting."""
    over = deadline is not None and time.monotonic() >= deadline
    if not distributed.is_initialized():
        return over
    votes = torch.tensor([float(over)], device=device)
    distributed.all_reduce(votes)
    return bool(votes.item() > 0)


def _board(out: Path) -> Any:
    """A TensorBoard log, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out))
