# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks with time limits: those that only read side by side, those that measure one after the other."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gened.doctor.findings import CHECKS, Entry, Finding, Visit

MODULES = ("software", "companion_blocks", "weights", "machine", "radios", "radio_checks")
"""Modules of checks, in the order in which their findings are shown."""
TOGETHER_S = 28.0
ALONE_S = 45.0
"""Beyond these a check is given up; its programs have tighter limits of their own."""


class Section(NamedTuple):
    """The findings under one title."""

    title: str
    findings: list[Finding]


def all_checks() -> list[Entry]:
    """Every check, registered."""
    for module in MODULES:
        importlib.import_module(f"gened.doctor.{module}")
    return list(CHECKS)


def examine(visit: Visit, on_start: Callable[[str], None] = lambda _: None) -> list[Section]:
    """Runs every check.

    Args:
        visit: Subject of the checks.
        on_start: Called with the subject of each group of checks, for a screen.

    Returns:
        Sections that have findings. A check that fails or hangs is a finding too.
    """
    entries = all_checks()
    results: dict[Entry, list[Finding]] = {}
    on_start("software, machine and radios")
    results |= _run([entry for entry in entries if not entry.is_alone], visit, TOGETHER_S)
    for entry in entries:
        if entry.is_alone:
            on_start(f"{entry.title.lower()}: {entry.check.__name__.replace('_', ' ')}")
            results |= _run([entry], visit, ALONE_S)
    titles = list(dict.fromkeys(entry.title for entry in entries))
    sections = [
        Section(title, [finding for entry in entries if entry.title == title for finding in results[entry]])
        for title in titles
    ]
    return [section for section in sections if section.findings]


def can_start(sections: Iterable[Section]) -> bool:
    """Whether nothing stands in an experiment's way."""
    return not any(finding.level == "problem" for section in sections for finding in section.findings)


def _run(entries: list[Entry], visit: Visit, limit_s: float) -> dict[Entry, list[Finding]]:
    """Runs each check in a thread of its own, and waits for it up to the limit."""
    results: dict[Entry, list[Finding]] = {}
    threads = []
    for entry in entries:
        thread = threading.Thread(target=_try, args=(entry, visit, results), daemon=True)
        thread.start()
        threads.append(thread)
    deadline_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    late = [Finding(subject="", level="note", text=f"no answer within {limit_s:g} s", next_step="try again")]
    return {entry: results.get(entry) or ([] if entry in results else _named(entry, late)) for entry in entries}


def _try(entry: Entry, visit: Visit, results: dict[Entry, list[Finding]]) -> None:
    try:
        results[entry] = entry.check(visit)
    except Exception as error:  # a check that breaks is one line, and the others go on
        text = f"could not be looked at: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        found = Finding(subject="", level="note", text=text, next_step="tell the project, with this line")
        results[entry] = _named(entry, [found])


def _named(entry: Entry, findings: list[Finding]) -> list[Finding]:
    subject = entry.check.__name__.replace("_", " ")
    return [Finding(subject=subject, level=one.level, text=one.text, next_step=one.next_step) for one in findings]
