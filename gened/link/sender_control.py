# SPDX-License-Identifier: GPL-3.0-or-later
"""The transmitter's end of its control socket: announces the position of each burst to the channel emulator."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from typing import Any

import zmq

from gened.errors import LinkError
from gened.link.control import Burst, ControlSocket, Done, End, Hello, Ready

REPEAT_S = 0.1
POLL_S = 0.01


class SenderControl:
    """Starts a session, announces bursts and their end; a thread owns the socket.

    Args:
        address: Where to listen for the channel emulator.
        sample_rate: Hz.

    Raises:
        PortInUseError: Another program listens there.
    """

    def __init__(self, address: str, sample_rate: float) -> None:
        self.address = address
        self.session = secrets.randbits(32)
        self.n_bursts = 0
        self._sample_rate = sample_rate
        self._context: zmq.Context[Any] = zmq.Context()
        try:
            self._socket = ControlSocket(self._context, zmq.DEALER, address, binds=True)
        except Exception:
            self._context.destroy(linger=0)
            raise
        self._announcements: queue.SimpleQueue[Burst] = queue.SimpleQueue()
        self._end: End | None = None
        self._ready, self._done, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gened-sender-control", daemon=True)
        self._thread.start()

    def announce(self, start: int, length: int) -> None:
        """Announces a burst that begins at sample `start` of the stream; any thread."""
        self.n_bursts += 1
        self._announcements.put(Burst(session=self.session, start=start, length=length))

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the channel emulator has answered within so many seconds; samples may be sent from then on."""
        return self._ready.wait(timeout_s)

    def finish(self, frames: int, samples: int) -> None:
        """Announces that everything is sent; `wait_done` waits until it has been emitted."""
        self._end = End(session=self.session, frames=frames, bursts=self.n_bursts, samples=samples)

    def wait_done(self, timeout_s: float) -> bool:
        """Whether the channel emulator has emitted every sample within so many seconds."""
        return self._done.wait(timeout_s)

    def close(self) -> None:
        """Ends the thread and the socket."""
        self._stop.set()
        self._thread.join(2.0)

    def _serve(self) -> None:
        next_repeat_s = time.monotonic()
        try:
            while not self._stop.is_set():
                self._receive()
                self._send_announcements()
                if time.monotonic() >= next_repeat_s:
                    self._repeat()
                    next_repeat_s = time.monotonic() + REPEAT_S
            self._send_announcements()
        finally:
            self._socket.close()
            self._context.destroy(linger=200)

    def _receive(self) -> None:
        for message in self._socket.receive():
            if isinstance(message, Ready) and message.session == self.session:
                self._ready.set()
            elif isinstance(message, Done) and message.session == self.session:
                self._done.set()

    def _send_announcements(self) -> None:
        """Sends the announcements that wait; waits a moment for the first."""
        with contextlib.suppress(queue.Empty):
            message = self._announcements.get(timeout=POLL_S)
            while True:
                self._socket.send(message)
                message = self._announcements.get_nowait()

    def _repeat(self) -> None:
        if not self._ready.is_set():
            self._socket.send(Hello(session=self.session, sample_rate=self._sample_rate))
        elif self._end is not None and not self._done.is_set() and self._announcements.empty():
            self._socket.send(self._end)


def require_ready(control: SenderControl, timeout_s: float, stop: threading.Event) -> bool:
    """Waits for the channel emulator.

    Returns:
        False when `stop` was set meanwhile.

    Raises:
        LinkError: No answer within the time limit.
    """
    left_s = timeout_s
    while not control.wait_ready(0.1):
        left_s -= 0.1
        if stop.is_set():
            return False
        if left_s <= 0:
            raise LinkError(f"no air at {control.address} within {timeout_s:g} s; start `gened air`, or see --timeout")
    return True
