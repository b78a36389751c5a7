# SPDX-License-Identifier: GPL-3.0-or-later
"""A new training is one file and one line in the registry."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.training import trainings
from gened.models.training.loop import STATE_FILE, Trainer
from gened.models.training.run import Run, RunOptions, Training
from gened.models.training.schedule import Schedule


@dataclass(frozen=True)
class LineTraining(Schedule):
    codec: Literal["line"] = "line"
    slope: float = 3.0


class LineRun(Run):
    """Fits y = slope x."""

    def __init__(self, config: LineTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.config = config
        self.trainer = Trainer(config, nn.Linear(1, 1), self.device)

    def summary(self) -> str:
        return "a line"

    def step_data(self, step: int) -> Tensor:
        return torch.tensor(self.numbers(step), dtype=torch.float32)[:, None].sin()

    def loss(self, batch: Tensor) -> Tensor:
        result: Tensor = (self.trainer.model(batch) - self.config.slope * batch).square().mean()
        return result

    def keep(self) -> dict[str, float]:
        return {"slope": round(float(self.trainer.averaged_weights()["weight"]), 3)}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("training_of_a_line")
    module.TRAINING = Training(LineTraining, LineRun)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(trainings.TRAININGS, "line", module.__name__)


@pytest.mark.usefixtures("registered")
def test_a_new_training_runs_logs_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "line.toml"
    config.write_text('codec = "line"\nsteps = 300\nlearning_rate = 0.05\nema_decay = 0.9\nslope = 2.0\n')
    trainings.train(config, data=tmp_path, out=tmp_path / "out", steps=150)
    trainings.train(config, data=tmp_path, out=tmp_path / "out", resume=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a line, prepared in")
    assert json.loads(lines[-1])["slope"] == pytest.approx(2.0, abs=0.1)
    assert torch.load(tmp_path / "out" / STATE_FILE, weights_only=True)["step"] == 300
    with pytest.raises(ConfigError, match=r"known are .*slope"):
        config.write_text('codec = "line"\nslop = 2.0\n')
        trainings.train(config, data=tmp_path, out=tmp_path / "out")


@pytest.mark.parametrize("codec", trainings.TRAININGS)
def test_every_registered_training_can_be_imported_and_names_itself(codec: str) -> None:
    assert getattr(trainings.training(codec).config(), "codec", None) == codec


def test_a_configuration_goes_by_its_file_or_by_its_name() -> None:
    from gened.models.training.schedule import config_file
    from gened.paths import TRAINING_CONFIGS

    path = TRAINING_CONFIGS / "paper.toml"
    assert config_file(Path("paper")) == config_file(path) == path
    with pytest.raises(ConfigError, match="no configuration papers; give a TOML file, or one of .*paper"):
        config_file(Path("papers"))


def test_every_configuration_of_the_package_is_of_a_registered_training() -> None:
    from gened.models.training.schedule import read_config
    from gened.paths import TRAINING_CONFIGS

    paths = sorted(TRAINING_CONFIGS.glob("*.toml"))
    assert len(paths) >= 9
    for path in paths:
        assert read_config(path, trainings.training_for(path).config).steps > 0, path
