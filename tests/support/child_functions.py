# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that tests run in child processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gened.errors import CodecError
from gened.processes import ChannelClosedError, Parent


def echo(parent: Parent, argument: Any) -> None:
    """Sends its argument and then each message, until there are no more; then "over"."""
    try:
        message = argument
        while True:
            parent.channel.send(message)
            message = parent.channel.receive()
    except ChannelClosedError:
        parent.channel.send("over")


def chatter(parent: Parent, _: None) -> None:
    """Prints as a library does, from Python and to the file descriptor."""
    sys.stdout.write("from Python\n")
    sys.stdout.flush()
    os.write(1, b"from C\n")
    parent.channel.send_json({"cwd": os.getcwd(), "threads": os.environ.get("OMP_NUM_THREADS")})


def fail(parent: Parent, kind: str) -> None:
    """Raises."""
    if kind == "ours":
        raise CodecError("no such\n  codec")
    if kind == "exit":
        sys.exit(3)
    if kind == "die":
        sys.stderr.write("about to die\n")
        os._exit(7)
    raise KeyError(kind)


def linger(parent: Parent, path: str) -> None:
    """Notes its process id; notes, too, when its end is requested, and then goes on for ever."""
    Path(path).write_text(str(os.getpid()))
    parent.stop.wait()
    Path(path).with_suffix(".stopped").write_text("")
    time.sleep(600)  # it is to be killed


def outlive(parent: Parent, path: str) -> None:
    """Notes its process id, and when the channel has ended."""
    Path(path).write_text(str(os.getpid()))
    try:
        while True:
            parent.channel.receive()
    except ChannelClosedError:
        Path(path).with_suffix(".stopped").write_text("")


def talk(parent: Parent, n_bytes: int) -> None:
    """Sends that many bytes as one message of JSON, its bound set aside."""
    parent.channel.send_bytes(b'"' + b"x" * (n_bytes - 2) + b'"')


def start_another(parent: Parent, _: str) -> None:
    """Starts a program in its process group, sends its process id and goes on."""
    parent.channel.send(subprocess.Popen(["sleep", "600"]).pid)
    time.sleep(600)  # it is to be killed
