# SPDX-License-Identifier: GPL-3.0-or-later
"""The moving average is its formula, and a state that cannot be resumed is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gened.errors import CodecError, ConfigError
from gened.models.training.loop import STATE_FILE, Trainer
from gened.models.training.schedule import Schedule

CPU = torch.device("cpu")


def trainer(n: int = 3) -> Trainer:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(n, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return Trainer(Schedule(steps=40, learning_rate=0.05, warm_up=1, ema_decay=0.8), model, CPU)


def loss(trainer: Trainer) -> Tensor:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(trainer.step))
    result: Tensor = (trainer.model(x) - x.sum(1, keepdim=True)).square().mean()
    return result


def test_the_averaged_weights_are_an_exponential_average_that_forgets_its_beginning() -> None:
    one = trainer()
    expected = {name: value.clone() for name, value in one.model.state_dict().items()}
    for step in range(1, 31):
        one.apply(loss(one))
        decay = min(0.8, (1 + step) / (10 + step))
        for name, value in one.model.named_parameters():
            expected[name].lerp_(value.detach(), 1 - decay)
    found = one.averaged_weights()
    for name, _ in one.model.named_parameters():
        assert torch.equal(found[name], expected[name]), name
        assert not torch.equal(found[name], one.model.state_dict()[name]), name
    # What a network counts or measures on its way is not averaged.
    for name, value in one.model.named_buffers():
        assert torch.equal(found[name], value), name
    assert not one.averaged().training


def test_a_restored_trainer_takes_the_same_steps(tmp_path: Path) -> None:
    one, two = trainer(), trainer()
    for _ in range(3):
        one.apply(loss(one))
    one.save(tmp_path)
    two.restore(tmp_path)
    for _ in range(3):
        assert one.apply(loss(one)) == two.apply(loss(two))
    for name, value in one.averaged_weights().items():
        assert torch.equal(value, two.averaged_weights()[name]), name


def test_a_state_of_an_earlier_version_is_converted(tmp_path: Path) -> None:
    """It held the averaged weights by name, without a count."""
    one, two = trainer(), trainer()
    for _ in range(3):
        one.apply(loss(one))
    one.save(tmp_path)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    torch.save({**state, "average": one.averaged_weights()}, tmp_path / STATE_FILE)
    two.restore(tmp_path)
    for _ in range(3):
        one.apply(loss(one))
        two.apply(loss(two))
    for name, value in one.averaged_weights().items():
        assert torch.equal(value, two.averaged_weights()[name]), name


def test_a_state_that_is_damaged_or_of_another_training_is_one_line(tmp_path: Path) -> None:
    one = trainer()
    one.save(tmp_path)
    with pytest.raises(ConfigError, match="of another training") as other:
        trainer(n=2).restore(tmp_path)
    assert "\n" not in str(other.value)
    (tmp_path / STATE_FILE).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ConfigError, match="damaged.*start without --resume"):
        one.restore(tmp_path)
    torch.save({"step": 1}, tmp_path / STATE_FILE)
    with pytest.raises(ConfigError, match="damaged"):
        one.restore(tmp_path)


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    one = trainer()
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    with pytest.raises(CodecError, match="not a number at step 0"):
        one.apply(torch.tensor(float("nan"), requires_grad=True))
    assert all(torch.equal(value, before[name]) for name, value in one.model.state_dict().items())
