# SPDX-License-Identifier: GPL-3.0-or-later
"""Companion's side: descriptions agree with the blocks, and every flowgraph is compiled; the loopback is run."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import wait_until

from gened import gr_blocks
from gened.doctor.companion import companion_command, companion_environment, run_companion
from gened.errors import LinkError
from gened.paths import BLOCK_DESCRIPTIONS

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTIONS = sorted((ROOT / "gr_blocks" / "grc").glob("*.block.yml"))
FLOWGRAPHS = sorted((ROOT / "flowgraphs").glob("*.grc"))
GRCC = shutil.which("grcc") or "grcc"


def environment() -> dict[str, str]:
    return companion_environment({**os.environ, "QT_QPA_PLATFORM": "offscreen"})


def compiled(flowgraph: Path, folder: Path) -> Path:
    command = [sys.executable, GRCC, "-o", str(folder), str(flowgraph)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"{flowgraph.stem}.py"


def test_every_block_has_its_description_and_the_other_way_round() -> None:
    assert {path.name for path in DESCRIPTIONS} == {f"gened_{name}.block.yml" for name in gr_blocks.BLOCKS}


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.stem)
def test_a_description_agrees_with_its_block(path: Path) -> None:
    description: dict[str, Any] = yaml.safe_load(path.read_text())
    name = description["id"].removeprefix("gened_")
    block = getattr(importlib.import_module(f"gened.gr_blocks.{name}"), name)
    templates = description["templates"]
    assert templates["imports"] == f"from gened.gr_blocks import {name}"
    call = ast.parse(re.sub(r"\$\{\w+\}", "0", templates["make"])).body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    keywords = {keyword.arg: 0 for keyword in call.value.keywords if keyword.arg}
    inspect.signature(block.__init__).bind(None, *(0 for _ in call.value.args), **keywords)
    for callback in templates.get("callbacks", []):
        assert callable(getattr(block, callback.partition("(")[0]))
    used = set(re.findall(r"\$\{(\w+)\}", templates["make"] + "".join(templates.get("callbacks", []))))
    assert used == {parameter["id"] for parameter in description.get("parameters", [])}
    assert len(description["documentation"]) > 100
    for parameter in description.get("parameters", []):  # each is told by the first words of its label
        assert parameter["label"].partition(" (")[0] in description["documentation"]


def test_there_are_six_flowgraphs() -> None:
    assert len(FLOWGRAPHS) == 6


@pytest.mark.parametrize("flowgraph", FLOWGRAPHS, ids=lambda path: path.stem)
def test_what_companion_writes_beside_a_flowgraph_overwrites_no_module_of_ours(flowgraph: Path) -> None:
    """That each of them compiles is checked by scripts/test.sh, with grcc."""
    name = yaml.safe_load(flowgraph.read_text())["options"]["parameters"]["id"]
    assert name == flowgraph.stem
    tracked = subprocess.run(["git", "ls-files", f"{name}.py"], cwd=flowgraph.parent, capture_output=True, text=True)
    assert tracked.stdout == ""


@pytest.mark.parametrize("name", ["gened_loopback", "gened_loopback_screen"])
def test_the_loopback_runs_unedited_from_any_folder_and_ends_with_its_worker(name: str, tmp_path: Path) -> None:
    script = compiled(ROOT / "flowgraphs" / f"{name}.grc", tmp_path)
    pictures = tmp_path / "pictures"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", str(script), "--folder", str(pictures), "--period-s", "0.5"],
            env=environment(), cwd="/", stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_until(lambda: process.poll() is not None or len(list(pictures.glob("received-*.png"))) >= 2)
            assert process.poll() is None, (tmp_path / "log").read_text()
            children = children_of(process.pid)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    text = (tmp_path / "log").read_text()
    assert len(list(pictures.glob("received-*.png"))) >= 2, text
    assert "crc_ok . #t" in text
    assert len(children) == 2
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_companion_gets_our_blocks_and_our_package_and_keeps_what_was_there() -> None:
    made = companion_environment({"GRC_BLOCKS_PATH": "/mine", "PYTHONPATH": "/theirs", "HOME": "/home/me"})
    assert made["GRC_BLOCKS_PATH"].split(os.pathsep) == [str(BLOCK_DESCRIPTIONS), "/mine"]
    assert made["PYTHONPATH"].split(os.pathsep)[1:] == ["/theirs"]
    assert (Path(made["PYTHONPATH"].split(os.pathsep)[0]) / "gened" / "__init__.py").is_file()
    assert made["HOME"] == "/home/me"
    assert companion_environment(made) == made
    assert list(BLOCK_DESCRIPTIONS.glob("gened_*.block.yml"))


def test_companion_runs_under_this_interpreter_so_that_its_flowgraphs_do() -> None:
    command = companion_command([FLOWGRAPHS[0]])
    assert command[0] == sys.executable
    assert command[-1] == str(FLOWGRAPHS[0])


def test_companion_tells_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkError, match="no such flowgraph"):
        companion_command([tmp_path / "none.grc"])
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LinkError, match="no screen"):
        run_companion()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LinkError, match="apt install gnuradio"):
        companion_command()
