# SPDX-License-Identifier: GPL-3.0-or-later
"""A network in training: optimiser, moving average of the weights, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gened.errors import CodecError
from gened.models.training.schedule import Schedule, learning_rate
from gened.models.training.state import StateError, read_state, reason_of, write_state


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
        self.data: dict[str, str] = {}
        """Fingerprints of the data, kept in the state; see `fingerprint.py`."""
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
        """Write the state from which `restore` continues; the file appears whole or not at all.

        Raises:
            StateError: It cannot be written; earlier states stay.
        """
        write_state(out, {
            "step": self.step, "seconds": self.seconds, "schedule": asdict(self.schedule), "data": dict(self.data),
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "extras": {name: extra.state_dict() for name, extra in self.extras.items()},
        })  # fmt: skip

    def restore(self, out: Path) -> None:
        """Continue from the newest state in a folder that is whole.

        Raises:
            StateError: There is no state, or it is not of this training.
        """
        state = read_state(out)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.load_state_dict(_average_state(state))
            for name, extra in self.extras.items():
                extra.load_state_dict(state["extras"][name])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = reason_of(error)
            raise StateError(f"the state in {out} is of another training ({reason}); start without --resume") from error


def _average_state(state: dict[str, Any]) -> dict[str, Tensor]:
    """The state of the `AveragedModel`; files written before it was used hold the averaged weights alone."""
    average: dict[str, Tensor] = state["average"]
    if "n_averaged" in average:
        return average
    n_averaged = torch.tensor(int(state["step"]) + 1)
    return {"n_averaged": n_averaged, **{f"module.{name}": value for name, value in average.items()}}
