# SPDX-License-Identifier: GPL-3.0-or-later
"""Provenance of a result: command line, commit, seed, versions of the packages that compute, machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gened
from gened.paths import ROOT, is_checkout

PACKAGES = (
    "numpy", "scipy", "numba", "zfec", "pillow", "av", "scikit-image", "pyzmq", "torch", "pytorch-msssim",
    "transformers", "diffusers",
)  # fmt: skip
"""Packages whose version may change a result; `av` brings its own x265."""
GIT_TIMEOUT_S = 5.0


def run_meta(argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """The `meta` of a result: command line, commit, seed, time, versions and machine; unknown entries are None.

    Args:
        argv: Command line.
        seed: Seed of everything that was drawn at random.
    """
    return {
        "command": shlex.join([_command_name(argv[0]), *argv[1:]]) if argv else "",
        "commit": commit(),
        "seed": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "gened": gened.__version__,
            "python": platform.python_version(),
            "gnuradio": _gnuradio_version(),
            **_versions(),
        },
        "machine": {"system": platform.platform(), "processor": _processor(), "n_cores": os.cpu_count()},
    }


def _command_name(program: str) -> str:
    """Name of the program; "gened" for `python -m gened`, too."""
    path = Path(program)
    return path.parent.name if path.name == "__main__.py" else path.name


def commit() -> str | None:
    """The commit of the source, followed by "+" where files differ from it; None outside a checkout."""
    if not is_checkout():
        return None
    try:
        found = _git(ROOT, "rev-parse", "--short=12", "HEAD")
        return found + ("+" if _git(ROOT, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _gnuradio_version() -> str | None:
    try:
        from gnuradio import gr
    except ImportError:
        return None
    return str(gr.version())


def _processor() -> str:
    """Name of the processor from Linux, or from Python where Linux has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
