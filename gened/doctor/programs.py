# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that are given so much time and no more; and our own `probe`, which runs what may hang or crash."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gened.paths import child_environment

MAX_BYTES = 1 << 20
"""Of a program's output that are looked at."""


class ProbeError(Exception):
    """A probe failed, crashed or took too long; `str()` of it is the reason.

    Args:
        reason: One line.
        remedy: What to do, where whoever failed knew it.
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
    """None: it is not installed, or took too long."""
    problem: str
    """Why there is no result, empty where it came to its end (whatever its exit code)."""


def run_program(
    command: Sequence[str], timeout_s: float, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Outcome:
    """Runs a program to its end, or to the end of its time; it and what it started are gone afterwards.

    Args:
        command: Program and arguments; without a folder it is looked for on PATH.
        timeout_s: How long it may take.
        stdin: What it may read.
        environment: In place of this process's own.
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
                os.killpg(process.pid, signal.SIGKILL)  # also what it has left behind
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # one that hangs in its driver cannot be killed; it is left to the system
        return Outcome(_text(out), _text(err), None if problem else process.returncode, problem)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read(MAX_BYTES).decode("utf-8", "replace"))


def probe(name: str, arguments: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """What a function of `gened.doctor.probe` found, in a process of its own.

    Args:
        name: A key of its `PROBES`.
        arguments: Plain values.
        timeout_s: How long it may take.

    Raises:
        ProbeError: It failed, crashed or took too long.
    """
    command = [sys.executable, "-m", "gened.doctor.probe", name]
    outcome = run_program(command, timeout_s, stdin=json.dumps(arguments).encode(), environment=_environment())
    if outcome.problem:
        raise ProbeTimeout(outcome.problem)
    try:
        answer = json.loads(outcome.out)
    except ValueError as error:
        raise ProbeError(_how_it_ended(outcome)) from error
    if "error" in answer:
        raise ProbeError(str(answer["error"]), str(answer.get("remedy", "")))
    return dict(answer)


def _how_it_ended(outcome: Outcome) -> str:
    code = outcome.code
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    lines = [line.strip() for line in outcome.err.splitlines() if line.strip()]
    return f"its process ended with {how}" + (f": {lines[-1][:200]}" if lines else "")


def _environment() -> dict[str, str]:
    """This process's, with the folder that this very package was loaded from, and one thread for each library."""
    return child_environment({"OMP_NUM_THREADS": "1"})
