# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the editing service with a time limit for every picture.

    submit(task) ----->  thread with a DEALER socket <--> service
    callback(EditResult) <---'

Each task gets exactly one result: the edited picture, or I_r with the reason if the service is absent, slow, crashed or
busy, or its answer is malformed. Tasks are sent only while the service answers pings; pings continue, so a service that
returns is used again.
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
from gened.models.editing.base import EditResult, EditTask
from gened.models.serving.editor_keys import client_keys
from gened.models.serving.editor_protocol import Answer, MessageError, pack_ask, pack_request, unpack_answer
from gened.models.serving.editor_server import DEFAULT_ADDRESS, MAX_MESSAGE_BYTES

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_QUEUE_LEN = 8
PING_S = 0.5
SILENT_S = 10.0
"""A service that answered before is considered dead after so long without a pong, s."""
ABSENT_S = 3.0
"""Time from the client's start for a first pong, s; `patience_s` replaces it where a model has to load."""
POLL_MS = 100

Callback = Callable[[EditResult], None]
log = logging.getLogger(__name__)


class _Pending(NamedTuple):
    """A task without a result yet."""

    number: int
    task: EditTask
    callback: Callback
    deadline_s: float


class EditorClient:
    """A connection to one service.

    Args:
        address: Address of the service.
        keys: Folder with the client's CURVE keys; None: no encryption.
        timeout_s: Time limit of a picture, after which its result is I_r.
        patience_s: Time that the first tasks wait for a service that has not answered yet; None: `ABSENT_S`.
        queue_len: Largest number of open tasks; the result of further ones is I_r at once.
        why_lost: Called on the client's own thread when a connection with open tasks ends: why it did; None: unknown.

    Raises:
        ConfigError: Missing keys.
        EditorError: A malformed address.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        keys: Path | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float | None = None,
        queue_len: int = DEFAULT_QUEUE_LEN,
        why_lost: Callable[[], str | None] | None = None,
    ) -> None:
        self.address = address
        self._why_lost = why_lost
        self.backend: str | None = None
        """Name of the service's backend, once it has answered."""
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
            raise EditorError(f"no editor can be reached at '{address}': {error.strerror}") from error
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

    def submit(self, task: EditTask, callback: Callback) -> None:
        """Send a picture to the editor; never blocks.

        Args:
            task: The received picture, with what is known of its frame.
            callback: Called once with the result, on the client's own thread or at once; must not block.
        """
        reason = None
        with self._lock:
            if self._closing.is_set():
                reason = "the connection to the editor was closed"
            elif self._n_open >= self._queue_len:
                reason = f"the editor is busy with {self._n_open} earlier pictures"
            else:
                self._n_open += 1
                self._new.append(_Pending(next(self._numbers), task, callback, time.monotonic() + self._timeout_s))
                self._bell.send(b"")
        if reason is not None:
            callback(task.failed(reason))

    def edit(self, task: EditTask) -> EditResult:
        """`submit` and wait: for commands and tests, never for the radio side."""
        done: collections.deque[EditResult] = collections.deque()
        event = threading.Event()

        def answered(result: EditResult) -> None:
            done.append(result)
            event.set()

        self.submit(task, answered)
        event.wait()
        return done[0]

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the service has answered a ping; False if it took longer."""
        return self._is_alive.wait(timeout_s)

    def figures(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """Queue, latencies, memory and counts of the service.

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
        """The service will not start: open tasks, and new ones until it answers after all, get I_r with this reason."""
        self._hopeless = reason

    def close(self) -> None:
        """End the connection; the result of open tasks is I_r."""
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
        """Tasks that have not been sent yet, by number."""
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
                self._check_connection(state, sent)
            if self._socket in events:
                self._receive(state, sent)
            self._send(state, waiting, sent)
            self._give_up(state, waiting, sent)
        for pending in (*sent.values(), *waiting.values()):
            self._answer(pending, pending.task.failed("the connection to the editor was closed"))
        self._take(waiting := collections.OrderedDict())
        for pending in waiting.values():
            self._answer(pending, pending.task.failed("the connection to the editor was closed"))
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

    def _check_connection(self, state: _State, sent: collections.OrderedDict[int, _Pending]) -> None:
        while self._monitor.poll(0):
            if recv_monitor_message(self._monitor)["event"] != zmq.EVENT_DISCONNECTED:
                state.next_ping_s = 0.0
                continue
            self._lose(state, sent, "has gone")

    def _lose(self, state: _State, sent: collections.OrderedDict[int, _Pending], what: str) -> None:
        """The service is gone: the result of all tasks that were sent is I_r."""
        state.is_alive = False
        self._is_alive.clear()
        reason = (sent and self._why_lost and self._why_lost()) or f"the editor at {self.address} {what}"
        for number in list(sent):
            pending = sent.pop(number)
            self._answer(pending, pending.task.failed(reason))

    def _receive(self, state: _State, sent: collections.OrderedDict[int, _Pending]) -> None:
        while self._socket.poll(0):
            frames = self._socket.recv_multipart()
            try:
                answer = unpack_answer(frames)
            except MessageError as error:
                log.warning("malformed reply from the editor at %s: %s", self.address, error)
                if sent:
                    _, pending = sent.popitem(last=False)
                    self._answer(pending, pending.task.failed(f"malformed reply from the editor: {error}"))
                continue
            if answer.op == "pong":
                state.is_alive, state.was_alive, state.last_pong_s = True, True, time.monotonic()
                self.backend = (answer.facts or {}).get("backend")
                self._is_alive.set()
            elif answer.op == "figures":
                self._figures.append(answer.facts or {})
            elif (found := sent.pop(answer.number, None)) is not None:  # else too late
                self._answer(found, _checked(found.task, answer))

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
            if not self._try_send(pack_request(number, pending.task)):
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
                self._answer(pending, pending.task.failed(reason))
        for group in (sent, waiting):
            for number in [number for number, pending in group.items() if now_s > pending.deadline_s]:
                pending = group.pop(number)
                reason = f"the editor at {self.address} took longer than {self._timeout_s:g} s"
                self._answer(pending, pending.task.failed(reason))

    def _answer(self, pending: _Pending, result: EditResult) -> None:
        with self._lock:
            self._n_open -= 1
        try:
            pending.callback(result)
        except Exception as error:  # an error of one callback must not end the thread
            log.warning("callback failed: %r", error)


class _State:
    """State of the service as the client sees it."""

    def __init__(self, now_s: float, patience_s: float) -> None:
        self.is_alive = self.was_alive = False
        self.next_ping_s = 0.0
        self.last_pong_s = now_s
        self._give_up_s = now_s + patience_s

    def is_absent(self, now_s: float) -> bool:
        """Whether waiting for the service has become pointless."""
        if self.is_alive:
            return False
        return now_s > (self.last_pong_s + ABSENT_S if self.was_alive else self._give_up_s)


def _checked(task: EditTask, answer: Answer) -> EditResult:
    result = answer.result
    if result is None:
        return task.failed(answer.reason or "the editor refused")
    if result.pixels.shape != task.pixels.shape:
        height, width = result.pixels.shape[:2]
        return task.failed(f"the editor answered with a picture of {width}x{height}")
    if not result.edited:
        return task.unedited(result.reason or "not edited", result.backend)
    return result
