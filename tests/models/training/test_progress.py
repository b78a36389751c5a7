# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress says what is prepared, and how long the training still takes."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from gened.models.training import progress as module
from gened.models.training.progress import Progress, duration


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets, s."""
    time = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.now))
    return time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.0, "59 s"), (61.0, "1 min"), (3599.0, "1 h 00 min"), (11100.0, "3 h 05 min")],
)
def test_a_time_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_per_minute_tells_step_speed_and_time_left(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for step in range(1, 41):
        clock.now += 6.0
        progress.step(step, 4900, 6.0, None)
    lines = stream.getvalue().splitlines()
    assert lines == [f"step {step} of 4900, 6.00 s per step, {left} left" for step, left in
                     ((10, "8 h 09 min"), (20, "8 h 08 min"), (30, "8 h 07 min"), (40, "8 h 06 min"))]  # fmt: skip


def test_the_minutes_of_this_call_bound_the_time_left(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    clock.now = 60.0
    progress.step(1, 4900, 60.0, 360.0)
    assert stream.getvalue() == "step 1 of 4900, 60.00 s per step, 5 min left\n"


def test_parts_of_the_preparation_are_told_at_their_beginning_and_end(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for what in ("reading", "computing"):
        for done in range(101):
            clock.now += 0.01
            progress.report(what, done, 100)
    assert stream.getvalue().splitlines() == [
        "reading: 0 of 100", "reading: 100 of 100", "computing: 0 of 100", "computing: 100 of 100",
    ]  # fmt: skip


def test_a_terminal_has_one_line_that_is_removed_for_others(clock: SimpleNamespace) -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.report("reading", 1, 9)
    progress.clear()
    assert "\n" not in stream.getvalue() and stream.getvalue().endswith("\r")
    length = len(stream.getvalue())
    progress.clear()
    assert len(stream.getvalue()) == length


def test_a_quiet_one_writes_nothing(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    progress = Progress(stream, is_quiet=True)
    progress.report("reading", 9, 9)
    clock.now = 1000.0
    progress.step(1, 2, 1.0, None)
    assert stream.getvalue() == ""
