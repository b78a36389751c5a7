# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests lie where the modules lie that they test: `gened/link/air.py` has `tests/gened/link/test_air.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
FOLDERS = ("flowgraphs", "gened", "gr_blocks", "hw_config", "models", "scripts")
OWN = {"support", "labs"}
"""Folders of the tests without a counterpart: what several tests share, and labs, whose folders are no package."""


def found_tests() -> list[Path]:
    return sorted(path for path in TESTS.rglob("*.py") if path.name.startswith(("test_", "qa_")))


def is_at_home(test: Path) -> bool:
    """Whether a test lies in the folder of a module of its name, or is named after that folder.

    `test_air.py` and `test_air_restart.py` belong to `air.py`, or to a folder `air`. A test of a folder as a whole is
    named after it: `link/test_link_hostile.py`.
    """
    folder = test.parent.relative_to(TESTS)
    name = test.stem.partition("_")[2]
    homes = {path.stem for path in (ROOT / folder).glob("*.py")} | {
        path.name for path in (ROOT / folder).iterdir() if path.is_dir() and not path.is_symlink()
    }
    return any(name == home or name.startswith(home + "_") for home in {*homes, folder.name})


@pytest.mark.parametrize("test", found_tests(), ids=lambda test: str(test.relative_to(TESTS)))
def test_a_test_lies_where_its_module_lies(test: Path) -> None:
    folder = test.parent.relative_to(TESTS)
    if not folder.parts or folder.parts[0] in OWN:
        return
    assert folder.parts[0] in FOLDERS and (ROOT / folder).is_dir(), f"there is no folder {folder}"
    assert is_at_home(test), f"{folder} has no module that {test.name} could be named after"


def test_a_test_of_another_folder_is_found_out() -> None:
    assert is_at_home(TESTS / "gened" / "link" / "test_air.py")
    assert not is_at_home(TESTS / "gened" / "link" / "test_detector.py")
