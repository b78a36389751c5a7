# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves the repository: one version, a complete source distribution, a wheel that holds the package once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import gened

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("gened", "flowgraphs", "gr_blocks", "hw_config", "models")
"""What the package consists of; all but the first are links inside it."""
GENERATED = shutil.ignore_patterns(
    ".git", ".venv", ".staging", ".*_cache", "build", "dist", "out", "runs", "site", "__pycache__", "*.egg-info"
)


def test_the_version_is_the_same_in_all_places() -> None:
    cmake = re.search(r"project\(gr-gened VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    assert cmake is not None and cmake.group(1) == gened.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == gened.__version__


def test_the_changelog_begins_with_what_comes_and_knows_the_version_if_it_was_released() -> None:
    headings = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [gened.__version__])


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from its files."""
    folder = tmp_path_factory.mktemp("distributions")
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=GENERATED)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(folder / "checkout")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def package_files(root: Path) -> set[str]:
    """Files of the package as they are called in a wheel."""
    found = set()
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                name = path.relative_to(root).as_posix()
                found.add(name if folder == "gened" else f"gened/{name}")
    return found


@pytest.mark.slow
def test_the_source_distribution_holds_all_and_keeps_the_links(distributions: Path) -> None:
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
    checkout = distributions / "checkout"
    for folder in (*FOLDERS, "docs", "labs", "scripts", "tests"):
        expected = {path.relative_to(checkout).as_posix() for path in (checkout / folder).rglob("*")}
        assert expected <= set(members), f"{folder}: {sorted(expected - set(members))[:5]} are missing"
    for name in ("CMakeLists.txt", "pyproject.toml", "constraints.txt", "mkdocs.yml", "LICENSE", "CITATION.cff"):
        assert name in members
    for folder in FOLDERS[1:]:
        assert members[f"gened/{folder}"].issym() and members[f"gened/{folder}"].linkname == f"../{folder}"
        assert not any(name.startswith(f"gened/{folder}/") for name in members)


@pytest.mark.slow
def test_the_wheel_holds_each_file_of_the_package_once_and_nothing_else(distributions: Path) -> None:
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert set(names) == package_files(distributions / "checkout")
    assert "gened/py.typed" in names
