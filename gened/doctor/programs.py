# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs with a time limit; and `probe`, which runs a function that may hang or crash in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gened.processes import KILL_S, ChildProcess, Failure

RUN_PROBE = "gened.doctor.probe:run_probe"
MAX_BYTES = 1 << 20
"""Bytes of a program's output that are read."""
MAX_REASON = 400
"""Characters of the reason of a failed probe."""


class ProbeError(Exception):
    """A probe failed, crashed or took too long; `str()` of it is the reason.

    Args:
        reason: One line.
        remedy: What to do; empty where the failed function names nothing.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


class ProbeTimeout(ProbeError):  # noqa: N818 - a kind of error, whose name is long enough
    """It took too long."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    out: str
    err: str
    code: int | None
    """Exit code; None where the program is not installed or took too long."""
    problem: str
    """Why there is no result; empty where the program ended by itself, whatever its exit code."""


def run_program(
    command: Sequence[str], timeout_s: float, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Outcome:
    """Runs a program until it ends or its time limit is reached, then ends it with all that it has started.

    Args:
        command: Program and arguments; a program without a folder is searched for on PATH.
        timeout_s: Time limit.
        stdin: Content of its stdin.
        environment: Environment of the program; None: this process's.
    """
    if shutil.which(command[0]) is None:
        return Outcome("", "", None, f"{command[0]} is not installed")
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(command), stdin=given, stdout=out, stderr=err, start_new_session=True, env=environment, cwd="/"
            )
        except OSError as error:
            return Outcome("", "", None, f"{command[0]} cannot be started: {error.strerror or error}")
        problem = ""
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"no answer within {timeout_s:g} s"
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has left behind
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # a process that hangs in a driver cannot be killed; it is left to the system
        return Outcome(_text(out), _text(err), None if problem else process.returncode, problem)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read(MAX_BYTES).decode("utf-8", "replace"))


def probe(name: str, arguments: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Runs a function of `gened.doctor.probe` in a process of its own.

    Args:
        name: A key of its `PROBES`.
        arguments: Keyword arguments, plain values.
        timeout_s: Time limit.

    Returns:
        The answer of the function.

    Raises:
        ProbeError: It failed, crashed or took too long.
    """
    child = ChildProcess(
        RUN_PROBE, (name, dict(arguments)), has_log=True, environment={"OMP_NUM_THREADS": "1"}, folder="/"
    )
    try:
        if not child.channel.poll(timeout_s):
            raise ProbeTimeout(f"no answer within {timeout_s:g} s")
        answer = child.channel.receive_json()
    except (EOFError, OSError, ValueError) as error:
        child.wait(KILL_S)
        raise ProbeError(f"its process ended with {child.exit_text()[:MAX_REASON]}") from error
    finally:
        child.kill()  # with what it has left behind
        child.close()
    failure = Failure.from_message(answer)
    if failure is not None:
        what, _, remedy = failure.text.rpartition("; ") if failure.ours else (failure.text, "", "")
        raise ProbeError((what or failure.text)[:MAX_REASON], remedy if what else "")
    return answer
