# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened companion`: GNU Radio Companion with this environment and our blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def companion(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", help="Flowgraphs to open.", show_default="the loopback with its screens"),
    ] = None,
) -> None:
    """Open GNU Radio Companion with the gened blocks, from any folder."""
    from gened.doctor.companion import run_companion

    status = run_companion(files or [])
    if status:
        raise typer.Exit(status)
