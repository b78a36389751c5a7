# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train` as a shell sees it: configurations by name from any folder, and signals that lose nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from waiting import wait_for

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.models.training.state import STATE_FILE, read_state
from gened.paths import ROOT, child_environment


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three photographs of 300x280 pixels."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(3):
        small = np.random.default_rng(index).integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((300, 280), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


def test_the_configurations_are_listed_and_the_help_names_no_folder_of_this_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        assert main(["train", "--list"]) == 0
        listed = capsys.readouterr().out
        assert main(["train", "--help"]) == 0
        text = capsys.readouterr().out
        assert main(["train", "gened", "--config", "paper"]) == 2
        assert "two configurations, gened and paper" in capsys.readouterr().err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "gened-smoke" in listed and "rehearsal" in listed
    for place in (str(ROOT), str(ROOT.parent), str(Path.home())):
        assert place not in text.replace("\n", "") and place not in listed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_process_saves_the_state_and_ends_with_its_exit_code(
    number: signal.Signals, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gened", "train", "gened-smoke", "--data", "photographs", "--out", "out"]
    command += ["--threads", "1", "--steps", "100000"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_for(lambda: (out / STATE_FILE).exists() or process.poll() is not None, "no state", 300)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 128 + number, stderr
    step = read_state(out)["step"]
    assert f"{number.name} after step {step}: the state is saved in out, --resume continues" in stdout
    assert "Traceback" not in stderr
