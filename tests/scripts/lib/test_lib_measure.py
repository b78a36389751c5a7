# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that measure published figures refuse a source that is not a commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def require_clean(tmp_path: Path, commit: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the function with a program in Python's place that prints a commit."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{commit}'\n")
    python.chmod(0o755)
    lines = ("source scripts/lib/setup.sh", "source scripts/lib/measure.sh", f"PYTHON={python}", "require_clean")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "; ".join(lines)], cwd=ROOT, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


def test_changed_files_are_refused_in_one_line(tmp_path: Path) -> None:
    done = require_clean(tmp_path, "0123456789ab+")
    assert done.returncode == 1 and "GENED_DIRTY=1" in done.stderr and "0123456789ab " in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("commit", ["0123456789ab", ""])
def test_a_commit_passes_and_so_does_an_archive(tmp_path: Path, commit: str) -> None:
    assert require_clean(tmp_path, commit).returncode == 0


def test_a_trial_passes(tmp_path: Path) -> None:
    assert require_clean(tmp_path, "0123456789ab+", GENED_DIRTY="1").returncode == 0


@pytest.mark.parametrize("script", sorted((ROOT / "scripts" / "results").glob("*.sh")), ids=lambda path: path.name)
def test_every_script_of_results_asks(script: Path) -> None:
    text = script.read_text()
    assert "lib/measure.sh" in text and "\n  require_clean\n" in text
