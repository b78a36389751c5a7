# SPDX-License-Identifier: GPL-3.0-or-later
"""The first lab as a class meets it: the notebook with solutions runs through, the one with gaps stops at the first."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gnuradio", reason="the lab receives its recording and runs the loopback")

from gened.gr_blocks.recording.reader import read_recording

LABS = Path(__file__).resolve().parents[2] / "labs"
LAB = LABS / "01-first-picture"
RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbformat.validate(notebook)
try:
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
finally:
    nbformat.write(notebook, sys.argv[1])
"""


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def run(notebook: str, folder: Path) -> tuple[int, list[Any]]:
    """Exit status, and what its cells gave out, in a kernel of its own."""
    shutil.copytree(LAB, folder)
    done = subprocess.run(
        [sys.executable, "-c", RUN, notebook],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        capture_output=True,
        timeout=280,
    )
    cells = json.loads((folder / notebook).read_text())["cells"]
    return done.returncode, [output for cell in cells for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_the_solutions_solve_every_task(tmp_path: Path) -> None:
    status, outputs = run("solutions.ipynb", tmp_path / "lab")
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    errors = [output["evalue"] for output in outputs if output["output_type"] == "error"]
    assert (status, errors) == (0, [])
    assert [f"☑ Task {number}" in printed for number in range(1, 10)] == [True] * 9
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5


def test_the_handout_stops_at_its_first_gap_and_says_so_in_one_line(tmp_path: Path) -> None:
    status, outputs = run("lab.ipynb", tmp_path / "lab")
    (error,) = [output for output in outputs if output["output_type"] == "error"]
    assert status != 0
    assert error["traceback"] == [f"☐ {error['evalue']}"]
    assert error["evalue"].startswith("Task 1 is not solved yet")


def test_the_handout_is_made_from_the_solutions_and_holds_none() -> None:
    make_handout = module(LABS / "make_handout.py")
    solutions = json.loads((LAB / "solutions.ipynb").read_text())
    handed_out = (LAB / "lab.ipynb").read_text()
    assert handed_out == make_handout.text_of(make_handout.handout(solutions))
    assert "SOLUTION" not in handed_out
    assert handed_out.count("# YOUR CODE") == 9


@pytest.mark.parametrize("name", ["lab.ipynb", "solutions.ipynb"])
def test_no_outputs_are_kept(name: str) -> None:
    code = [cell for cell in json.loads((LAB / name).read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 20
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_wrong_answers_are_refused_with_a_hint() -> None:
    checks = module(LAB / "checks.py")
    wrong: list[tuple[Any, Any, str]] = [
        (checks.power, lambda y, n: np.abs(np.convolve(y, np.full(n, 1 / n), "valid")), "Square the magnitude first"),
        (checks.power, lambda y, n: None, "not solved yet"),
        (checks.metric, lambda y: np.abs(y[511:]), "conjugated"),
        (checks.starts, [6000, 27760], "shape"),
        (checks.starts, [6000, 27760, 40000], "peak"),
        (checks.offset, lambda y: -1250.0, "sign"),
        (checks.correction, lambda y, f: y, "stand still"),
        (checks.equalizer, lambda cells, h: cells * h, "gain"),
        (checks.psnr, lambda x, x_hat: 10 * np.log10(255**2 / np.mean((x - x_hat) ** 2)), "uint8"),
    ]
    for check, answer, hint in wrong:
        with pytest.raises(checks.UnsolvedError, match=hint):
            check(answer)


def test_the_recording_is_small_and_says_what_it_is() -> None:
    recording = read_recording(LAB / "cup.sigmf-meta")
    assert len(recording.annotations) == 3
    assert "CC0" in recording.info.description
    assert sum(path.stat().st_size for path in LAB.glob("cup.*")) < 1.5 * 2**20
