# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault of the built documentation is found: a broken link or anchor, a foreign script, Markdown that stayed text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[3] / "scripts" / "lib" / "check_site.py"


def check(site: Path, body: str) -> subprocess.CompletedProcess[str]:
    (site / "other.html").write_text('<h2 id="there">There</h2>')
    (site / "page.html").write_text(f"<html><body>{body}</body></html>")
    return subprocess.run([sys.executable, str(CHECK), str(site)], capture_output=True, text=True)


def test_a_sound_page_passes(tmp_path: Path) -> None:
    links = '<a href="other.html#there">x</a> <a href="https://example.org">y</a>'
    body = f"{links} <p>minus - one, |h|^2, <code>- a</code></p>"
    done = check(tmp_path, body)
    assert done.returncode == 0 and done.stdout == "2 pages, 0 faults\n"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="nowhere.html">x</a>', "links to nowhere.html, which is not there"),
        ('<a href="other.html#gone">x</a>', "links to other.html#gone, but there is no such anchor"),
        ('<a href="#gone">x</a>', "links to #gone, but there is no such anchor"),
        ('<img src="gone.png">', "links to gone.png, which is not there"),
        ('<script src="https://example.org/a.js"></script>', "loads https://example.org/a.js from another host"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "loads //example.org/a.css from another host"),
        ("<p>Three things:\n- one\n- two</p>", "Markdown left over: 'Three things:"),
        ("<p>| a | b |\n| --- | --- |</p>", "Markdown left over: '| a | b |"),
        ("<p>source   --> sink</p>", "Markdown left over: 'source   --> sink'"),
    ],
)
def test_a_fault_is_told_with_its_page_and_fails(tmp_path: Path, body: str, fault: str) -> None:
    done = check(tmp_path, body)
    assert done.returncode == 1
    assert done.stdout.startswith(f"page.html: {fault}") and done.stdout.endswith("2 pages, 1 faults\n")


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(CHECK), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"error: there is no page in {tmp_path}\n"
