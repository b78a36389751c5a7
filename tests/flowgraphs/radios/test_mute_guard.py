# SPDX-License-Identifier: GPL-3.0-or-later
"""A transmitter that is killed leaves a mute Pluto behind."""

from __future__ import annotations

import importlib
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from waiting import wait_for

from gened.flowgraphs.radios import mute_guard
from gened.flowgraphs.radios.mute_guard import RELEASED, guard
from gened.hw_config.profile import LOWEST_PLUTO_GAIN_DB
from gened.link.control import free_ports
from gened.processes import Channel, channel_pair

ADDRESS = "ip:192.0.2.1"


def ended(*messages: str) -> Channel:
    """The guard's end of a channel on which these messages came, and then its end."""
    ours, theirs = channel_pair()
    for message in messages:
        ours.send(message)
    ours.close()
    return theirs


def test_an_orderly_end_needs_no_muting() -> None:
    muted: list[str] = []
    assert guard(ADDRESS, ended(RELEASED), muted.append) == ""
    assert muted == []


@pytest.mark.parametrize("messages", [(), (RELEASED[:-1],), (RELEASED + "!",), (RELEASED, RELEASED)])
def test_any_other_end_mutes(messages: tuple[str, ...]) -> None:
    muted: list[str] = []
    assert "has been muted" in guard(ADDRESS, ended(*messages), muted.append)
    assert muted == [ADDRESS]


def test_a_transmitter_that_is_killed_while_it_writes_is_muted() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(len(pickle.dumps(RELEASED)).to_bytes(4, "big") + pickle.dumps(RELEASED)[:-2])
    ours.close()
    muted: list[str] = []
    guard(ADDRESS, Channel(Connection(theirs.detach())), muted.append)
    assert muted == [ADDRESS]


def test_a_radio_that_does_not_answer_at_once_is_asked_again_and_in_the_end_it_is_told() -> None:
    asked: list[str] = []

    def fails(address: str) -> None:
        asked.append(address)
        raise OSError("no route to host")

    line = guard(ADDRESS, ended(), fails, pause_s=0.0)
    assert len(asked) == mute_guard.TRIES
    assert "COULD NOT BE MUTED (no route to host); unplug it" in line


@pytest.fixture
def pluto(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A virtual Pluto's address, and its device as pyadi-iio sees it."""
    pytest.importorskip("gnuradio.iio", exc_type=ImportError)
    adi = pytest.importorskip("adi", reason="an extra: radio")
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "gened", "virtual-pluto", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None and "virtual Pluto" in server.stderr.readline()
        yield f"ip:127.0.0.1:{port}", adi.Pluto(f"ip:127.0.0.1:{port}")
        server.send_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_transmitter_that_is_ended_leaves_the_radio_mute(
    pluto: tuple[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    uri, device = pluto
    oscillator = importlib.import_module("iio").Context(uri).find_device("ad9361-phy")
    powerdown = oscillator.find_channel("altvoltage1", True).attrs["powerdown"]
    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(photo)
    command = [
        sys.executable, "-m", "gened", "transmit", str(photo), "--numpy", "--codec", "softcast", "--captioner", "none",
        "--radio", "virtual-pluto", "--set", f"address={uri}", "--set", "tx.gain_db=-20",
        "--frames", "1000", "--interval", "0.5",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sender:
        assert sender.stderr is not None
        wait_for(lambda: device.tx_hardwaregain_chan0 == -20, "the transmitter never began")
        assert powerdown.value.strip() == "0"
        time.sleep(1.2)  # GNU Radio 3.10.5's gr-iio hangs in its destructor when it ran for less than a second
        sender.send_signal(number)
        wait_for(lambda: device.tx_hardwaregain_chan0 == LOWEST_PLUTO_GAIN_DB, "its gain stayed")
        wait_for(lambda: powerdown.value.strip() == "1", "its oscillator runs")
        told = sender.stderr.read()
    assert ("has been muted" in told) == (number == signal.SIGKILL)
