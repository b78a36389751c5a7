# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages agree with the program: commands, options, modules, files, links and anchors that they name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from gened.cli import app
from gened.commands.exit_codes import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "labs").rglob("*.md")])
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
MAX_COLUMNS = 120
WRAPPED = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FOLDERS = (
    "docs",
    "examples",
    "flowgraphs",
    "gened",
    "gr_blocks",
    "hw_config",
    "labs",
    "models",
    "results",
    "scripts",
    "tests",
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*<>-]*")
OWN_FILE = re.compile(r"[a-z_]\w*\.(?:py|sh)")


def code_blocks(text: str) -> list[str]:
    """The contents of the fenced blocks, lines that end with a backslash joined with the next."""
    return [re.sub(r"\\\n\s*", "", block) for _, block in FENCE.findall(text)]


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return FENCE.sub("", text)


def code_lines(page: Path) -> Iterator[str]:
    """The commands and other lines in the fenced blocks of a page, comments cut off."""
    for block in code_blocks(page.read_text()):
        yield from (line.strip().removeprefix("$ ").partition(" #")[0] for line in block.splitlines())


COMMANDS = [(page, line) for page in PAGES for line in code_lines(page) if line.startswith("gened ")]


@cache
def file_names() -> frozenset[str]:
    """Names of all modules and scripts of the repository."""
    found = (path.name for folder in FOLDERS for kind in ("py", "sh") for path in (ROOT / folder).rglob(f"*.{kind}"))
    return frozenset(found)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of ours, or a package that `python -m` can run."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def exists(path: str) -> bool:
    """Whether a path of the repository exists; `*` and `<name>` stand for any name."""
    pattern = re.sub(r"<[^<>]*>", "*", path).rstrip("/.")
    return any(ROOT.glob(pattern)) if "*" in pattern else (ROOT / pattern).exists()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```\ngened a \\\n  --b\n```\n", ["gened a --b\n"]),
        ("text\n\n```python\nx = 1\n```\n`gened c`\n```\ny\n```\n", ["x = 1\n", "y\n"]),
    ],
)
def test_code_blocks_are_found(text: str, expected: list[str]) -> None:
    assert code_blocks(text) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("models/codecs/base.py", True), ("models/codecs/<name>/", True), ("results/codec/*.json", True),
        ("models/codecs/no_such.py", False), ("results/<name>/none-*.json", False),
    ],
)  # fmt: skip
def test_a_path_is_looked_up_in_the_repository(path: str, expected: bool) -> None:
    assert exists(path) is expected


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_command_on_a_page_exists_with_its_options(page: Path, line: str) -> None:
    words = shlex.split(line.split(" > ")[0], comments=True)
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):  # a group, such as `gened data`
        assert rest and rest[0] in command.commands, f"{page.name}: {line}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


@BY_PAGE
def test_links_on_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", prose(page.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        found = page.parent / target if target else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}#{anchor}"


@BY_PAGE
def test_modules_that_a_page_runs_or_imports_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"python3? -m (gened[\w.]*)", text):
        assert is_module(name), f"{page.name}: python -m {name}"
    for module, name in re.findall(r"^from (gened[\w.]*) import (\w+)", text, re.MULTILINE):
        assert is_module(module), f"{page.name}: {module}"
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert re.search(rf"^(?:def|class) {name}\b|^{name}\b", source, re.MULTILINE), f"{page.name}: {module}.{name}"


@BY_PAGE
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    words = [word for span in SPAN.findall(prose(text)) for word in span.split()]
    words += [word for line in code_lines(page) for word in line.split()]
    for word in words:
        if PATH.fullmatch(word):
            assert exists(word), f"{page.name}: {word}"
        elif OWN_FILE.fullmatch(word):
            assert word in file_names(), f"{page.name}: {word}"


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: page.name)
def test_lines_of_a_page_are_short(page: Path) -> None:
    too_long = [n for n, line in enumerate(page.read_text().splitlines(), 1) if len(line) > MAX_COLUMNS]
    assert not too_long, f"{page.name}: more than {MAX_COLUMNS} columns in lines {too_long}"


def test_all_exit_codes_are_told() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for code in EXIT_CODES:
        assert f"| {code.number} | {code.meaning} |" in page
