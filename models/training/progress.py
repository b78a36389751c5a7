# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a training on stderr: one line that is refreshed on a terminal, else a line per minute."""

from __future__ import annotations

import sys
import time
from typing import TextIO

REFRESH_S, LINE_S = 0.5, 60.0
"""Least time between two lines on a terminal, and elsewhere, s."""
SMOOTHING = 0.05
"""Weight of the newest step in the running mean of the seconds per step."""
WIDTH = 100
"""Columns of the refreshed line."""


class Progress:
    """Lines about the preparation and the steps of a training.

    Args:
        stream: Where they are written.
        is_quiet: Write nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, is_quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_quiet = is_quiet
        self._is_terminal = self._stream.isatty()
        self._what = ""
        self._last = time.monotonic()
        self._is_shown = False
        self._step_s: float | None = None

    def report(self, what: str, done: int, total: int) -> None:
        """A part of the preparation: what it is, how much of it is finished, and how much there is."""
        is_new = what != self._what
        self._what = what
        self._show(f"{what}: {done} of {total}", is_due=is_new or done >= total)

    def step(self, step: int, steps: int, seconds: float, deadline: float | None) -> None:
        """A step of the training, see `loop.StepReport`."""
        is_first = self._step_s is None
        before = seconds if self._step_s is None else self._step_s
        self._step_s = before + SMOOTHING * (seconds - before)
        left = (steps - step) * self._step_s
        if deadline is not None:
            left = min(left, max(0.0, deadline - time.monotonic()))
        text = f"step {step} of {steps}, {self._step_s:.2f} s per step, {duration(left)} left"
        self._show(text, is_due=is_first and self._is_terminal)

    def clear(self) -> None:
        """Remove the refreshed line, so that another can be printed."""
        if self._is_shown:
            self._stream.write("\r" + " " * WIDTH + "\r")
            self._stream.flush()
            self._is_shown = False

    def _show(self, text: str, *, is_due: bool) -> None:
        now = time.monotonic()
        if self._is_quiet or not (is_due or now - self._last >= (REFRESH_S if self._is_terminal else LINE_S)):
            return
        self._last = now
        if self._is_terminal:
            self._stream.write("\r" + text[:WIDTH].ljust(WIDTH))
            self._is_shown = True
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """A time in words, such as "50 s", "12 min" or "3 h 05 min"."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
