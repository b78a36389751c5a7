# SPDX-License-Identifier: GPL-3.0-or-later
"""The editing service: pictures in by ZeroMQ, edited pictures out.

    clients <--ROUTER--> front thread --bounded queue--> one worker thread per device --> editor
                              ^------------ answers -------------'

The front thread only moves messages, so it answers pings while a picture is edited. A request that meets a full queue
is refused at once. A worker takes the oldest request together with others of its size, as many as its editor edits at
once. Pictures wait as 8-bit values and are converted to float in the worker's thread. Malformed messages and clients
that disconnect are ignored.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from zmq.auth.thread import ThreadAuthenticator

from gened.addresses import split_address
from gened.errors import ConfigError, EditorError, GenedError, LinkError
from gened.models.editing.base import Editor, EditResult, EditTask, check_edited
from gened.models.serving.editor_keys import server_keys
from gened.models.serving.editor_protocol import (
    Frames,
    MessageError,
    NumberedError,
    pack_edited,
    pack_figures,
    pack_pong,
    pack_refused,
    unpack_ask,
)
from gened.processes import one_line
from gened.provenance import peak_memory_mib

DEFAULT_ADDRESS = "tcp://127.0.0.1:5560"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_QUEUE_LEN = 16
MAX_QUEUED_PIXELS = 4 * 4096 * 4096
MAX_MESSAGE_BYTES = 3 * 4096 * 4096 + 65536
POLL_MS = 200
N_LATENCIES = 1000
"""Number of latest pictures in the percentiles of the latency."""
PERCENTILES = (50, 90, 99)

log = logging.getLogger(__name__)


class _Job:
    """A request in the queue."""

    def __init__(self, client: bytes, number: int, task: EditTask) -> None:
        self.client, self.number, self.task = client, number, task
        self.since_s = time.monotonic()

    @property
    def pixels(self) -> int:
        """Number of pixels of its picture."""
        return int(np.prod(self.task.pixels.shape[:2]))


class EditorServer:
    """The editing service.

    Args:
        make_editor: Constructs the editor for a device; called once per device, in its worker's thread.
        name: Name of the backend.
        devices: PyTorch devices, one worker each.
        address: Address to bind; other interfaces than loopback need keys.
        keys: Folder with the server's CURVE keys; None: no encryption.
        queue_len: Largest number of waiting requests.

    Raises:
        ConfigError: An address that other machines reach, without keys; or missing keys.
    """

    def __init__(
        self,
        make_editor: Callable[[str], Editor],
        name: str,
        *,
        devices: Sequence[str] = ("cpu",),
        address: str = DEFAULT_ADDRESS,
        keys: Path | None = None,
        queue_len: int = DEFAULT_QUEUE_LEN,
    ) -> None:
        require_private(address, keys)
        self._make_editor, self._name, self._devices = make_editor, name, tuple(devices)
        self._address, self._queue_len = address, queue_len
        self._keys = None if keys is None else server_keys(keys)
        self._jobs: collections.deque[_Job] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self._stop = threading.Event()
        self._n_ready = 0
        self._broken: GenedError | None = None
        self._in_work = 0
        self._latencies_s: collections.deque[float] = collections.deque(maxlen=N_LATENCIES)
        self._counts: collections.Counter[str] = collections.Counter()
        self._begun_s = time.monotonic()
        self._context: zmq.Context[Any] = zmq.Context()
        self._answers = f"inproc://answers-{id(self)}"

    def serve(self, stop: threading.Event, on_ready: Callable[[str], None] | None = None) -> None:
        """Serve until `stop` is set; then finish running edits and refuse waiting requests.

        Args:
            stop: Ends it.
            on_ready: Called with the address once all editors are loaded.

        Raises:
            LinkError: The address is in use.
            EditorError: An editor cannot be loaded.
        """
        self._stop = stop
        socket, collector = self._context.socket(zmq.ROUTER), self._context.socket(zmq.PULL)
        authenticator = None
        workers = [threading.Thread(target=self._work, args=(device,), daemon=True) for device in self._devices]
        try:
            authenticator = self._protect(socket)
            self._bind(socket)
            collector.bind(self._answers)
            for worker in workers:
                worker.start()
            self._move_messages(socket, collector, stop, on_ready)
        finally:
            self._close()
            self._finish(socket, collector, workers)
            if authenticator is not None:
                authenticator.stop()
            for each in (socket, collector):
                each.close(linger=500)
            self._context.term()

    def figures(self) -> dict[str, Any]:
        """Queue, latencies, memory and counts, for `gened editor status`."""
        with self._changed:
            waiting, in_work = len(self._jobs), self._in_work
        latencies = np.array(self._latencies_s or [0.0]) * 1e3
        found: dict[str, Any] = {
            "backend": self._name, "devices": list(self._devices), "ready": self._n_ready == len(self._devices),
            "uptime_s": round(time.monotonic() - self._begun_s, 1), "waiting": waiting, "in_work": in_work,
            "queue_len": self._queue_len, **{key: self._counts[key] for key in ("edited", "failed", "refused", "bad")},
            "latency_ms": {f"p{p}": round(float(np.percentile(latencies, p)), 1) for p in PERCENTILES},
            "peak_memory_mib": peak_memory_mib(),
        }  # fmt: skip
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            found["gpu_peak_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return found

    # The front thread

    def _protect(self, socket: zmq.Socket[Any]) -> ThreadAuthenticator | None:
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.rcvhwm = self._queue_len  # per client: a flood fills no memory
        socket.sndtimeo = 0  # never blocks on a client that does not read
        if self._keys is None:
            return None
        pair, clients = self._keys
        authenticator = ThreadAuthenticator(self._context, log=log)
        authenticator.start()
        authenticator.configure_curve(domain="*", location=str(clients))
        socket.curve_publickey, socket.curve_secretkey, socket.curve_server = pair.public, pair.secret, True
        return authenticator

    def _bind(self, socket: zmq.Socket[Any]) -> None:
        try:
            socket.bind(self._address)
        except zmq.ZMQError as error:
            raise LinkError(f"the editor cannot listen at {self._address}: {error.strerror}") from error

    def _move_messages(
        self,
        socket: zmq.Socket[Any],
        collector: zmq.Socket[Any],
        stop: threading.Event,
        on_ready: Callable[[str], None] | None,
    ) -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(collector, zmq.POLLIN)
        is_announced = False
        while not stop.is_set():
            events = dict(poller.poll(POLL_MS))
            if self._broken is not None:
                raise self._broken
            if not is_announced and self._n_ready == len(self._devices):
                is_announced = True
                if on_ready is not None:
                    on_ready(self._address)
            if collector in events:
                _send(socket, collector.recv_multipart())
            if socket in events:
                client, *frames = socket.recv_multipart()
                answer = self._on_message(client, frames)
                if answer is not None:
                    _send(socket, [client, *answer])

    def _on_message(self, client: bytes, frames: Frames) -> Frames | None:
        """The immediate answer to a message; None if a worker answers, or there is no answer."""
        try:
            ask = unpack_ask(frames)
        except NumberedError as error:
            self._counts["bad"] += 1
            return pack_refused(error.number, str(error))
        except MessageError as error:
            if not self._counts["bad"]:  # one line per flood; the figures have the count
                log.warning("a malformed message was dropped: %s", error)
            self._counts["bad"] += 1
            return None
        if ask.op == "ping":
            if self._n_ready < len(self._devices):
                return None  # still loading: the client pings again
            return pack_pong(ask.number, self._name, ",".join(self._devices))
        if ask.op == "figures":
            return pack_figures(ask.number, self.figures())
        assert ask.task is not None
        job = _Job(client, ask.number, ask.task)
        with self._changed:
            full = len(self._jobs) >= self._queue_len
            if full or sum(other.pixels for other in self._jobs) + job.pixels > MAX_QUEUED_PIXELS:
                self._counts["refused"] += 1
                return pack_refused(ask.number, f"the editor is busy: {len(self._jobs)} pictures wait already")
            self._jobs.append(job)
            self._changed.notify()
        return None

    def _close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _finish(self, socket: zmq.Socket[Any], collector: zmq.Socket[Any], workers: Sequence[threading.Thread]) -> None:
        """Answer running edits and refuse waiting requests."""
        with self._changed:
            left, self._jobs = list(self._jobs), collections.deque()
        for job in left:
            _send(socket, [job.client, *pack_refused(job.number, "the editor was ended")])
        deadline = time.monotonic() + 10.0
        while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
            if collector.poll(50):
                _send(socket, collector.recv_multipart())
        with contextlib.suppress(zmq.ZMQError):
            while collector.poll(0):
                _send(socket, collector.recv_multipart())

    # A worker

    def _work(self, device: str) -> None:
        try:
            editor = self._make_editor(device)
        except GenedError as error:
            self._broken = error
            return
        except Exception as error:  # an error of the library, such as a missing model
            self._broken = EditorError(f"the editor {self._name} cannot be made: {' '.join(str(error).split())}")
            return
        with self._changed:
            self._n_ready += 1
        with self._context.socket(zmq.PUSH) as answers:
            answers.connect(self._answers)
            while jobs := self._next(editor.max_batch):
                for job, answer in zip(jobs, self._edited(editor, jobs), strict=True):
                    answers.send_multipart([job.client, *answer])
                with self._changed:
                    self._in_work -= len(jobs)

    def _next(self, max_batch: int) -> list[_Job]:
        """Wait for requests: the oldest and others of its size; empty when the server closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            if self._closing or self._stop.is_set():  # `_closing` follows within POLL_MS
                return []
            size = self._jobs[0].task.pixels.shape
            taken = [job for job in self._jobs if job.task.pixels.shape == size][:max_batch]
            for job in taken:
                self._jobs.remove(job)
            self._in_work += len(taken)
            return taken

    def _edited(self, editor: Editor, jobs: Sequence[_Job]) -> list[Frames]:
        try:
            requests = [job.task.request() for job in jobs]
            edited = check_edited(editor.edit_batch(requests), len(requests), requests[0])
            found = [EditResult.of(one) for one in edited]
        except Exception as error:  # a model may raise any error; the service continues
            reason = one_line(error)
            log.warning("%d pictures were not edited: %s", len(jobs), reason)
            self._counts["failed"] += len(jobs)
            return [pack_refused(job.number, reason) for job in jobs]
        now_s = time.monotonic()
        self._latencies_s.extend(now_s - job.since_s for job in jobs)
        self._counts["edited"] += len(jobs)
        return [pack_edited(job.number, result) for job, result in zip(jobs, found, strict=True)]


def require_private(address: str, keys: Path | None) -> None:
    """Check that an address is loopback, or that keys protect it.

    Raises:
        ConfigError: Neither.
    """
    host = "127.0.0.1" if address.startswith("ipc://") else split_address(address)[0]
    if keys is None and host not in LOOPBACK:
        raise ConfigError(
            f"{address} can be reached from other machines: give --keys DIR, which gened editor keys DIR makes"
        )


def _send(socket: zmq.Socket[Any], frames: Sequence[bytes]) -> None:
    """Send without blocking; the answer is dropped if the client is gone or does not read."""
    try:
        socket.send_multipart(frames)
    except zmq.ZMQError as error:
        log.warning("an answer was dropped: %s", error.strerror)
