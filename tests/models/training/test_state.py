# SPDX-License-Identifier: GPL-3.0-or-later
"""The last two states are kept; a damaged one is recognised, and one of another training is refused by name."""

from __future__ import annotations

import os
import pickle
import resource
import stat
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from small_training import SumTraining, make_run

from gened.models.training.state import (
    PREVIOUS_FILE,
    STATE_FILE,
    StateError,
    read_state,
    require_same_training,
    write_state,
)


def two_states(out: Path) -> None:
    """States of steps 1 and 2 in a folder."""
    run = make_run(out)
    for step in range(2):
        run.trainer.apply(run.loss(run.step_data(step)))
        run.trainer.save(out)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n" + bytes(200))


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "no state")


def other_tensors(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def one_bit(path: Path) -> None:
    """Flip a bit of a weight, which PyTorch itself reads without a complaint."""
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda entry: entry.file_size if "/data/" in entry.filename else 0)
        content = archive.read(entry)
    whole = bytearray(path.read_bytes())
    whole[whole.index(content) + 1] ^= 1
    path.write_bytes(bytes(whole))
    torch.load(path, weights_only=True)


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.path),)


def with_code(path: Path) -> None:
    torch.save({"step": 3, "schedule": {}, "model": Touch(path.parent / "ran")}, path)


DAMAGE = [cut, empty, foreign, other_archive, other_tensors, one_bit, with_code]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_the_state_before_a_damaged_one_is_used_and_the_damage_is_reported(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    two_states(tmp_path)
    damage(tmp_path / STATE_FILE)
    said: list[str] = []
    assert read_state(tmp_path, said.append)["step"] == 1
    assert len(said) == 1 and "\n" not in said[0]
    assert said[0].startswith(str(tmp_path / STATE_FILE)) and said[0].endswith(f"{PREVIOUS_FILE}, step 1")
    assert not (tmp_path / "ran").exists()
    run = make_run(tmp_path)
    run.trainer.restore(tmp_path)
    assert run.trainer.step == 1


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_two_damaged_states_are_one_line(damage: Callable[[Path], None], tmp_path: Path) -> None:
    two_states(tmp_path)
    for name in (STATE_FILE, PREVIOUS_FILE):
        damage(tmp_path / name)
    with pytest.raises(StateError, match=f"{STATE_FILE}.*{PREVIOUS_FILE}.*--overwrite$") as caught:
        read_state(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_whole_state_is_read_without_a_word(tmp_path: Path) -> None:
    two_states(tmp_path)
    said: list[str] = []
    assert read_state(tmp_path, said.append)["step"] == 2 and said == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS_FILE, STATE_FILE]


def test_a_crash_between_the_two_renames_loses_no_state(tmp_path: Path) -> None:
    two_states(tmp_path)
    (tmp_path / STATE_FILE).unlink()
    assert read_state(tmp_path)["step"] == 1


def test_a_full_disk_keeps_both_states(tmp_path: Path) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    two_states(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            StateError, match=r"cannot write .*: File too large; the last saved state is kept"
        ) as caught:
            write_state(tmp_path, {"step": 3, "schedule": {}, "model": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_states_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        two_states(tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def state_of(config: SumTraining) -> dict[str, object]:
    """The parts of a state that are compared, as they come from a file."""
    copy: dict[str, object] = pickle.loads(pickle.dumps({"schedule": asdict(config), "data": {"data": "1a"}}))
    return copy


def test_a_state_of_another_configuration_is_refused_and_the_keys_are_named() -> None:
    state = state_of(SumTraining())
    with pytest.raises(
        StateError, match=r"out holds another training: learning_rate is 0\.05 there and 0\.1 here, scale"
    ):
        require_same_training(Path("out"), state, asdict(SumTraining(learning_rate=0.1, scale=2.0)), {"data": "1a"})
    with pytest.raises(StateError, match="a training of sum, and this is one of gened"):
        require_same_training(Path("out"), state, {**asdict(SumTraining()), "codec": "gened"}, {"data": "1a"})
    with pytest.raises(StateError, match="the data are others; resume with the same configuration and data"):
        require_same_training(Path("out"), state, asdict(SumTraining()), {"data": "2b"})


def test_length_and_saving_times_may_change_on_the_way() -> None:
    changed = SumTraining(steps=20, save_every_s=5.0, validate_every_s=7.0)
    require_same_training(Path("out"), state_of(SumTraining()), asdict(changed), {"data": "1a"})


def test_a_state_of_an_earlier_version_is_compared_in_what_it_holds() -> None:
    theirs = {"codec": "gened", "steps": 4900, "warm_start": "models/weights/gened"}
    ours = {"codec": "gened", "steps": 4900, "warm_start": "gened", "validate_every_s": 300.0}
    require_same_training(Path("out"), {"schedule": theirs}, ours, {"data": "1a"})
    with pytest.raises(StateError, match="warm_start is 'models/weights/gened' there and 'mine' here"):
        require_same_training(Path("out"), {"schedule": theirs}, {**ours, "warm_start": "mine"}, {})
