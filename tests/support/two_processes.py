# SPDX-License-Identifier: GPL-3.0-or-later
"""A training under `torchrun`, in two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gened.paths import child_environment


def train_in_two(config: Path, data: Path, out: Path) -> str:
    """What both processes print together; fails with their errors where one of them fails."""
    command: list[str | Path] = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "gened.models.training", "--config", config, "--data", data, "--out", out, "--threads", "1"]
    result = subprocess.run(
        list(map(str, command)), env=child_environment({"OMP_NUM_THREADS": "1"}), capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout
