# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the editing service, and never lets anybody wait for it longer than was said.

    submit(request) --> thread with a DEALER socket <--> service
    callback(Edited) <-------'

Each request gets exactly one answer: the edited picture, or I_r with the reason when the service is absent, slow,
crashed, busy, or answers rubbish. A service that does not answer pings is not asked; pings go on, so one that comes
back is used again.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from gened.errors import EditorError
from gened.models.editing.base import Edited, EditRequest, unedited
from gened.models.serving.editor_keys import client_keys
from gened.models.serving.editor_protocol import Answer, MessageError, pack_ask, pack_request, unpack_answer
from gened.models.serving.editor_server import DEFAULT_ADDRESS, MAX_MESSAGE_BYTES

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_QUEUE_LEN = 8
PING_S = 0.5
SILENT_S = 10.0
"""A service that was there and has answered no ping for so long is taken for dead."""
ABSENT_S = 3.0
"""A service that has never answered is waited for so long from the client's start; the first model may take longer to
load, for which `patience_s` is there."""
POLL_MS = 100

Callback = Callable[[Edited], None]
log = logging.getLogger(__name__)


class _Pending(NamedTuple):
    """A request without an answer yet."""

    number: int
    request: EditRequest
    callback: Callback
    deadline_s: float


class EditorClient:
    """A connection to one service.

    Args:
        address: Of the service.
        keys: Folder with the client's CURVE keys; None: no encryption.
        timeout_s: A picture that has not come back after so long is given as it was.
        patience_s: How long the first requests wait for a service that has not answered yet; None: `ABSENT_S`.
        queue_len: Requests that may be on their way; more are answered at once with I_r.

    Raises:
        ConfigError: Keys that are not there.
        EditorError: No such address.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        keys: Path | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float | None = None,
        queue_len: int = DEFAULT_QUEUE_LEN,
    ) -> None:
        self.address = address
        self.backend: str | None = None
        """Of the service, once it has answered."""
        self._timeout_s, self._queue_len = timeout_s, queue_len
        self._patience_s = ABSENT_S if patience_s is None else patience_s
        self._numbers = itertools.count(1)
        self._new: collections.deque[_Pending | Answer] = collections.deque()
        self._n_open = 0
        self._lock = threading.Lock()
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        self._socket.maxmsgsize, self._socket.immediate, self._socket.linger = MAX_MESSAGE_BYTES, 1, 0
        self._socket.sndtimeo = 0
        self._socket.reconnect_ivl, self._socket.reconnect_ivl_max = 100, 2000
        try:
            if keys is not None:
                pair, server = client_keys(keys)
                self._socket.curve_publickey, self._socket.curve_secretkey = pair.public, pair.secret
                self._socket.curve_serverkey = server
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise EditorError(f"no editor can be asked at '{address}': {error.strerror}") from error
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._bell, self._ear = self._pair()
        self._closing = threading.Event()
        self._hopeless: str | None = None
        self._is_alive = threading.Event()
        self._figures: collections.deque[dict[str, Any]] = collections.deque(maxlen=1)
        self._thread = threading.Thread(target=self._run, name="gened-editor-client", daemon=True)
        self._thread.start()

    def _pair(self) -> tuple[zmq.Socket[Any], zmq.Socket[Any]]:
        bell, ear = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        name = f"inproc://bell-{id(self)}"
        ear.bind(name)
        bell.connect(name)
        return bell, ear

    def submit(self, request: EditRequest, callback: Callback) -> None:
        """Asks for an edited picture; never waits.

        Args:
            request: See there.
            callback: Called once with the answer, on the client's own thread or at once; must not block.
        """
        reason = None
        with self._lock:
            if self._closing.is_set():
                reason = "the connection to the editor was closed"
            elif self._n_open >= self._queue_len:
                reason = f"the editor is busy with {self._n_open} earlier pictures"
            else:
                self._n_open += 1
                self._new.append(_Pending(next(self._numbers), request, callback, time.monotonic() + self._timeout_s))
                self._bell.send(b"")
        if reason is not None:
            callback(unedited(request, reason))

    def edit(self, request: EditRequest) -> Edited:
        """`submit` and wait: for commands and tests, never for the radio side."""
        done: collections.deque[Edited] = collections.deque()
        event = threading.Event()

        def answered(edited: Edited) -> None:
            done.append(edited)
            event.set()

        self.submit(request, answered)
        event.wait()
        return done[0]

    def wait_ready(self, timeout_s: float) -> bool:
        """Waits until the service has answered a ping; False when that took longer."""
        return self._is_alive.wait(timeout_s)

    def figures(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """What the service tells of itself.

        Raises:
            EditorError: It does not answer.
        """
        deadline = time.monotonic() + timeout_s
        self._figures.clear()
        while time.monotonic() < deadline and not self._closing.is_set():
            with self._lock:
                self._new.append(Answer("figures", next(self._numbers)))
                self._bell.send(b"")
            for _ in range(10):
                time.sleep(0.05)
                if self._figures:
                    return self._figures[0]
        raise EditorError(f"no editor answers at {self.address}")

    def give_up(self, reason: str) -> None:
        """The service will not come: what waits, and what follows until it answers after all, is given as it was."""
        self._hopeless = reason

    def close(self) -> None:
        """Ends the connection; what has no answer yet is answered with I_r."""
        with self._lock:
            if not self._closing.is_set():
                self._closing.set()
                self._bell.send(b"")
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def __enter__(self) -> EditorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The client's own thread

    def _run(self) -> None:
        waiting: collections.OrderedDict[int, _Pending] = collections.OrderedDict()
        """Not sent yet."""
        sent: collections.OrderedDict[int, _Pending] = collections.OrderedDict()
        state = _State(time.monotonic(), self._patience_s)
        poller = zmq.Poller()
        for socket in (self._ear, self._socket, self._monitor):
            poller.register(socket, zmq.POLLIN)
        while not self._closing.is_set():
            events = dict(poller.poll(POLL_MS))
            if self._ear in events:
                self._take(waiting)
            if self._monitor in events:
                self._look_at_connection(state, sent)
            if self._socket in events:
                self._hear(state, sent)
            self._send(state, waiting, sent)
            self._give_up(state, waiting, sent)
        for pending in (*sent.values(), *waiting.values()):
            self._answer(pending, unedited(pending.request, "the connection to the editor was closed"))
        self._take(waiting := collections.OrderedDict())
        for pending in waiting.values():
            self._answer(pending, unedited(pending.request, "the connection to the editor was closed"))
        self._socket.disable_monitor()
        self._context.destroy(linger=0)

    def _take(self, waiting: collections.OrderedDict[int, _Pending]) -> None:
        while self._ear.poll(0):
            self._ear.recv()
        with contextlib.suppress(IndexError):
            while True:
                new = self._new.popleft()
                if isinstance(new, _Pending):
                    waiting[new.number] = new
                else:
                    self._try_send(pack_ask(new.op, new.number))

    def _look_at_connection(self, state: _State, sent: collections.OrderedDict[int, _Pending]) -> None:
        while self._monitor.poll(0):
            if recv_monitor_message(self._monitor)["event"] != zmq.EVENT_DISCONNECTED:
                state.next_ping_s = 0.0
                continue
            self._lose(state, sent, "has gone")

    def _lose(self, state: _State, sent: collections.OrderedDict[int, _Pending], what: str) -> None:
        """The service is not there any more: what it was asked comes back as it was."""
        state.is_alive = False
        self._is_alive.clear()
        for number in list(sent):
            pending = sent.pop(number)
            self._answer(pending, unedited(pending.request, f"the editor at {self.address} {what}"))

    def _hear(self, state: _State, sent: collections.OrderedDict[int, _Pending]) -> None:
        while self._socket.poll(0):
            frames = self._socket.recv_multipart()
            try:
                answer = unpack_answer(frames)
            except MessageError as error:
                log.warning("the editor at %s answered rubbish: %s", self.address, error)
                if sent:
                    _, pending = sent.popitem(last=False)
                    self._answer(pending, unedited(pending.request, f"the editor answered rubbish: {error}"))
                continue
            if answer.op == "pong":
                state.is_alive, state.was_alive, state.last_pong_s = True, True, time.monotonic()
                self.backend = (answer.facts or {}).get("backend")
                self._is_alive.set()
            elif answer.op == "figures":
                self._figures.append(answer.facts or {})
            elif (found := sent.pop(answer.number, None)) is not None:  # an answer that is too late finds none
                self._answer(found, _checked(found.request, answer))

    def _send(
        self,
        state: _State,
        waiting: collections.OrderedDict[int, _Pending],
        sent: collections.OrderedDict[int, _Pending],
    ) -> None:
        now_s = time.monotonic()
        if now_s >= state.next_ping_s:
            state.next_ping_s = now_s + (PING_S if not state.is_alive else 4 * PING_S)
            self._try_send(pack_ask("ping", 0))
        while state.is_alive and waiting:
            number, pending = next(iter(waiting.items()))
            if not self._try_send(pack_request(number, pending.request)):
                return
            sent[number] = waiting.pop(number)

    def _try_send(self, frames: list[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames)
        except zmq.Again:
            return False
        return True

    def _give_up(
        self,
        state: _State,
        waiting: collections.OrderedDict[int, _Pending],
        sent: collections.OrderedDict[int, _Pending],
    ) -> None:
        now_s = time.monotonic()
        if state.is_alive and now_s > state.last_pong_s + SILENT_S:
            self._lose(state, sent, "does not answer any more")
        if state.is_absent(now_s) or (self._hopeless is not None and not state.is_alive):
            reason = self._hopeless or f"no editor answers at {self.address}"
            for number in list(waiting):
                pending = waiting.pop(number)
                self._answer(pending, unedited(pending.request, reason))
        for group in (sent, waiting):
            for number in [number for number, pending in group.items() if now_s > pending.deadline_s]:
                pending = group.pop(number)
                reason = f"the editor at {self.address} took longer than {self._timeout_s:g} s"
                self._answer(pending, unedited(pending.request, reason))

    def _answer(self, pending: _Pending, edited: Edited) -> None:
        with self._lock:
            self._n_open -= 1
        try:
            pending.callback(edited)
        except Exception as error:  # the caller's fault must not end the thread that serves everybody
            log.warning("callback failed: %r", error)


class _State:
    """What the client knows of the service."""

    def __init__(self, now_s: float, patience_s: float) -> None:
        self.is_alive = self.was_alive = False
        self.next_ping_s = 0.0
        self.last_pong_s = now_s
        self._give_up_s = now_s + patience_s

    def is_absent(self, now_s: float) -> bool:
        """Whether it is pointless to wait for it."""
        if self.is_alive:
            return False
        return now_s > (self.last_pong_s + ABSENT_S if self.was_alive else self._give_up_s)


def _checked(request: EditRequest, answer: Answer) -> Edited:
    if answer.edited is None:
        return unedited(request, answer.reason or "the editor refused")
    if answer.edited.x.shape != request.x_hat.shape:
        height, width = answer.edited.x.shape[1:]
        return unedited(request, f"the editor answered with a picture of {width}x{height}")
    if not answer.edited.edited:
        return unedited(request, answer.edited.reason or "not edited", answer.edited.backend)
    return answer.edited
