# SPDX-License-Identifier: GPL-3.0-or-later
"""A training never overwrites another unasked, and a folder that cannot be used is refused before the preparation."""

from __future__ import annotations

import resource
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest
from small_training import SumRun, SumTraining

from gened.errors import ConfigError
from gened.models.training import folder, trainings
from gened.models.training.run import RunOptions, Training
from gened.models.training.state import STATE_FILE, read_state


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """Registers the small training; returns the options of the runs that are prepared."""
    made: list[RunOptions] = []

    def make(config: SumTraining, options: RunOptions) -> SumRun:
        made.append(options)
        return SumRun(config, options)

    module = ModuleType("training_of_a_sum")
    module.TRAINING = Training(SumTraining, make)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(trainings.TRAININGS, "sum", module.__name__)
    return made


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A folder of data that are no pictures."""
    path = tmp_path / "numbers"
    path.mkdir()
    (path / "a.txt").write_text("1 2 3\n")
    return path


def test_a_folder_with_a_training_is_refused_unless_told_what_to_do(
    prepared: list[RunOptions], numbers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    trainings.train(SumTraining(steps=4), data=numbers, out=out, threads=1)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="a training of sum, 4 of 4 steps done; continue it with --resume, replace"):
        trainings.train(SumTraining(steps=4), data=numbers, out=out, threads=1)
    with pytest.raises(ConfigError, match="give one of them"):
        trainings.train(SumTraining(), data=numbers, out=out, resume=True, overwrite=True)
    assert len(prepared) == 1
    trainings.train(SumTraining(steps=2, scale=3.0), data=numbers, out=out, threads=1, overwrite=True)
    assert read_state(out)["step"] == 2
    assert (out / "log.jsonl").read_text().count("\n") == 1
    assert (out / "notes.txt").exists()


def test_weights_without_a_state_are_not_overwritten(prepared: list[RunOptions], numbers: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ConfigError, match="holds weights without a state"):
        trainings.train(SumTraining(), data=numbers, out=tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"")
    with pytest.raises(ConfigError, match="a training whose state cannot be read"):
        trainings.train(SumTraining(), data=numbers, out=tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights" and not prepared


def test_resuming_compares_configuration_and_data_before_the_preparation(
    prepared: list[RunOptions], numbers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    trainings.train(SumTraining(steps=2), data=numbers, out=out, threads=1)
    with pytest.raises(ConfigError, match=r"scale is 1\.0 there and 2\.0 here"):
        trainings.train(SumTraining(scale=2.0), data=numbers, out=out, resume=True)
    moved = numbers.rename(tmp_path / "moved")
    trainings.train(SumTraining(steps=3), data=moved, out=out, resume=True, threads=1)
    assert read_state(out)["step"] == 3
    (moved / "a.txt").write_text("1 2 4\n")
    with pytest.raises(ConfigError, match="the data are others"):
        trainings.train(SumTraining(steps=4), data=moved, out=out, resume=True)
    assert len(prepared) == 2


@pytest.mark.parametrize("device", ["cuda:77", "tpux", "meta"])
def test_a_device_that_is_absent_is_one_line_before_the_preparation(
    device: str, prepared: list[RunOptions], numbers: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"device '{device}'") as caught:
        trainings.train(SumTraining(), data=numbers, out=tmp_path / "out", device=device)
    assert "\n" not in str(caught.value)
    assert not prepared and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_or_written_to_is_one_line_before_the_preparation(
    prepared: list[RunOptions], numbers: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot make the folder .*a.txt/out"):
        trainings.train(SumTraining(), data=numbers, out=numbers / "a.txt" / "out")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a disk with 1000 bytes left
    try:
        with pytest.raises(ConfigError, match="cannot write into the folder .*/out: File too large"):
            trainings.train(SumTraining(), data=numbers, out=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not prepared and list((tmp_path / "out").iterdir()) == []


def test_a_disk_without_room_for_the_states_is_known_before_the_first_step(
    prepared: list[RunOptions], numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    monkeypatch.setattr(SumRun, "before_loss", lambda run: pytest.fail("a step was computed"))
    with pytest.raises(ConfigError, match=r"has 0 MB free, and the states of this training need"):
        trainings.train(SumTraining(), data=numbers, out=tmp_path / "out", threads=1)
    assert read_state(tmp_path / "out")["step"] == 0


def test_the_output_does_not_lie_within_the_pictures(prepared: list[RunOptions], tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="lies within the pictures"):
        trainings.train(SumTraining(), data=tmp_path, out=tmp_path / "runs" / "one")
    assert not prepared


def test_what_a_training_writes_is_what_is_removed(tmp_path: Path) -> None:
    for name in (*folder.WRITTEN, "events.out.tfevents.1.host", "mine.png"):
        (tmp_path / name).write_text("x")
    folder.remove_training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
