# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGINT and SIGTERM end a training after the step that is being computed, so that its state can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED_S = 2.0
"""A signal that follows another within this time is a copy: on Ctrl-C, `torchrun` and the terminal both send one."""


class Interruption:
    """The signal that has arrived."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Number of the signal; None before one arrives."""

    @property
    def is_set(self) -> bool:
        """Whether a signal has arrived."""
        return self.number is not None

    def raise_again(self) -> None:
        """Deliver the signal to the process again: it ends as it would have ended without a training."""
        if self.number is not None:
            signal.raise_signal(self.number)


@contextlib.contextmanager
def noticed_signals() -> Iterator[Interruption]:
    """Notice the first signal; a later one has its former effect. Only the main thread of a process can do so."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before: dict[signal.Signals, Any] = {}

    first_s = 0.0

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first_s
        if interruption.number is None:
            interruption.number, first_s = number, time.monotonic()
        elif time.monotonic() - first_s > REPEATED_S:
            restore()
            signal.raise_signal(number)

    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, handle)
        yield interruption
    finally:
        restore()
