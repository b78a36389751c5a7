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

PACKAGES = ("numpy", "scipy", "numba", "pillow", "pyzmq", "torch")
GIT_TIMEOUT_S = 5.0


def run_meta(argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """How a result came about: command line, commit, seed, versions, machine."""
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
    """`gened` too where it was started as `python -m gened`."""
    path = Path(program)
    return path.parent.name if path.name == "__main__.py" else path.name


def commit() -> str | None:
    """The commit of the source, with "+" behind it when files differ from it; None outside a checkout."""
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
    """The processor as Linux names it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
