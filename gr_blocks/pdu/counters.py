# SPDX-License-Identifier: GPL-3.0-or-later
"""Named counters that several threads share; no GNU Radio."""

from __future__ import annotations

import collections
import logging
import threading

LOG_EVERY = 100
"""After the first ten, only every hundredth message of a kind is logged: a hostile sender must not fill the disk."""


class Counters:
    """Named counters for several threads, with logging at a bounded rate."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._logger = logging.getLogger(f"gened.{name}")  # GNU Radio's own logger writes to stdout

    def add(self, what: str, n: int = 1) -> int:
        """Increases a counter and returns its new value."""
        with self._lock:
            self._counts[what] += n
            return self._counts[what]

    def report(self, what: str, message: str) -> None:
        """Increases a counter and logs the reason: the first ten times, then every hundredth time."""
        count = self.add(what)
        if count <= 10 or count % LOG_EVERY == 0:
            self._logger.warning("%s: %s (%d): %s", self._name, what, count, message)

    def report_once(self, what: str, n: int, message: str) -> None:
        """Increases a counter by `n` and logs the reason the first time only."""
        if self.add(what, n) == n:
            self._logger.warning("%s: %s (%d): %s", self._name, what, n, message)

    def as_dict(self) -> dict[str, int]:
        """Returns a copy of all counters."""
        with self._lock:
            return dict(self._counts)
