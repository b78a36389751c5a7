# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of `gened.link.child` as their supervisor starts, observes and ends them; none of them outlives it."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any, Literal

from gened.errors import GenedError
from gened.link.events import ProcessEvent, from_wire
from gened.processes import ChildProcess

Role = Literal["air", "pluto", "receive", "transmit", "editor"]
GRACE_S = 3.0
"""Time for a process to end in order after its end was requested, or after its supervisor has died."""
KILL_AFTER_S = GRACE_S + 1.0
"""Time after which the supervisor kills a process that has not ended by itself."""


class Child:
    """One process of `gened.link.child`.

    Args:
        role: Function there.
        config: Configuration of that role; must be picklable.

    Raises:
        LinkError: It cannot be started.
    """

    def __init__(self, role: Role, config: Any) -> None:
        self.role = role
        self._events: collections.deque[ProcessEvent] = collections.deque()
        self._has_news = threading.Event()
        self._process = ChildProcess(f"gened.link.child:{role}", config, grace_s=GRACE_S, has_log=True)
        self._thread = threading.Thread(target=self._receive, name=f"gened-{role}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def events(self) -> list[ProcessEvent]:
        """Events since the last call, oldest first."""
        self._has_news.clear()
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._events.popleft())
        return taken

    def has_events(self) -> bool:
        """Whether there are events to take, or more may come."""
        return bool(self._events) or self._thread.is_alive()

    def wait_for_event(self, timeout_s: float) -> None:
        """Waits until an event comes or the channel ends, at most so long."""
        self._has_news.wait(timeout_s)

    def permit(self, n_frames: int) -> None:
        """Lets so many more frames be sent."""
        with contextlib.suppress(OSError):  # it has died, which the supervisor finds
            self._process.channel.send(n_frames)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.has_ended()

    def wait_for_end(self, timeout_s: float) -> bool:
        """Whether the process is gone within so many seconds."""
        return self._process.wait(timeout_s)

    def exit_text(self) -> str:
        """How the process ended, with the last line of its log where there is one."""
        return self._process.exit_text()

    def request_end(self) -> None:
        """Ends this side of the channel, upon which the process ends in order."""
        self._process.channel.end_sending()

    def close(self, deadline_s: float) -> None:
        """Waits until `deadline_s` (monotonic), then kills; afterwards the process is gone."""
        self._process.wait(deadline_s - time.monotonic())
        if not self._process.has_ended():
            self._process.kill()
        self._thread.join(1.0)
        self._process.close()

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                with contextlib.suppress(ValueError, GenedError):
                    self._events.append(from_wire(self._process.channel.receive_json()))
                    self._has_news.set()


def end_all(children: Iterable[Child]) -> None:
    """Requests the end of all at once, and kills those that take too long."""
    listed = list(children)
    for child in listed:
        child.request_end()
    deadline_s = time.monotonic() + KILL_AFTER_S
    for child in listed:
        child.close(deadline_s)
