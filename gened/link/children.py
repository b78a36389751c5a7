# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that a supervisor starts, hears and ends; none of them outlives it."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import Any

from gened.errors import LinkError
from gened.paths import child_environment

MAX_LINE = 1 << 20
GRACE_S = 3.0
"""Seconds that a process has to leave in order after its end was requested."""
LOG_TAIL = 2000


class Child:
    """One process of `gened.link.child`.

    Args:
        role: `air`, `pluto`, `transmit`, `receive` or `editor`.
        config: Of that role; must be picklable.

    Raises:
        LinkError: It could not be started.
    """

    def __init__(self, role: str, config: Any) -> None:
        self.role = role
        self._events: collections.deque[dict[str, Any]] = collections.deque()
        self._heard = threading.Event()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        is_debugging = os.environ.get("GENED_DEBUG") == "1"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gened.link.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None if is_debugging else self._log,
                env=child_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._log.close()
            raise LinkError(f"cannot start the process of '{role}': {error}") from error
        content = pickle.dumps((role, config))
        self._write(len(content).to_bytes(8, "big") + content)
        self._thread = threading.Thread(target=self._read, name=f"gened-{role}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def events(self) -> list[dict[str, Any]]:
        """What it has told since the last call, oldest first."""
        self._heard.clear()
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._events.popleft())
        return taken

    def has_events(self) -> bool:
        """Whether there is more to come, or to be taken."""
        return bool(self._events) or self._thread.is_alive()

    def wait_for_event(self, timeout_s: float) -> None:
        """Until it tells something, or so long."""
        self._heard.wait(timeout_s)

    def permit(self, n_frames: int) -> None:
        """Lets so many more frames go."""
        self._write(b"." * n_frames)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def exit_text(self) -> str:
        """How it ended, with the last line of its log if there is one."""
        code = self._process.poll()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_TAIL))
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"{how}: {lines[-1]}" if lines else how

    def ask_to_end(self) -> None:
        """Closes its stdin, which it takes as the wish that it leave."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def close(self, deadline_s: float) -> None:
        """Waits until `deadline_s` (monotonic), then kills; afterwards the process is gone."""
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(1.0)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it has died, which the supervisor sees
            if self._process.stdin is not None:
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(MAX_LINE):
            with contextlib.suppress(ValueError):
                facts = json.loads(line, object_pairs_hook=_with_shared_keys)
                if isinstance(facts, dict):
                    self._events.append(facts)
                    self._heard.set()


def _with_shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Facts of thousands of frames are kept: their keys, half of the memory, are the same strings."""
    return {sys.intern(key): value for key, value in pairs}


def end_all(children: Iterable[Child]) -> None:
    """Asks all to leave at once, and kills those that take too long."""
    listed = list(children)
    for child in listed:
        child.ask_to_end()
    deadline_s = time.monotonic() + GRACE_S + 1.0
    for child in listed:
        child.close(deadline_s)
