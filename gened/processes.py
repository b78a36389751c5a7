# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes: fresh interpreters, each of which runs one function of this program and exchanges messages with it.

    parent                                             child: python -m gened.processes MODULE:FUNCTION ...
    ChildProcess(target, argument) --- socket pair --- function(parent, argument)

- The child does not import the caller's `__main__`, as `multiprocessing` would, so a script of a user or of GNU Radio
  Companion needs no guard, and Qt is never loaded twice. It imports the `gened` of its parent.
- It runs in a session of its own: Ctrl-C on a terminal reaches the parent alone, which decides when its children end.
- It ends when its parent has died, whatever it computes at that moment, unless it is made to outlive it.
- Its stdout is the parent's stderr, or its log, so nothing that a library prints mixes with the output of a command.
- An exception that the function raises reaches the parent as one line with the names of its classes.

Messages are bounded. Pickled messages are for ends that trust each other; a parent reads JSON from a child that
processes hostile data.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, BinaryIO

from gened.errors import GenedError, LinkError, MissingPackageError
from gened.paths import child_environment

MAX_PICKLE = 2**30
"""Bytes of a pickled message: a picture of 4096x4096 as float32 has 200 MB."""
MAX_JSON = 2**22
"""Bytes of a JSON message."""
PARENT_POLL_S = 0.5
"""Period at which a child checks that its parent is alive, where the closed socket does not show it."""
LOG_TAIL = 2000
"""Bytes at the end of a log in which its last line is looked for."""
MISSING = re.compile(r"No module named '([\w.]+)'")
KILL_S = 2.0
"""Time for a killed process to disappear."""


def one_line(exc: BaseException) -> str:
    """The message of an exception as one line; errors that are not of this program begin with their class."""
    return Failure.of(exc).line


def is_debugging() -> bool:
    """Whether tracebacks and logs of child processes are shown (GENED_DEBUG=1)."""
    return os.environ.get("GENED_DEBUG") == "1"


# Messages


class ChannelClosedError(EOFError):
    """The other end of a channel sends no more messages."""


class Channel:
    """One end of a private socket pair that carries whole messages.

    Any thread may send; one thread receives.

    Args:
        connection: This end; the channel closes it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Sends a pickled message.

        Raises:
            OSError: The other end has gone.
            Exception: The message cannot be pickled.
        """
        self.send_bytes(pickle.dumps(message))

    def receive(self) -> Any:
        """The next pickled message; waits for it.

        Raises:
            ChannelClosedError: The other end sends no more, or the connection broke.
            OSError: The message is longer than `MAX_PICKLE`.
        """
        return pickle.loads(self.receive_bytes(MAX_PICKLE))

    def send_json(self, message: Mapping[str, Any]) -> None:
        """Sends a JSON object.

        Raises:
            OSError: The other end has gone.
            TypeError, ValueError: The message is no JSON, or longer than `MAX_JSON`.
        """
        data = json.dumps(message).encode()
        if len(data) > MAX_JSON:
            raise ValueError(f"a message of {len(data)} bytes is too long to be sent")
        self.send_bytes(data)

    def receive_json(self) -> dict[str, Any]:
        """The next JSON object; waits for it. Keys of the same name are the same string.

        Raises:
            ChannelClosedError: The other end sends no more, or the connection broke.
            OSError: The message is longer than `MAX_JSON`.
            ValueError: The message is no JSON object.
        """
        message = json.loads(self.receive_bytes(MAX_JSON), object_pairs_hook=_with_shared_keys)
        if not isinstance(message, dict):
            raise ValueError("the message is no JSON object")
        return message

    def send_bytes(self, data: bytes) -> None:
        """Sends a message that is packed already.

        Raises:
            OSError: The other end has gone.
        """
        with self._lock:
            self._connection.send_bytes(data)

    def poll(self, timeout_s: float) -> bool:
        """Whether `receive` would return at once, or raise, within so many seconds."""
        return self._connection.poll(timeout_s)

    def fileno(self) -> int:
        """File descriptor of this end."""
        return self._connection.fileno()

    def end_sending(self) -> None:
        """Tells the other end that no more messages follow; what it sends can still be received."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes this end."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def receive_bytes(self, max_len: int) -> bytes:
        """The next message as it was packed; waits for it.

        Raises:
            ChannelClosedError: The other end sends no more, or the connection broke.
            OSError: The message is longer than `max_len`.
        """
        try:
            return self._connection.recv_bytes(max_len)
        except (EOFError, ConnectionError) as exc:  # reset: it left messages of ours unread when it ended
            raise ChannelClosedError("the other end of the channel has gone") from exc


def _with_shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Thousands of messages may be kept, and half of their memory would be their keys."""
    return {sys.intern(key): value for key, value in pairs}


def channel_pair() -> tuple[Channel, Channel]:
    """Two ends in one process."""
    first, second = socket.socketpair()
    return Channel(Connection(first.detach())), Channel(Connection(second.detach()))


# Errors


@dataclass(frozen=True)
class Failure:
    """An exception in a form that crosses from one process to another."""

    kind: str
    """Name of its class."""
    ours: tuple[str, ...]
    """Names of its classes that belong to this program, the most special one first; none for other exceptions."""
    text: str
    """Its message on one line; the name of its class where it has none."""
    code: str | None = None
    """Kind of error for programs, see `GenedError.code`."""

    @staticmethod
    def of(exc: BaseException) -> Failure:
        """The record of an exception."""
        kind = type(exc)
        ours = tuple(one.__name__ for one in kind.__mro__ if issubclass(one, GenedError))
        code = exc.code if isinstance(exc, GenedError) else None
        return Failure(kind.__name__, ours, " ".join(str(exc).split()) or kind.__name__, code)

    @property
    def line(self) -> str:
        """One line for the user; errors that are not of this program begin with their class."""
        return self.text if self.ours else f"{self.kind}: {self.text}"

    def to_message(self) -> dict[str, Any]:
        """A JSON object."""
        return {"failed": self.kind, "ours": list(self.ours), "text": self.text, "code": self.code}

    @staticmethod
    def from_message(message: Mapping[str, Any]) -> Failure | None:
        """The record in a JSON object; None where the object is something else."""
        if "failed" not in message:
            return None
        ours = message.get("ours")
        names = tuple(str(name) for name in ours) if isinstance(ours, list) else ()
        code = message.get("code")
        text = " ".join(str(message.get("text", "")).split())
        return Failure(str(message["failed"]), names, text, code if isinstance(code, str) else None)

    def error(self, otherwise: type[GenedError]) -> GenedError:
        """An exception to raise in this process: of the most special class that is loaded here.

        A package that the other process could not import is a `MissingPackageError`.

        Args:
            otherwise: Class where the exception is not of this program.
        """
        missing = MISSING.search(self.text) if self.kind == "ModuleNotFoundError" else None
        if missing is not None and not missing[1].startswith("gened"):
            return MissingPackageError.of(missing[1])
        known = {kind.__name__: kind for kind in _subclasses(GenedError)}
        return next((known[name] for name in self.ours if name in known), otherwise)(self.line)


def _subclasses(kind: type[GenedError]) -> Iterable[type[GenedError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _subclasses(below)


# The parent's side


class ChildProcess:
    """A process that runs one function: `function(parent, argument)`, see `Parent`.

    Args:
        target: "module:function", to be imported in the child.
        argument: Second argument of the function; must be picklable.
        grace_s: Time between the end of the channel, or of this process, and the end of the child whatever it does. 0:
            the child ends at once.
        outlives_parent: The child stays when this process has ended, and ignores the signals that end processes.
        has_log: Its stderr goes to a temporary file, of which `exit_text` shows the last line. Otherwise, and while
            debugging, it is the parent's.
        environment: Variables to set beside this process's.
        folder: Working folder; None: this process's.

    Raises:
        LinkError: It cannot be started.
    """

    def __init__(
        self,
        target: str,
        argument: object = None,
        *,
        grace_s: float = 0.0,
        outlives_parent: bool = False,
        has_log: bool = False,
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        if not hasattr(os, "killpg"):
            raise LinkError(
                "a link and its workers are processes in sessions of their own, which Windows lacks; run it under WSL"
            )
        content = pickle.dumps(argument)
        self._log: BinaryIO | None = None
        if has_log and not is_debugging():
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        ours, theirs = socket.socketpair()
        patience = "none" if outlives_parent else f"{grace_s:g}"
        command = [
            sys.executable, "-P", "-m", "gened.processes", target, str(theirs.fileno()), str(os.getpid()), patience,
        ]  # fmt: skip
        output = 2 if self._log is None else self._log.fileno()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[theirs.fileno()],
                env=child_environment(environment), cwd=folder, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            ours.close()
            self._close_log()
            raise LinkError(f"cannot start the process of {target}: {error}") from error
        finally:
            theirs.close()
        self.channel = Channel(Connection(ours.detach()))
        with contextlib.suppress(OSError):  # it has died already, which the parent will find
            self.channel.send_bytes(content)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> bool:
        """Whether the process ends within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, timeout_s))
            return True
        return False

    def exit_text(self) -> str:
        """How the process ended, with the last line of its log where it has one."""
        code = self._process.poll()
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}, {signal.strsignal(-code)}"
        line = self._last_line()
        return f"{how}: {line}" if line else how

    def kill(self) -> None:
        """Ends the process at once, with those that it has started and not ended."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self, deadline_s: float = 0.0) -> None:
        """Waits until `deadline_s` (monotonic), then kills; afterwards the process is gone and the channel closed.

        A process that hangs in a driver cannot be killed; it is left to the system.
        """
        if not self.wait(deadline_s - time.monotonic()):
            self.kill()
            self.wait(KILL_S)
        self.channel.close()
        self._close_log()

    def _last_line(self) -> str:
        if self._log is None or self._log.closed:
            return ""
        descriptor = self._log.fileno()  # the child writes at the position that they share, so it is not moved
        text = os.pread(descriptor, LOG_TAIL, max(0, os.fstat(descriptor).st_size - LOG_TAIL)).decode(
            "utf-8", "replace"
        )
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()


# The child's side


class Parent:
    """What a child's function knows of its parent.

    Args:
        channel: Messages to and from the parent.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stop = threading.Event()
        """Set when the parent sends no more messages or has died, and by SIGTERM or SIGINT where there is time left."""


def _watch(parent: Parent, pid: int, grace_s: float) -> None:
    """Ends this process when its parent has ended the channel or has died."""
    poll = select.poll()
    poll.register(parent.channel.fileno(), select.POLLRDHUP)
    while os.getppid() == pid and not poll.poll(1e3 * PARENT_POLL_S):
        pass
    parent.stop.set()
    time.sleep(grace_s)
    os._exit(1)


def _handle_signals(parent: Parent, grace_s: float | None) -> None:
    """SIGINT is the parent's. Who ends a child with its parent must not end one that outlives it for that very case."""
    if grace_s is None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    elif grace_s > 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: parent.stop.set())
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def load(target: str) -> Any:
    """The object that "module:name" means."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def main(target: str, descriptor: int, parent_pid: int, grace_s: float | None) -> None:
    """Runs a function as the child of `parent_pid` and ends this process; see `ChildProcess`."""
    parent = Parent(Channel(Connection(descriptor)))
    _handle_signals(parent, grace_s)
    if grace_s is not None:
        threading.Thread(target=_watch, args=(parent, parent_pid, grace_s), daemon=True).start()
    code = 0
    try:
        content = parent.channel.receive_bytes(MAX_PICKLE)
        load(target)(parent, pickle.loads(content))
    except ChannelClosedError:
        pass
    except BaseException as exc:  # a library's exit, too
        code = 1
        if is_debugging():
            sys.excepthook(type(exc), exc, exc.__traceback__)
        with contextlib.suppress(OSError):
            parent.channel.send_json(Failure.of(exc).to_message())
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)  # destructors of libraries have crashed before, and nothing is left to save


def _main() -> None:
    from gened.processes import main as run  # not this copy of the module, whose name is __main__

    if len(sys.argv) != 5:
        sys.exit("this process is started by gened itself")
    target, descriptor, parent_pid, patience = sys.argv[1:]
    run(target, int(descriptor), int(parent_pid), None if patience == "none" else float(patience))


if __name__ == "__main__":
    _main()
