# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout in which Git made no symbolic links says in one line what to do, and doing it helps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of the package without symbolic links; `models` holds one module."""
    if shutil.which("git") is None:
        pytest.skip("a checkout is made by git")
    origin = tmp_path / "origin"
    (origin / "models").mkdir(parents=True)
    (origin / "models" / "__init__.py").write_text("HERE = True\n")
    (origin / "gened").mkdir()
    shutil.copy(ROOT / "gened" / "__init__.py", origin / "gened")
    shutil.copy(ROOT / "gened" / "__main__.py", origin / "gened")
    (origin / "gened" / "models").symlink_to("../models")
    git(origin, "init", "--quiet")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message", "all")
    git(tmp_path, "clone", "--quiet", "--config", "core.symlinks=false", "origin", "clone")
    assert (tmp_path / "clone" / "gened" / "models").is_file()
    return tmp_path / "clone"


def test_the_command_ends_with_one_line(checkout: Path) -> None:
    done = python(checkout, "-m", "gened", "--help")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("gened: this checkout has no symbolic links") and done.stderr.count("\n") == 1


def test_an_import_fails_and_the_remedy_helps(checkout: Path) -> None:
    done = python(checkout, "-c", "import gened.models")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    remedy = re.search(r"run `(.+)` in it", last)
    assert last.startswith("ImportError: this checkout has no symbolic links") and remedy is not None
    subprocess.run(remedy.group(1), shell=True, cwd=checkout, check=True, capture_output=True)
    done = python(checkout, "-c", "import gened.models; print(gened.models.HERE)")
    assert done.stdout == "True\n", done.stderr
