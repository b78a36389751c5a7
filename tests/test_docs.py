# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages tell a user to type exists, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from gened.cli import app
from gened.commands.exit_codes import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "labs").rglob("*.md")])
COMMANDS = [
    (page, line.strip())
    for page in PAGES
    for line in page.read_text().splitlines()
    if line.startswith("gened ") or (line.strip().startswith("$ gened "))
]


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_command_on_a_page_exists_with_its_options(page: Path, line: str) -> None:
    words = shlex.split(line.removeprefix("$ ").split(" > ")[0], comments=True)
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):  # a group, such as `gened data`
        assert rest and rest[0] in command.commands, f"{page.name}: {line}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_on_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_all_exit_codes_are_told() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for code in EXIT_CODES:
        assert f"| {code.number} | {code.meaning} |" in page
