# SPDX-License-Identifier: GPL-3.0-or-later
"""A skip whose reason is not on the list of `tests/support/skips.py` fails a run of the continuous integration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parent / "support"
EXPECTED = "LoRA weights need it: pip install peft"


def run(folder: Path, source: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest on one file, with the check and without this repository's configuration."""
    (folder / "test_it.py").write_text(f"import pytest\n{source}")
    (folder / "pytest.ini").write_text("[pytest]\n")
    kept = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "skips", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(SUPPORT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
    )


SKIPPED_TEST = 'def test_a():\n    pytest.skip("no radio")\n'
SKIPPED_FILE = 'pytest.importorskip("no_such_package", reason="no radio")\n'


@pytest.mark.parametrize("source", [SKIPPED_TEST, SKIPPED_FILE], ids=["test", "file"])
@pytest.mark.parametrize("options", [(), ("-p", "xdist", "--numprocesses", "1")], ids=["one process", "xdist"])
def test_an_unexpected_skip_fails_and_is_named(tmp_path: Path, source: str, options: tuple[str, ...]) -> None:
    done = run(tmp_path, source, *options, CI="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "unexpected skips" in done.stdout and "test_it.py" in done.stdout and ": no radio\n" in done.stdout


def test_the_variable_of_ours_asks_for_it_too(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED_TEST, GENED_NO_SKIPS="1").returncode == pytest.ExitCode.TESTS_FAILED


def test_on_a_persons_machine_a_skip_passes(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED_TEST).returncode == 0


def test_an_expected_skip_and_an_expected_failure_pass(tmp_path: Path) -> None:
    source = f'def test_a():\n    pytest.skip("{EXPECTED}")\n@pytest.mark.xfail\ndef test_b():\n    assert False\n'
    done = run(tmp_path, source, CI="true")
    assert done.returncode == 0 and "unexpected" not in done.stdout, done.stdout
