# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio Companion with this environment: its Python sees `gened`, its block tree shows our blocks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from gened.errors import LinkError
from gened.paths import BLOCK_DESCRIPTIONS, FLOWGRAPHS, IMPORT_ROOT

PROGRAM = "gnuradio-companion"


def companion_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with what Companion, and the flowgraphs that it starts, need to find us; what was there is kept."""

    def joined(name: str, first: Path) -> str:
        others = [entry for entry in environment.get(name, "").split(os.pathsep) if entry and entry != str(first)]
        return os.pathsep.join([str(first), *others])

    return {
        **environment,
        "GRC_BLOCKS_PATH": joined("GRC_BLOCKS_PATH", BLOCK_DESCRIPTIONS),
        "PYTHONPATH": joined("PYTHONPATH", IMPORT_ROOT),
    }


def companion_command(files: Sequence[Path | str] = ()) -> list[str]:
    """The command that opens Companion with these flowgraphs.

    Its script runs under our interpreter and not under the one it names itself: Companion starts flowgraphs with its
    own.

    Raises:
        LinkError: Companion or Gtk is not there, or a file is missing.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise LinkError(f"{PROGRAM} is not installed: apt install gnuradio")
    for module, package in (("gnuradio", "gnuradio"), ("gi", "gir1.2-gtk-3.0")):
        if find_spec(module) is None:
            raise LinkError(f"{sys.executable} has no '{module}'; install it: apt install {package}")
    missing = [str(file) for file in files if not Path(file).is_file()]
    if missing:
        raise LinkError(f"no such flowgraph: {', '.join(missing)}")
    return [sys.executable, program, *(str(Path(file).resolve()) for file in files)]


def run_companion(files: Sequence[Path | str] = ()) -> int:
    """Opens Companion and waits until it is closed; without files the loopback flowgraph is shown.

    Returns:
        Its exit status.

    Raises:
        LinkError: As `companion_command`; or there is no screen.
    """
    chosen = list(files) or [FLOWGRAPHS / "gened_loopback_screen.grc"]
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise LinkError("there is no screen here (DISPLAY is not set); over ssh use ssh -X, without one xvfb-run")
    return subprocess.call(companion_command(chosen), env=companion_environment(os.environ))
