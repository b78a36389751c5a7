# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without GNU Radio, for processes that a test starts: its modules are found, and their import fails."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MODULES = ("gnuradio", "pmt")


def hide_gnuradio(folder: Path) -> Mapping[str, str]:
    """Variables for the environment of processes in which `import gnuradio` raises ModuleNotFoundError.

    Args:
        folder: An empty folder.
    """
    for name in MODULES:
        text = f"raise ModuleNotFoundError(\"No module named '{name}'\", name={name!r})\n"
        (folder / f"{name}.py").write_text(text)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}
