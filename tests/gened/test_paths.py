# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the package, the environment of children, folders for results."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gened import paths
from gened.errors import ConfigError


def test_the_packages_folders_are_there() -> None:
    for folder in (paths.WEIGHTS, paths.TRAINING_CONFIGS, paths.FLOWGRAPHS, paths.BLOCK_DESCRIPTIONS):
        assert folder.is_dir()
    assert (paths.IMPORT_ROOT / "gened" / "__init__.py").is_file()


def test_a_child_imports_the_same_package() -> None:
    code = "import gened, os; print(os.path.realpath(gened.__path__[0]), os.environ['GENED_TEST'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=60,
        env=paths.child_environment({"GENED_TEST": "set"}),
    )  # fmt: skip
    assert done.stdout.split() == [os.path.realpath(paths.PACKAGE), "set"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    assert paths.make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(ConfigError, match="cannot make the folder"):
            paths.make_folder(wrong)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", is_full)
    with pytest.raises(ConfigError, match=r"cannot write into the folder .*: No space left on device"):
        paths.make_folder(tmp_path)


def homeless(home: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder after `use_a_home`, where the one of the user is `home`."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    paths.use_a_home()
    return Path(os.environ["HOME"])


def test_a_home_that_can_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert homeless(tmp_path, tmp_path, monkeypatch) == tmp_path


def test_without_a_home_there_is_a_private_one_that_the_next_process_finds_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = homeless(tmp_path / "absent", tmp_path, monkeypatch)
    assert first.parent == tmp_path and first.stat().st_mode & 0o777 == 0o700
    assert homeless(tmp_path / "absent", tmp_path, monkeypatch) == first


@pytest.mark.parametrize("kind", ["link", "open to others"])
def test_a_folder_that_others_could_have_prepared_is_not_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = tmp_path / f"gened-{os.getuid()}"
    if kind == "link":
        (tmp_path / "theirs").mkdir()
        prepared.symlink_to(tmp_path / "theirs")
    else:
        prepared.mkdir()
        prepared.chmod(0o777)
    home = homeless(tmp_path / "absent", tmp_path, monkeypatch)
    assert home != prepared and home.is_dir() and not home.is_symlink()


def test_models_of_a_home_that_cannot_be_written_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "home" / ".cache" / "huggingface"
    models.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for a user who may only read; root may always write
    homeless(tmp_path / "home", tmp_path, monkeypatch)
    assert os.environ["HF_HOME"] == str(models)


def test_a_receiver_works_without_a_home(tmp_path: Path) -> None:
    """GNU Radio makes its folder of settings in the home folder, and raises an error where it cannot."""
    pytest.importorskip("gnuradio", reason="receivers are GNU Radio flowgraphs")
    command = [
        sys.executable, "-m", "gened", "receive", "--address", "tcp://127.0.0.1:1", "--control", "tcp://127.0.0.1:2",
        "--timeout", "1", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path / "absent"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 8, done.stderr
    assert "no samples" in done.stderr and "Traceback" not in done.stderr
