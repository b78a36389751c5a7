# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that radios report by a letter when samples are late or lost: meaning, advice, and a counter.

UHD reports those of its transmitter by messages (`uhd.uhd_events`) and those of its receiver by a new time tag after
each gap. gr-iio only prints letters; `iio` reads the status register of the Pluto as well. SoapySDR only prints: there
an overflow is detected by the missing samples.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

LOG_EVERY_S = 10.0
"""Shortest interval between two lines per letter: a radio may report thousands of events per second."""
MAX_DETAILS = 8
"""Number of different details that are reported of an event that is reported once per detail."""


@dataclass(frozen=True)
class RadioEvent:
    """Meaning of one letter."""

    letter: str
    name: str
    meaning: str
    advice: str

    def __str__(self) -> str:
        return f"{self.letter} ({self.name}): {self.meaning}; {self.advice}"


EVENTS = {
    event.letter: event
    for event in (
        RadioEvent(
            "U", "underflow", "the transmitter ran out of samples in the middle of a burst, which is spoilt",
            "lower the sample rate, close other programs, or enlarge the driver's buffers",
        ),
        RadioEvent(
            "L", "late", "a timed burst reached the radio after its time and was not sent as asked",
            "raise tx.lead_s, or set it to 0 for bursts that leave at once",
        ),
        RadioEvent(
            "S", "sequence error", "packets from this machine to the transmitter were lost or came in another order",
            "use a better cable and no switch between, and enlarge the network's send buffers",
        ),
        RadioEvent(
            "O", "overflow", "the receiver's samples were not fetched in time, and some are lost with their burst",
            "lower the sample rate, close other programs, or enlarge the driver's buffers",
        ),
        RadioEvent(
            "D", "dropped packet", "packets between the receiver and this machine were lost on the network",
            "use a better cable and no switch between, and enlarge the network's receive buffers",
        ),
    )
}  # fmt: skip
"""By letter, as UHD and gr-iio print them."""


class EventReporter:
    """Counts events and reports them by lines, at a bounded rate.

    Args:
        where: Name of the radio in the lines.
        on_event: Called with each line; None: the logger `gened.radio`.
        clock: Monotonic clock, seconds.
        table: Meaning of the events, by letter or name.
        once: Events of which only the first of each detail has a line, of at most `MAX_DETAILS` different details.
    """

    def __init__(
        self,
        where: str,
        on_event: Callable[[str], None] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        table: Mapping[str, object] = EVENTS,
        once: Collection[str] = (),
    ) -> None:
        self._where = where
        self._table = table
        self._once = frozenset(once)
        self._details: dict[str, set[str]] = {name: set() for name in self._once}
        self._emit = on_event or logging.getLogger("gened.radio").warning
        self._clock = clock
        self._counts: collections.Counter[str] = collections.Counter()
        self._pending: collections.Counter[str] = collections.Counter()
        self._emitted_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def report(self, letter: str, n: int = 1, detail: str = "") -> None:
        """Counts `n` events of a letter; emits a line at once for the first, then at most every `LOG_EVERY_S`.

        Any thread may call it.

        Args:
            letter: A key of the table; an unknown one is counted and reported without an explanation.
            n: Number of events.
            detail: Further information, for the line.
        """
        with self._lock:
            self._counts[letter] += n
            if letter in self._once:
                n_pending = n
                if not self._is_new(letter, detail):
                    return
            else:
                self._pending[letter] += n
                now_s = self._clock()
                if now_s - self._emitted_s.get(letter, -LOG_EVERY_S) < LOG_EVERY_S:
                    return
                self._emitted_s[letter] = now_s
                n_pending = self._pending.pop(letter)
        self._emit(self._line(letter, n_pending, detail))

    def _is_new(self, letter: str, detail: str) -> bool:
        details = self._details[letter]
        if detail in details or len(details) >= MAX_DETAILS:
            return False
        details.add(detail)
        return True

    def tell_to(self, on_event: Callable[[str], None]) -> None:
        """Replaces the callback that receives the lines."""
        self._emit = on_event

    def tell_rest(self) -> None:
        """Emits a line for all events that were counted since the last line of their kind; for the end of a run."""
        with self._lock:
            pending, self._pending = self._pending, collections.Counter()
        for letter, n in sorted(pending.items()):
            self._emit(self._line(letter, n, ""))

    def counts(self) -> dict[str, int]:
        """Events by letter since the reporter was made."""
        with self._lock:
            return dict(self._counts)

    def summary(self) -> list[str]:
        """One line per letter that occurred, with the number of its events."""
        return [self._line(letter, n, "") for letter, n in sorted(self.counts().items())]

    def _line(self, letter: str, n: int, detail: str) -> str:
        event = self._table.get(letter)
        text = f"{letter} (unknown to this program)" if event is None else str(event)
        return f"{self._where}: {n} x {text}{f' [{detail}]' if detail else ''}"
