# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests wait on conditions: a sleep says beside it why time is what it waits for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from waiting import wait_for, wait_until

TESTS = Path(__file__).resolve().parent
SLEEP = re.compile(r"\btime\.sleep\((?!.*#)")
"""A call without a comment on its line."""


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_sleep_has_its_reason_beside_it(path: Path) -> None:
    lines = path.read_text().splitlines() if path != Path(__file__).resolve() else []
    assert [line for line in lines if SLEEP.search(line)] == []


def test_a_sleep_without_a_reason_is_found() -> None:
    assert SLEEP.search("    time.sleep(0.5)") and not SLEEP.search("    time.sleep(0.5)  # the clock is measured")


def test_waiting_ends_with_the_condition_or_with_the_limit() -> None:
    answers = iter([False, False, True, False])
    assert wait_until(lambda: next(answers))
    assert list(answers) == [False]  # it is not polled again
    assert not wait_until(lambda: False, 0.0)
    with pytest.raises(AssertionError, match="it never came"):
        wait_for(lambda: False, "it never came", 0.0)
