# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs, captioners and editors of other packages that fail: named, counted, bounded, and never silent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import failing_plugins
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")

from gened.commands.exit_codes import exit_code
from gened.errors import CodecError, EditorError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a process which knows the failing plug-ins."""
    failing_plugins.install(tmp_path / "plugins")
    path = os.pathsep.join(map(str, (ROOT, failing_plugins.FOLDER, tmp_path / "plugins")))
    return {**os.environ, "PYTHONPATH": path}


class Ended:
    """A loopback of small pictures that has ended."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str, n_frames: int) -> None:
        photo = folder / "photo.png"
        Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(photo)
        out = folder / "out"
        command = [
            sys.executable, "-m", "gened", "loopback", str(photo), "--out", str(out), "--frames", str(n_frames),
            "--speed", "0", "--timeout", "90", *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=270)
        self.status = done.returncode
        self.lines = done.stderr.strip().splitlines()
        report = out / "report.json"
        self.report: dict[str, Any] = json.loads(report.read_text()) if report.is_file() else {}

    def naming(self, cause: str) -> list[str]:
        """Lines on stderr that name a cause."""
        return [line for line in self.lines if f"x {cause}: " in line]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "FaultError: the plug-in's own fault"),
        ("dies", f"exit code {failing_plugins.EXIT_CODE}"),
        ("channels last", "picture"),
    ],
)
def test_a_decoder_that_fails_is_named_once_and_ends_the_loopback(
    fault: str, reason: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    ended = Ended(
        tmp_path, environment, "--codec", "failing", "--codec-option", f"fault={fault}", "--caption", "x", n_frames=40
    )
    (line,) = ended.naming("decoder fails")
    assert reason in line
    assert ended.status == exit_code(CodecError())
    assert ended.lines[-1].startswith("gened: no picture came of ") and reason in ended.lines[-1]
    n_failed = ended.report["meta"]["causes"]["decoder fails"]
    assert 3 <= n_failed < 40  # the other frames are not sent
    assert all(frame["received"] is None for frame in ended.report["frames"])


def test_an_editor_that_dies_is_named_once_and_costs_no_frame(tmp_path: Path, environment: dict[str, str]) -> None:
    ended = Ended(
        tmp_path, environment, "--codec", "softcast", "--editor", "failing", "--editor-option", "fault=dies",
        "--caption", "x", n_frames=3,
    )  # fmt: skip
    assert ended.status == 0
    (line,) = ended.naming("editor fails")
    assert f"the editor's process died (exit code {failing_plugins.EXIT_CODE})" in line
    assert ended.report["meta"]["causes"] == {"editor fails": 3}
    assert [(frame["edited"], bool(frame["received"])) for frame in ended.report["frames"]] == [(False, True)] * 3


def test_a_captioner_that_fails_is_named_once_and_costs_no_frame(tmp_path: Path, environment: dict[str, str]) -> None:
    ended = Ended(
        tmp_path, environment, "--codec", "softcast", "--captioner", "failing", "--captioner-option", "fault=raises",
        n_frames=2,
    )  # fmt: skip
    assert ended.status == 0
    (line,) = ended.naming("captioner fails")
    assert line.startswith("transmitter: ") and "FaultError: the plug-in's own fault" in line
    assert ended.report["meta"]["causes"] == {"captioner fails": 1}
    assert all(frame["received"] and frame["crc_ok"] is None for frame in ended.report["frames"])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("--codec", "failing", "--codec-option", "x=1"), CodecError(), "codec failing has no option 'x'"),
        (
            ("--codec", "softcast", "--editor", "failing", "--editor-option", "x=1"),
            EditorError(),
            "editor failing has no option 'x'",
        ),
    ],
    ids=["codec", "editor"],
)
def test_a_wrong_option_ends_the_command_at_its_start(
    arguments: tuple[str, ...], error: Exception, text: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    ended = Ended(tmp_path, environment, *arguments, "--caption", "x", n_frames=40)
    assert ended.status == exit_code(error)
    assert len(ended.lines) == 1 and text in ended.lines[0]
    assert not ended.report
