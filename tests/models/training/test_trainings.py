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
from installing import install_entry_points
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.training import trainings
from gened.models.training.loop import STATE_FILE, Trainer
from gened.models.training.overview import overview
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


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a training of a line, and broken ones."""
    folder = tmp_path / "installed"
    points = {
        "line": "training_of_a_line", "broken": "broken_training:TRAINING", "number": "training_of_a_line:NUMBER",
        "absent": "no_such_training", "deepjscc": "broken_training",
    }  # fmt: skip
    install_entry_points(folder, "line", {"gened.trainings": points})
    (folder / "broken_training.py").write_text("raise RuntimeError('no licence\\n found')\n")
    monkeypatch.syspath_prepend(folder)
    module = ModuleType("training_of_a_line")
    module.TRAINING, module.NUMBER = Training(LineTraining, LineRun), 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("installed")
def test_an_installed_training_goes_by_its_name_with_its_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gened.models.training.schedule import config_file

    trainings.train(config_file(Path("line")), data=tmp_path, out=tmp_path / "out", steps=2)
    assert capsys.readouterr().out.startswith("a line, prepared in")
    config = tmp_path / "steep.toml"
    config.write_text('codec = "line"\nslope = 9.0\n')
    assert trainings.training_for(config).config is LineTraining
    with pytest.raises(ConfigError, match="no configuration lime; give a TOML file, or one of .*paper.* line"):
        config_file(Path("lime"))


@pytest.mark.usefixtures("installed")
def test_a_broken_training_is_named_in_one_line_and_the_others_work() -> None:
    for name, message in [
        ("broken", r"training broken \(broken_training:TRAINING\) cannot be loaded: RuntimeError: no licence found"),
        ("number", r"training number \(training_of_a_line:NUMBER\) is a int, not a Training"),
        ("absent", "training absent needs the Python package no_such_training, which is not installed"),
    ]:
        with pytest.raises(ConfigError, match=f"^{message}$"):
            trainings.training(name)
    assert trainings.training("line").config is LineTraining
    assert trainings.training("deepjscc").config.__name__ == "DeepJsccTraining"  # ours, whatever others call theirs
    lines = {line.split()[0]: line for line in overview().splitlines()}
    assert lines["line"].split()[:3] == ["line", "line", "12000"] and "Training of another package" in lines["line"]
    assert "cannot be loaded: RuntimeError: no licence found" in lines["broken"]
    assert lines["deepjscc"].split()[1] == "deepjscc"
    with pytest.raises(ConfigError, match="lime.* has no training; known are deepjscc, .*absent, broken, line, number"):
        trainings.training("lime")


def test_every_configuration_of_the_package_is_of_a_registered_training() -> None:
    from gened.models.training.schedule import read_config
    from gened.paths import TRAINING_CONFIGS

    paths = sorted(TRAINING_CONFIGS.glob("*.toml"))
    assert len(paths) >= 9
    for path in paths:
        assert read_config(path, trainings.training_for(path).config).steps > 0, path


def test_every_configuration_of_the_package_finds_its_weights_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gened.models.training.folder import WEIGHTS_FILE
    from gened.models.training.schedule import config_file, read_config, weights_folder
    from gened.paths import TRAINING_CONFIGS

    monkeypatch.chdir(tmp_path)
    for name in [path.stem for path in TRAINING_CONFIGS.glob("*.toml")]:
        path = config_file(Path(name))
        config = read_config(path, trainings.training_for(path).config)
        for folder in filter(None, (config.warm_start, getattr(config, "statistics", ""))):
            assert (weights_folder(folder) / WEIGHTS_FILE).is_file(), (name, folder)


def test_weights_go_by_their_name_or_by_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gened.models.training.schedule import weights_folder
    from gened.paths import WEIGHTS

    monkeypatch.chdir(tmp_path)
    (tmp_path / "gened").mkdir()  # as in a checkout of this repository
    assert weights_folder("gened") == WEIGHTS / "gened"
    assert weights_folder("models/weights/gened").resolve() == WEIGHTS / "gened"
    assert weights_folder("./gened") == Path("gened")
    assert weights_folder(str(tmp_path / "gened")) == tmp_path / "gened"
    assert weights_folder("mine") == Path("mine")


def test_the_overview_names_every_configuration_with_its_purpose() -> None:
    from gened.models.training.overview import overview
    from gened.paths import TRAINING_CONFIGS

    lines = overview().splitlines()
    names = sorted(path.stem for path in TRAINING_CONFIGS.glob("*.toml"))
    assert [line.split()[0] for line in lines] == ["NAME", *names]
    assert next(line for line in lines if line.startswith("paper ")).split()[1:3] == ["gened", "12000"]
    assert all(len(line.split()) > 5 for line in lines[1:])
