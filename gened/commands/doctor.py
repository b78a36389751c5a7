# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened doctor`: can an over-the-air experiment start on this machine, with this radio?"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.errors import ConfigError, NotReadyError

if TYPE_CHECKING:
    from gened.doctor.examine import Section

MARKS = {"ok": "[green]ok     [/]", "note": "[yellow]note   [/]", "problem": "[red]problem[/]"}
SUBJECT_LEN = 16
NEXT_INDENT = 2 + 8 + SUBJECT_LEN + 1
START = "An experiment can start; with --radio NAME this looks at a radio closely."


def doctor(
    context: typer.Context,
    radio: Annotated[
        str,
        typer.Option(
            "--radio",
            metavar="NAME_OR_FILE",
            help="Look at this radio closely too: does the profile fit, do the samples arrive?",
            show_default="which radios answer",
        ),
    ] = "",
    set_: radio_options.Set = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, max=20, help="How long the radio's rate is measured, s.")
    ] = 4.0,
    json_only: options.Json = False,
) -> None:
    """Look at software, machine and radios before an experiment; nothing is transmitted."""
    from rich.console import Console

    from gened.doctor.examine import Section, can_start, examine
    from gened.doctor.findings import Finding, Visit

    hardware, wrong = None, ""
    try:
        hardware = radio_options.chosen_radio(context, radio, set_, 0.0)
    except ConfigError as error:
        wrong = str(error)
    with Console(stderr=True).status("looks at software, machine and radios") as status:
        sections = examine(Visit(hardware, rate_s=seconds), lambda what: status.update(f"looks at {what}"))
    if wrong:
        step = 'docs/radios.md, "A profile", has all keys'
        sections.append(Section("The radio", [Finding(subject="profile", level="problem", text=wrong, next_step=step)]))
    is_ready = can_start(sections)
    if json_only:
        found = [{"title": section.title, **asdict(one)} for section in sections for one in section.findings]
        print(json.dumps({"machine": platform.platform(), "can_start": is_ready, "findings": found}, indent=1))
    else:
        show(sections)
    if not is_ready:
        n = sum(one.level == "problem" for section in sections for one in section.findings)
        raise NotReadyError(f"an experiment cannot start: {n} problem{'' if n == 1 else 's'}, see above")
    if not json_only:
        print(START if hardware is None else f"An experiment can start with {hardware.name}.")


def show(sections: Iterable[Section]) -> None:
    """A line a finding, and one below it for what to do next."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for section in sections:
        console.print(f"[bold]{escape(section.title)}[/]")
        for one in section.findings:
            subject, text = escape(f"{one.subject:{SUBJECT_LEN}}"), escape(one.text)
            console.print(f"  {MARKS[one.level]} [bold]{subject}[/] {text}", soft_wrap=True)
            if one.next_step:
                console.print(f"{'':{NEXT_INDENT}}-> {escape(one.next_step)}", soft_wrap=True)
        console.print()
