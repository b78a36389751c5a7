# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened check`: does everything that this machine needs for the link work?"""

from __future__ import annotations

import json
import platform
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import GenedError


def check(
    json_only: options.Json = False,
    snr: Annotated[float, typer.Option("--snr", help="Es/N0 of the trial burst, dB.")] = 4.0,
) -> None:
    """Look whether all parts are there and work, and say how to get what is missing."""
    from rich.console import Console
    from rich.markup import escape

    from gened.doctor.self_check import Item, run_checks

    items = run_checks(snr)
    if json_only:
        print(json.dumps({"machine": platform.platform(), "items": [item._asdict() for item in items]}, indent=1))
    else:
        console = Console()
        for item in items:
            mark = "[green]ok[/]     " if item.is_ok else "[red]missing[/]" if item.is_needed else "[yellow]without[/]"
            console.print(f"{mark} [bold]{escape(item.name)}[/]  {escape(item.text)}", soft_wrap=True)
    missing: list[Item] = [item for item in items if item.is_needed and not item.is_ok]
    if missing:
        raise GenedError(
            f"{', '.join(item.name for item in missing)}: see above; scripts/demo.sh installs what is missing"
        )
