# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that is interrupted at any step and resumed ends with the weights of one that was not, to the last bit."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest
import torch
from small_training import SumRun, SumTraining, make_run, signal_at
from torch import Tensor

from gened.errors import ConfigError
from gened.models.training import loop, writer
from gened.models.training.state import STATE_FILE, read_state
from gened.models.training.writer import LOG_FILE, forget_log


def quiet(line: str) -> None:
    """For lines that no test reads."""


def tensors(run: SumRun) -> dict[str, Tensor]:
    """All numbers that a training has: weights, averages, moments of the optimiser."""
    state = run.trainer.optimizer.state_dict()["state"]
    moments = {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}
    return {**run.trainer.model.state_dict(), **run.trainer.average.state_dict(), **moments}


@pytest.fixture
def received() -> Iterator[list[int]]:
    """Signals that reach the process after the training has dealt with them."""
    numbers: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        numbers.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_at_any_step_changes_no_bit(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, received: list[int]
) -> None:
    whole = make_run(tmp_path / "whole")
    whole.go(minutes=None, say=quiet)
    expected = tensors(whole)
    for step in (0, 1, 6, 10):
        folder = tmp_path / f"cut-{step}"
        monkeypatch.setattr(SumRun, "before_loss", signal_at(step, number))
        said: list[str] = []
        cut = make_run(folder)
        cut.go(minutes=None, say=said.append)
        assert received.pop() == number and received == []
        assert read_state(folder)["step"] == step + 1
        assert cut.kept == []  # the state is saved at once; a validation may take minutes
        assert said[-1].startswith(f"{number.name} after step {step + 1}: the state is saved in {folder}")
        monkeypatch.setattr(SumRun, "before_loss", signal_at(-1, number))
        resumed = make_run(folder, resume=True)
        resumed.go(minutes=None, say=quiet)
        found = tensors(resumed)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value), (step, name)
        assert [json.loads(line)["step"] for line in (folder / LOG_FILE).read_text().splitlines()] == [step + 1, 12]


def test_without_a_handler_sigint_is_a_keyboard_interrupt_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SumRun, "before_loss", signal_at(3, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        make_run(tmp_path).go(minutes=None, say=quiet)
    assert read_state(tmp_path)["step"] == 4


def test_a_killed_run_continues_from_the_last_state_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a state after every step, whatever the step's number, only the step that is computed is lost."""
    on_disk: list[tuple[int, int]] = []

    def note(run: SumRun) -> None:
        on_disk.append((run.trainer.step, read_state(tmp_path)["step"]))

    monkeypatch.setattr(SumRun, "before_loss", note)
    make_run(tmp_path, config=SumTraining(save_every_s=0.0)).go(minutes=None, say=quiet)
    assert on_disk == [(step, step) for step in range(12)]


def test_the_first_state_is_there_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(SumRun, "before_loss", lambda run: steps.append(read_state(tmp_path)["step"]))
    make_run(tmp_path).go(minutes=None, say=quiet)
    assert steps == [0] * 12


def test_minutes_count_from_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        return now

    def ten_seconds(run: SumRun) -> None:
        nonlocal now
        now += 10.0

    for module in (loop, writer):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(SumRun, "before_loss", ten_seconds)
    run = make_run(tmp_path)
    now = 3600.0  # an hour of preparation
    run.go(minutes=0.5, say=quiet)
    assert run.trainer.step == 3 and run.trainer.seconds == 30.0
    now += 3600.0
    resumed = make_run(tmp_path, resume=True)
    resumed.go(minutes=0.5, say=quiet)
    assert resumed.trainer.step == 6


def test_a_log_forgets_the_steps_that_are_computed_again(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_text('{"step": 100, "loss": 1}\n{"step": 200, "loss": 2}\n{"step": 3')
    forget_log(path, 150)
    assert path.read_text() == '{"step": 100, "loss": 1}\n'
    forget_log(tmp_path / "absent.jsonl", 5)
    assert not (tmp_path / "absent.jsonl").exists()


def test_weights_that_cannot_be_written_leave_the_state_of_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: SumRun) -> dict[str, float]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SumRun, "keep", fail)
    with pytest.raises(ConfigError, match="No space left on device; the state of step 12 is kept") as caught:
        make_run(tmp_path).go(minutes=None, say=quiet)
    assert "\n" not in str(caught.value)
    assert read_state(tmp_path)["step"] == 12
    assert (tmp_path / STATE_FILE).exists()
