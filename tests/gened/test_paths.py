# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the package, the environment of children, folders for results."""

from __future__ import annotations

import os
import subprocess
import sys
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
