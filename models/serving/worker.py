# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process a side: networks run here, never in the process that feeds a radio.

    caller --submit()--> bounded queue --one job at a time--> child process --callback--> caller

Drop policy: a job that finds the queue full is refused (`submit` returns False) and counted in `stats.n_refused`; the
jobs that are already in wait keep their order. Nothing else is ever dropped: an exception in the child, a child that
dies and a job that runs over its time all come back as a `JobResult` whose `error` says so.

The child is a fresh interpreter (`python -m gened.models.serving.worker`) with a private socket pair. It does not
import the caller's `__main__`, as `multiprocessing` would, so a script of a user or of GNU Radio Companion needs no
guard, and Qt is never loaded twice. It leaves when its parent has gone, whatever it is computing at the time.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from gened.errors import GenedError, LinkError
from gened.paths import child_environment

DEFAULT_QUEUE_LEN = 8
DEFAULT_TIMEOUT_S = 120.0  # a 4096x4096 picture takes some 20 s through a network on one core
REFINE_STEP_S = 30.0  # a gradient step of `gened` takes a core 1 s at 512x768; pictures are larger and machines busy
PARENT_POLL_S = 0.5
NICENESS = 5  # the radio's process goes first
CODEC_SERVICE = "gened.models.serving.codec_service:CodecService"

Failure = tuple[str, str | None]
"""Why a job has no value, as it crosses from the child to the caller: one line, and the error's code."""


def encode_limit_s(refine_steps: int) -> float:
    """How long a picture may be in an encoder that spends so many gradient steps on it."""
    return DEFAULT_TIMEOUT_S + REFINE_STEP_S * refine_steps


@dataclass(frozen=True)
class JobResult:
    """What became of one job; exactly one of these arrives for each job that was accepted."""

    job_id: int
    tag: Any
    """What the caller gave to `submit`, untouched; it never travels to the child."""
    value: Any
    """What the method returned; None when it failed."""
    error: str | None
    """One line for a person, None when all went well."""
    elapsed_ms: float
    """Wall-clock milliseconds from hand-over to the child until its answer."""
    error_code: str | None = None
    """What kind of error, see `gened.errors.GenedError.code`; None when it has no code."""


@dataclass
class WorkerStats:
    """Counters since the worker was made."""

    n_accepted: int = 0
    n_refused: int = 0
    """Jobs that found the queue full."""
    n_done: int = 0
    n_failed: int = 0
    """Jobs that came back with an error."""
    n_starts: int = 0
    """Child processes started; more than one means that one died or was stopped for its time."""


@dataclass(frozen=True)
class _Job:
    job_id: int
    method: str
    arguments: dict[str, Any]
    tag: Any
    callback: Callable[[JobResult], None]


class Worker:
    """A service object in a process of its own, with a bounded queue before it.

    Args:
        service: "module:class" of the object whose methods do the work; built once in the child with `options`.
        options: Keyword arguments of that class; must be picklable.
        queue_len: Jobs that may wait, besides the one in work.
        n_threads: Threads that PyTorch and BLAS may use in the child; half of the cores unless told.
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
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    # Life

    def start(self) -> None:
        """Starts the child now, so that the first job need not wait for imports. Idempotent; `submit` calls it too."""
        with self._changed:
            if self._thread is not None:
                return
            self._closing = False
            self._thread = threading.Thread(target=self._serve, name="gened-worker", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Ends the child and answers what was still waiting with an error. A later `start` or `submit` begins anew."""
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
        return child.pid if child is not None and child.poll() is None else None

    @property
    def n_pending(self) -> int:
        """Jobs waiting or in work."""
        with self._changed:
            return len(self._jobs) + self._busy

    # Work

    def submit(self, method: str, callback: Callable[[JobResult], None], *, tag: Any = None, **arguments: Any) -> bool:
        """Asks for `service.method(**arguments)`; never waits.

        Args:
            method: A public method of the service.
            callback: Called once with the result, on the worker's own thread; must not block for long.
            tag: Comes back in the result.
            **arguments: Keyword arguments, picklable.

        Returns:
            False when the queue was full: the job was refused and will not be answered.
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
        """`submit` and wait: for commands and tests, never for the radio side.

        Raises:
            LinkError: The queue was full, or the job failed; the message is the job's.
        """
        done: collections.deque[JobResult] = collections.deque()
        event = threading.Event()

        def answered(result: JobResult) -> None:
            done.append(result)
            event.set()

        if not self.submit(method, answered, **arguments):
            raise LinkError("the worker's queue is full; wait for earlier jobs")
        event.wait()
        if done[0].error is not None:
            raise LinkError(done[0].error)
        return done[0].value

    def drain(self, timeout_s: float) -> bool:
        """Waits until every accepted job is answered; False when that took longer than `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout_s)

    # The thread that feeds the child

    def _serve(self) -> None:
        me = threading.current_thread()
        with contextlib.suppress(LinkError):  # a job will meet the same error and carry it to the caller
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
            self._answer(job, None, ("the worker was closed before it came to this job", None), 0.0)

    def _answer(self, job: _Job, value: Any, failure: Failure | None, elapsed_ms: float) -> None:
        self.stats.n_done += failure is None
        self.stats.n_failed += failure is not None
        error, code = (None, None) if failure is None else failure
        try:
            job.callback(JobResult(job.job_id, job.tag, value, error, elapsed_ms, code))
        except Exception as exc:  # the caller's fault must not end the thread that serves everybody
            logging.getLogger(__name__).warning("callback failed: %r", exc)

    def _run(self, job: _Job) -> tuple[Any, Failure | None, float]:
        begin = time.monotonic()
        value: Any = None
        failure: Failure | None = None
        try:
            connection = self._start_child()
            connection.send((job.method, job.arguments))
            if not connection.poll(self._timeout_s):
                self._stop_child(grace_s=0.0)
                failure = (
                    f"the worker took longer than {self._timeout_s:g} s and was ended; a smaller picture may help",
                    None,
                )
            else:
                value, failure = connection.recv()
        except LinkError as exc:
            failure = (str(exc), exc.code)
        except (EOFError, OSError):
            failure = (f"the worker process died ({self._exit_text()}); the next job starts another", None)
            self._stop_child(grace_s=0.0)
        except (pickle.PicklingError, AttributeError, TypeError) as exc:  # arguments that cannot travel
            failure = (f"the job cannot be sent to the worker: {exc}", None)
        return value, failure, 1e3 * (time.monotonic() - begin)

    def _exit_text(self) -> str:
        child = self._child
        if child is None:
            return "closed"
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0)
        code = child.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def _start_child(self) -> Connection:
        """The connection to a living child, started if need be.

        Raises:
            LinkError: The child could not be started, or ended before it was ready.
        """
        if self._connection is not None and self.pid is not None:
            return self._connection
        self._stop_child(grace_s=0.0)
        if self._closing:
            raise LinkError("the worker was closed")
        ours, theirs = socket.socketpair()
        try:
            command = [
                sys.executable,
                "-m",
                "gened.models.serving.worker",
                "--fd",
                str(theirs.fileno()),
                "--parent",
                str(os.getpid()),
            ]
            self._child = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=2, pass_fds=[theirs.fileno()]
            )
        except OSError as exc:
            ours.close()
            raise LinkError(f"cannot start the worker process: {exc}") from exc
        finally:
            theirs.close()
        self.stats.n_starts += 1
        self._connection = Connection(ours.detach())
        self._connection.send((self._service, self._options))
        return self._connection

    def _environment(self) -> dict[str, str]:
        """The caller's environment with the thread caps, and with the folder that this very package was loaded from."""
        threads = {f"{name}_NUM_THREADS": str(self._n_threads) for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
        return child_environment(threads)

    def _stop_child(self, grace_s: float) -> None:
        """Closes the connection, which a waiting child takes as its end; a busy one is killed."""
        connection, self._connection = self._connection, None
        child = self._child
        if child is not None and grace_s == 0.0 and child.poll() is None:
            child.kill()
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
        if child is None:
            return
        try:
            child.wait(grace_s or 2.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


# The child's side


def _leave_with_parent(parent_pid: int) -> None:
    """Ends this process when its parent has gone, even in the middle of a computation."""
    while os.getppid() == parent_pid:
        time.sleep(PARENT_POLL_S)
    os._exit(0)


def _one_line(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return text if isinstance(exc, GenedError) else f"{type(exc).__name__}: {text}"


def _failure(exc: BaseException) -> Failure:
    return _one_line(exc) or type(exc).__name__, exc.code if isinstance(exc, GenedError) else None


def _cap_threads() -> None:
    """Libraries read the environment; PyTorch, once loaded, is told as well."""
    torch = sys.modules.get("torch")
    n_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    if torch is not None and torch.get_num_threads() > n_threads:
        torch.set_num_threads(n_threads)


def _build(service: str, options: Mapping[str, Any]) -> Any:
    module, _, name = service.partition(":")
    return getattr(importlib.import_module(module), name)(**options)


def _answer_jobs(connection: Connection) -> None:
    """Receives (method, arguments), sends (value, failure), until the other end closes."""
    service, options = connection.recv()
    target: Any = None
    broken: Failure | None = None
    try:
        target = _build(service, options)
    except Exception as exc:  # told with every job, so that the caller sees the cause and not a dead process
        broken = _failure(exc)
    while True:
        method, arguments = connection.recv()
        value, failure = None, broken
        if broken is None:
            try:
                if method.startswith("_"):
                    raise AttributeError(f"{method} is not a public method of the service")
                value = getattr(target, method)(**arguments)
                _cap_threads()
            except Exception as exc:
                failure = _failure(exc)
        try:
            connection.send((value, failure))
        except (pickle.PicklingError, TypeError, AttributeError) as exc:
            connection.send((None, (f"the answer cannot be sent: {_one_line(exc)}", None)))


def main() -> None:
    """The child's entry point."""
    parser = argparse.ArgumentParser(description="Worker process of gened; started by the programs that need it.")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when this ends
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    threading.Thread(target=_leave_with_parent, args=(arguments.parent,), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        _answer_jobs(Connection(arguments.fd))
    os._exit(0)  # no destructors of libraries: the pictures are sent, there is nothing to save


if __name__ == "__main__":
    main()
