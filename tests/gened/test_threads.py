# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads: idle ones sleep in every process, before PyTorch loads its OpenMP; their number can be limited."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gened.models.serving.worker import Worker
from gened.paths import IMPORT_ROOT
from gened.threads import LIMITS, PASSIVE

SUPPORT = Path(__file__).parents[1] / "support"


def shown_by_openmp(code: str, **variables: str) -> dict[str, str]:
    """The settings that the OpenMP of PyTorch prints when a fresh interpreter with these variables loads it."""
    pytest.importorskip("torch", reason="PyTorch is an extra")
    environment = {name: value for name, value in os.environ.items() if name not in (*PASSIVE, *LIMITS)}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": f"{IMPORT_ROOT}", **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=240, check=True
    )
    lines = [line.split("]")[-1].strip() for line in done.stderr.splitlines() if " = '" in line]
    return {name: value.strip("'") for name, _, value in (line.partition(" = ") for line in lines)}


COMMAND = "from gened.cli import main; main(['--version']); import torch; print(torch.get_num_threads())"


def test_idle_threads_sleep_in_a_command() -> None:
    """libgomp polls GOMP_SPINCOUNT times before a thread sleeps."""
    shown = shown_by_openmp(COMMAND)
    assert shown["OMP_WAIT_POLICY"] == "PASSIVE"
    if "GOMP_SPINCOUNT" in shown:
        assert int(shown_by_openmp("import torch")["GOMP_SPINCOUNT"]) > 0
        assert int(shown["GOMP_SPINCOUNT"]) == 0


def test_the_choice_of_the_user_stays() -> None:
    assert shown_by_openmp(COMMAND, OMP_WAIT_POLICY="ACTIVE")["OMP_WAIT_POLICY"] == "ACTIVE"


def test_idle_threads_sleep_in_a_worker_whoever_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    for name in PASSIVE:
        monkeypatch.delenv(name, raising=False)
    with Worker("thumbnail_service:ThumbnailService", n_threads=3) as worker:
        assert worker.call("environment", name="OMP_WAIT_POLICY") == "PASSIVE"
        assert worker.call("environment", name="OMP_NUM_THREADS") == "3"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    with Worker("thumbnail_service:ThumbnailService") as worker:
        assert worker.call("environment", name="OMP_WAIT_POLICY") == "ACTIVE"


def test_a_limit_holds_for_openmp_and_for_pytorch() -> None:
    code = (
        "from gened.threads import limit_threads; limit_threads(1); import torch; assert torch.get_num_threads() == 1"
    )
    assert shown_by_openmp(code)["OMP_NUM_THREADS"] == "1"
    shown_by_openmp(
        "import torch; from gened.threads import limit_threads; limit_threads(3); assert torch.get_num_threads() == 3"
    )


def test_evaluate_limits_its_threads(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 90, 30)).save(tmp_path / "a.png")
    arguments = ["evaluate", "--data", str(tmp_path), "--codec", "softcast", "--snr", "10", "--metrics", "psnr", "-q"]
    code = f"from gened.cli import main; assert main({[*arguments, '--threads', '1']}) == 0"
    assert shown_by_openmp(f"{code}; import torch; assert torch.get_num_threads() == 1")["OMP_NUM_THREADS"] == "1"
