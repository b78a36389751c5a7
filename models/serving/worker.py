# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process per side of the link: networks run in it, never in the process that feeds a radio.

    caller --submit()--> bounded queue --one job at a time--> child process --callback--> caller

Drop policy: a job that meets a full queue is refused (`submit` returns False) and counted in `stats.n_refused`; jobs
that wait already keep their order. Nothing else is dropped: an exception in the child, a child that dies and a job that
exceeds its time limit all come back as a `JobResult` whose `error` is the reason.

The child is a fresh interpreter, see `gened.processes`. It ends with its parent, whatever it computes at that moment.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gened.errors import LinkError
from gened.processes import ChannelClosedError, ChildProcess, Failure, Parent, load, one_line
from gened.threads import PASSIVE, limits

DEFAULT_QUEUE_LEN = 8
DEFAULT_TIMEOUT_S = 120.0  # a 4096x4096 picture takes some 20 s through a network on one core
REFINE_STEP_S = 30.0  # a gradient step of `gened` takes a core 1 s at 512x768; pictures are larger and machines busy
NICENESS = 5  # the radio's process goes first
CODEC_SERVICE = "gened.models.serving.codec_service:CodecService"
SERVE_JOBS = "gened.models.serving.worker:serve_jobs"


def encode_limit_s(refine_steps: int) -> float:
    """Time limit for encoding a picture with `refine_steps` gradient steps."""
    return DEFAULT_TIMEOUT_S + REFINE_STEP_S * refine_steps


class WorkerClosedError(LinkError):
    """The worker was closed before the job was done."""

    code = "worker-closed"


@dataclass(frozen=True)
class JobResult:
    """Result of one job; exactly one arrives for each job that was accepted."""

    job_id: int
    tag: Any
    """The tag given to `submit`, untouched; it is never sent to the child."""
    value: Any
    """Return value of the method; None when it failed."""
    error: str | None
    """One line for the user; None when the job succeeded."""
    elapsed_ms: float
    """Wall-clock milliseconds between sending the job to the child and receiving its answer."""
    error_code: str | None = None
    """Kind of error, see `gened.errors.GenedError.code`; None when it has no code."""


@dataclass
class WorkerStats:
    """Counters since the worker was constructed."""

    n_accepted: int = 0
    n_refused: int = 0
    """Jobs that met a full queue."""
    n_done: int = 0
    n_failed: int = 0
    """Jobs that came back with an error."""
    n_starts: int = 0
    """Child processes started; more than one means that one died or exceeded a time limit."""


@dataclass(frozen=True)
class _Job:
    job_id: int
    method: str
    arguments: dict[str, Any]
    tag: Any
    callback: Callable[[JobResult], None]


class Worker:
    """A service object in a process of its own, behind a bounded queue.

    Args:
        service: "module:class" of the object whose methods do the work; constructed once in the child with `options`.
        options: Keyword arguments of that class; must be picklable.
        queue_len: Jobs that may wait, besides the one in progress.
        n_threads: Threads that PyTorch and BLAS may use in the child; None: half of the cores.
        timeout_s: A job that takes longer is ended together with its child and comes back as an error.
    """

    def __init__(
        self,
        service: str = CODEC_SERVICE,
        options: Mapping[str, Any] | None = None,
        *,
        queue_len: int = DEFAULT_QUEUE_LEN,
        n_threads: int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        if queue_len < 1:
            raise LinkError(f"a worker's queue holds at least one job, not {queue_len}")
        self.stats = WorkerStats()
        self._service = service
        self._options = dict(options or {})
        self._queue_len = queue_len
        self._n_threads = n_threads or max(1, (os.cpu_count() or 2) // 2)
        self._timeout_s = timeout_s
        self._jobs: collections.deque[_Job] = collections.deque()
        self._changed = threading.Condition()
        self._busy = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._child: ChildProcess | None = None

    # Life

    def start(self) -> None:
        """Starts the child now, so that the first job does not wait for imports. Idempotent; `submit` calls it too."""
        with self._changed:
            if self._thread is not None:
                return
            self._closing = False
            self._thread = threading.Thread(target=self._serve, name="gened-worker", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Ends the child; jobs that still wait come back as errors. A later `start` or `submit` starts another."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._closing = True
            self._changed.notify_all()
        self._stop_child(grace_s=0.0 if self._busy else 0.5)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        child = self._child
        return None if child is None or child.has_ended() else child.pid

    @property
    def n_pending(self) -> int:
        """Jobs that wait or are in progress."""
        with self._changed:
            return len(self._jobs) + self._busy

    # Work

    def submit(self, method: str, callback: Callable[[JobResult], None], *, tag: Any = None, **arguments: Any) -> bool:
        """Queues a call of `service.method(**arguments)`; never waits.

        Args:
            method: A public method of the service.
            callback: Called once with the result, on the worker's own thread; must return soon.
            tag: Returned in the result.
            **arguments: Keyword arguments, picklable.

        Returns:
            False when the queue was full: the job was refused and has no result.
        """
        self.start()
        with self._changed:
            if len(self._jobs) >= self._queue_len:
                self.stats.n_refused += 1
                return False
            self._jobs.append(_Job(self.stats.n_accepted, method, arguments, tag, callback))
            self.stats.n_accepted += 1
            self._changed.notify_all()
        return True

    def call(self, method: str, **arguments: Any) -> Any:
        """`submit`, then wait for the result: for commands and tests, never for the side of the radio.

        Raises:
            LinkError: The queue was full, or the job failed; the message is that of the job.
        """
        done: collections.deque[JobResult] = collections.deque()
        event = threading.Event()

        def on_result(result: JobResult) -> None:
            done.append(result)
            event.set()

        if not self.submit(method, on_result, **arguments):
            raise LinkError("the worker's queue is full; wait for earlier jobs")
        event.wait()
        if done[0].error is not None:
            raise LinkError(done[0].error)
        return done[0].value

    def drain(self, timeout_s: float) -> bool:
        """Waits until every accepted job has its result; False when that takes longer than `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout_s)

    # The thread that feeds the child

    def _serve(self) -> None:
        me = threading.current_thread()
        with contextlib.suppress(LinkError):  # a job meets the same error and carries it to the caller
            self._start_child()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._thread is not me)
                if self._thread is not me:
                    left, self._jobs = list(self._jobs), collections.deque()
                    break
                job = self._jobs.popleft()
                self._busy = True
            self._answer(job, *self._run(job))
            with self._changed:
                self._busy = False
                self._changed.notify_all()
        for job in left:
            closed = WorkerClosedError("the worker was closed before it started this job")
            self._answer(job, None, Failure.of(closed), 0.0)

    def _answer(self, job: _Job, value: Any, failure: Failure | None, elapsed_ms: float) -> None:
        self.stats.n_done += failure is None
        self.stats.n_failed += failure is not None
        error, code = (None, None) if failure is None else (failure.line, failure.code)
        try:
            job.callback(JobResult(job.job_id, job.tag, value, error, elapsed_ms, code))
        except Exception as exc:  # a fault of one caller must not end the thread that serves all jobs
            logging.getLogger(__name__).warning("callback failed: %r", exc)

    def _run(self, job: _Job) -> tuple[Any, Failure | None, float]:
        begin = time.monotonic()
        value: Any = None
        failure: Failure | None = None
        try:
            channel = self._start_child().channel
            channel.send((job.method, job.arguments))
            if not channel.poll(self._timeout_s):
                self._stop_child(grace_s=0.0)
                limit = f"longer than {self._timeout_s:g} s"
                failure = _failed(f"the worker took {limit} and was ended; a smaller picture may help")
            else:
                value, failure = channel.receive()
        except LinkError as exc:
            failure = Failure.of(exc)
        except (EOFError, OSError, pickle.UnpicklingError) as exc:
            if self._closing:
                return None, Failure.of(WorkerClosedError(f"the worker was closed during this job ({exc})")), 0.0
            failure = _failed(f"the worker process died ({self._exit_text()}); the next job starts another")
            self._stop_child(grace_s=0.0)
        except (pickle.PicklingError, AttributeError, TypeError) as exc:  # arguments that cannot travel
            failure = _failed(f"the job cannot be sent to the worker: {exc}")
        return value, failure, 1e3 * (time.monotonic() - begin)

    def _exit_text(self) -> str:
        child = self._child
        if child is None:
            return "closed"
        child.wait(1.0)
        return child.exit_text()

    def _start_child(self) -> ChildProcess:
        """A living child, started where there is none.

        Raises:
            LinkError: It could not be started, or the worker was closed.
        """
        if self._child is not None and self.pid is not None:
            return self._child
        self._stop_child(grace_s=0.0)
        if self._closing:
            raise WorkerClosedError("the worker was closed")
        waiting = {name: os.environ.get(name, value) for name, value in PASSIVE.items()}
        environment = {**waiting, **limits(self._n_threads)}
        self._child = ChildProcess(SERVE_JOBS, (self._service, self._options), environment=environment)
        self.stats.n_starts += 1
        return self._child

    def _stop_child(self, grace_s: float) -> None:
        """Ends the child: one that is busy is killed, one that waits for a job has time to end."""
        child, self._child = self._child, None
        if child is None:
            return
        if grace_s > 0:
            child.channel.end_sending()
        child.close(time.monotonic() + grace_s)


def _failed(line: str) -> Failure:
    return Failure.of(LinkError(line))


# The child's side


def _cap_threads() -> None:
    """Caps PyTorch's threads, once it is loaded; other libraries read the environment."""
    torch = sys.modules.get("torch")
    n_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    if torch is not None and torch.get_num_threads() > n_threads:
        torch.set_num_threads(n_threads)


def serve_jobs(parent: Parent, service: tuple[str, Mapping[str, Any]]) -> None:
    """The worker process: receives (method, arguments) and sends (value, failure) until the channel is closed.

    Args:
        parent: See `ChildProcess`.
        service: "module:class" and its keyword arguments.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    channel = parent.channel
    target: Any = None
    broken: Failure | None = None
    try:
        target = load(service[0])(**service[1])
    except Exception as exc:  # sent with every job, so that the caller sees the cause and not a dead process
        broken = Failure.of(exc)
    with contextlib.suppress(ChannelClosedError, ConnectionError):
        while True:
            method, arguments = channel.receive()
            value, failure = None, broken
            if broken is None:
                try:
                    if method.startswith("_"):
                        raise AttributeError(f"{method} is not a public method of the service")
                    value = getattr(target, method)(**arguments)
                    _cap_threads()
                except Exception as exc:
                    failure = Failure.of(exc)
            try:
                channel.send((value, failure))
            except (pickle.PicklingError, TypeError, AttributeError) as exc:
                channel.send((None, _failed(f"the answer cannot be sent: {one_line(exc)}")))
