# SPDX-License-Identifier: GPL-3.0-or-later
"""A short run of `scripts/soak.sh`: all that air let through arrives, and a receiver that is restarted costs a gap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")

SOAK = Path(__file__).resolve().parents[3] / "scripts" / "lib" / "soak.py"


@pytest.mark.slow
def test_a_short_soak_delivers_every_frame_that_was_not_dropped_and_ends_in_order(tmp_path: Path) -> None:
    options = ["--frames", "80", "--drop", "0.1", "--restart-frames", "40", "--out", str(tmp_path / "soak.json")]
    done = subprocess.run([sys.executable, str(SOAK), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "soak.json").read_text())
    loopback, restart = found["loopback"], found["restart"]
    assert loopback["dropped_frames"] > 2 and loopback["received"] == 80 - loopback["dropped_frames"]
    assert loopback["lost_otherwise"] == loopback["processes_left"] == loopback["exit_code"] == 0
    assert {"loopback", "air", "receive", "transmit", "receive worker", "transmit worker"} == set(
        loopback["memory_mib"]
    )
    assert restart["first_received"] >= 20 and restart["second_received"] >= 20 and restart["lost"] > 0
    assert restart["lost_otherwise"] == 0
    assert found["meta"]["command"].startswith("scripts/soak.sh --frames 80")
