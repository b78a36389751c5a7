# SPDX-License-Identifier: GPL-3.0-or-later
"""A result names everything that decided it: source, packages, libraries inside packages, machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gened import provenance
from gened.provenance import commit, run_meta


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one source file, one result and one plot, in which the package seems to lie."""
    for name in ("models/codec.py", "results/codec/one.json", "docs/figures/one.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def test_results_that_a_script_writes_do_not_make_the_source_another(checkout: Path) -> None:
    (checkout / "results" / "codec" / "one.json").write_text("second")
    (checkout / "docs" / "figures" / "one.png").write_text("second")
    found = commit()
    assert found is not None and len(found) == 12 and not found.endswith("+")


def test_a_changed_source_is_marked(checkout: Path) -> None:
    (checkout / "models" / "codec.py").write_text("second")
    found = commit()
    assert found is not None and found.endswith("+")


def test_versions_of_what_computes_and_the_load_are_named() -> None:
    meta = run_meta(["gened", "evaluate"], seed=0)
    versions = meta["versions"]
    assert versions["libx265"] and versions["libx265"][0].isdigit()
    assert all(versions[name] for name in ("av", "numba", "numpy", "scipy", "scikit-image", "torch", "pytorch-msssim"))
    assert meta["machine"]["load"] >= 0


def test_a_machine_that_does_not_know_its_load_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.getloadavg")
    assert provenance.machine_load() is None
