# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that outlives a transmitter's and mutes its Pluto when that one was killed: `python -m ... ADDRESS`.

    transmitter --- pipe ---> guard
        ends in order: "released" is written, the guard leaves
        is killed, aborts: the pipe ends without a word, the guard sets the lowest gain and stops the oscillator

A pulled cable or a machine that hangs is beyond it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from gened.hw_config.profile import LOWEST_PLUTO_GAIN_DB
from gened.paths import child_environment

RELEASED = b"released"
TRIES, PAUSE_S = 5, 1.0
"""A radio whose connection was just torn may need a moment."""


class MuteGuard:
    """Started before a gain is raised.

    Args:
        address: Of the radio, as libiio takes it.

    Raises:
        OSError: No process can be started.
    """

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gened.flowgraphs.radios.mute_guard", address],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=child_environment(),
        )  # fmt: skip

    def release(self) -> None:
        """The radio is mute: nothing is left to do."""
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.write(RELEASED)
        with contextlib.suppress(OSError):
            pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)


def mute(address: str) -> None:
    """Lowest gain, oscillator off, both read back.

    Raises:
        Exception: Whatever libiio raises; RuntimeError when the radio says something else.
    """
    import iio

    phy = iio.Context(address).find_device("ad9361-phy")
    gain = phy.find_channel("voltage0", True).attrs["hardwaregain"]
    gain.value = str(LOWEST_PLUTO_GAIN_DB)
    phy.find_channel("altvoltage1", True).attrs["powerdown"].value = "1"
    if abs(float(gain.value.split()[0]) - LOWEST_PLUTO_GAIN_DB) > 0.3:
        raise RuntimeError(f"its gain is {gain.value}")


def guard(address: str, mute: Callable[[str], None] = mute, pause_s: float = PAUSE_S) -> str:
    """Waits for the end of stdin; mutes unless that was in order.

    Returns:
        What to tell; empty when there was nothing to do.
    """
    told = b""
    while part := os.read(0, 64):
        told += part
    if told == RELEASED:
        return ""
    reason: Exception | None = None
    for number in range(TRIES):
        time.sleep(pause_s if number else 0.0)
        try:
            mute(address)
        except Exception as exc:  # libiio raises what it likes
            reason = exc
        else:
            return f"gened: the transmitter was killed; {address} has been muted"
    return f"gened: the transmitter was killed and {address} COULD NOT BE MUTED ({reason}); unplug it"


def main() -> None:
    """The entry point of the process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever ends us with the transmitter would undo our purpose
    if line := guard(sys.argv[1]):
        sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
