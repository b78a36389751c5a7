# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and its kin: a command ends in order, with the exit code that shells expect."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Windows has no SIGHUP."""


class Interrupted(BaseException):
    """A signal asked the program to end. No `Exception`, so that nobody on the way takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def raise_on_signals() -> None:
    """From now on a signal raises `Interrupted` in the main thread, wherever that is."""
    for number in SIGNALS:
        signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first signal sets, so that the work can end in order; the second signal interrupts it.

    Raises:
        Interrupted: On leaving, when there was a signal.
    """
    stop = threading.Event()
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if seen:
            _raise(number, frame)
        seen.append(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise Interrupted(seen[0])
