# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that outlives a transmitter's and mutes its Pluto when that process was killed.

    transmitter --- channel ---> guard
        ends in order: it sends "released", and the guard ends
        is killed or aborts: the channel ends without a message; the guard sets the lowest gain and stops the oscillator

It cannot help where a cable is pulled or the machine hangs.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from gened.flowgraphs.radios.common import require_driver
from gened.hw_config.profile import LOWEST_PLUTO_GAIN_DB
from gened.processes import Channel, ChildProcess, Parent

RUN_GUARD = "gened.flowgraphs.radios.mute_guard:run_guard"
RELEASED = "released"
TRIES, PAUSE_S = 5, 1.0
"""Attempts to mute, and the pause between them: a radio whose connection was just torn may need a moment."""
END_S = 5.0
"""Time for a released guard to end."""


class MuteGuard:
    """The guard of one radio; to be constructed before a gain is raised.

    Args:
        address: Address of the radio, as libiio takes it.

    Raises:
        LinkError: No process can be started, or libiio's bindings are missing.
    """

    def __init__(self, address: str) -> None:
        require_driver("iio", "install them: pip install pylibiio")
        self._process = ChildProcess(RUN_GUARD, address, outlives_parent=True)

    def release(self) -> None:
        """Ends the guard: the radio is mute."""
        with contextlib.suppress(OSError):
            self._process.channel.send(RELEASED)
        self._process.channel.close()
        self._process.wait(END_S)


def mute(address: str) -> None:
    """Sets the lowest gain and stops the oscillator; reads the gain back.

    Args:
        address: Address of the radio.

    Raises:
        Exception: Any error of libiio; RuntimeError when the radio reports another gain.
    """
    import iio

    phy = iio.Context(address).find_device("ad9361-phy")
    gain = phy.find_channel("voltage0", True).attrs["hardwaregain"]
    gain.value = str(LOWEST_PLUTO_GAIN_DB)
    phy.find_channel("altvoltage1", True).attrs["powerdown"].value = "1"
    if abs(float(gain.value.split()[0]) - LOWEST_PLUTO_GAIN_DB) > 0.3:
        raise RuntimeError(f"its gain is {gain.value}")


def guard(address: str, channel: Channel, mute: Callable[[str], None] = mute, pause_s: float = PAUSE_S) -> str:
    """Waits until the channel ends; mutes the radio unless "released" was the only message.

    Returns:
        A line for the user; empty where there was nothing to do.
    """
    messages = []
    try:
        while True:
            messages.append(channel.receive())
    except Exception:  # it ended, or broke in the middle of a message
        if messages == [RELEASED]:
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


def run_guard(parent: Parent, address: str) -> None:
    """The process of the guard.

    Args:
        parent: See `ChildProcess`.
        address: Address of the radio.
    """
    if line := guard(address, parent.channel):
        sys.stderr.write(f"{line}\n")
