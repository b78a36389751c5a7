# SPDX-License-Identifier: GPL-3.0-or-later
"""Two virtual Plutos in a process of their own: gr-iio holds the interpreter while it waits for them."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from gened.link.control import free_ports

TIMEOUT_S = 60


@dataclass(frozen=True)
class Pair:
    """Where they are."""

    ports: tuple[int, int]

    @property
    def settings(self) -> dict[str, str]:
        """What makes the profile virtual-pluto send by the first and receive by the second."""
        sender, receiver = (f"ip:127.0.0.1:{port}" for port in self.ports)
        return {"address": sender, "rx.address": receiver}

    @property
    def options(self) -> list[str]:
        """The same for a command line."""
        return [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]

    def phy(self, name: str, attribute: str, *, is_output: bool) -> str:
        """An attribute of a channel of the sender's transceiver."""
        iio: Any = importlib.import_module("iio")

        context: Any = iio.Context(f"ip:127.0.0.1:{self.ports[0]}")
        return str(context.find_device("ad9361-phy").find_channel(name, is_output).attrs[attribute].value)

    def is_mute(self) -> bool:
        """Whether the sender has its largest attenuation and its oscillator is off."""
        gain = self.phy("voltage0", "hardwaregain", is_output=True)
        return gain.startswith("-89.75") and self.phy("altvoltage1", "powerdown", is_output=True) == "1"


@contextlib.contextmanager
def start_pair(*options: str) -> Iterator[Pair]:
    """A pair with the options of `gened virtual-pluto`."""
    process, port = _started(options)
    try:
        yield Pair((port, port + 1))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)


def _started(options: Sequence[str]) -> tuple[subprocess.Popen[str], int]:
    """The process, once it answers, and its first port."""
    for port in free_ports(10):
        command = [sys.executable, "-m", "gened", "virtual-pluto", "--pair", "--port", str(port), *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        if "virtual Pluto" in process.stderr.readline():
            return process, port
        process.communicate(timeout=TIMEOUT_S)  # the next port is somebody's
    raise AssertionError("no two free ports side by side")


@pytest.fixture(scope="session")
def virtual_pair() -> Callable[..., AbstractContextManager[Pair]]:
    """Starts a pair, as a context; skips where no client of a Pluto is installed."""
    for name in ("gnuradio.iio", "adi"):
        pytest.importorskip(name, reason="apt install gnuradio, pip install 'gr-gened[radio]'", exc_type=ImportError)
    return start_pair
