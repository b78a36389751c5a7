# SPDX-License-Identifier: GPL-3.0-or-later
"""The link as its users start it: one command for all three processes, and a command each."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")

from waiting import wait_for

from gened.link.control import free_ports
from gened.models.data.images import load_image
from gened.reports.report import Report

CAPTION = "two colours and their border, für Ünïcode"
LIMIT_S = 100.0
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
"""Characters that move a cursor or change a colour."""
SENDER = ("--codec", "softcast", "--caption", CAPTION, "--rate", "1/12")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A smooth picture with an edge, so that PSNR says something."""
    y, x = np.mgrid[0:96, 0:128]
    picture = np.stack([2 * x, 255 - 2 * y, np.where(x > y, 220, 40)], axis=2)
    path = tmp_path / "photo.png"
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands; whatever a test left running is ended."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gened", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def descendants(pid: int) -> dict[int, str]:
    """Process ids and command lines of all that a process has started, and of what those have."""
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                found |= descendants(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_listening(address: str) -> bool:
    """Whether a program listens at an address of this machine; a connection would take samples from the receiver."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(port) and row[3] == "0A" for row in rows)


def test_loopback_leaves_pictures_and_a_report_and_prints_nothing_but_json(
    start: Start, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start("loopback", str(photo), *SENDER, "--frames", "2", "--speed", "0", "--out", str(out), "--json")
    printed, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, told
    assert not CONTROL.search(told)  # neither stream is a terminal
    assert Report.model_validate_json(printed) == Report.model_validate_json((out / "report.json").read_text())
    frames = json.loads(printed)["frames"]
    assert [(frame["frame"], frame["caption"], frame["crc_ok"]) for frame in frames] == [
        (0, CAPTION, True),
        (1, CAPTION, True),
    ]
    for frame in frames:
        assert frame["psnr_db"] > 25 and abs(frame["snr_est_db"] - 10) < 1.5 and abs(frame["cfo_est_hz"] - 2000) < 50
        assert frame["analog_symbols"] + frame["side_symbols"] <= 96 * 128 * 3 // 12
        assert load_image(out / frame["received"]).shape == load_image(out / frame["sent"]).shape == (96, 128, 3)
    for name in ("sent.png", "received.png", "side_by_side.png", "constellation.png"):
        assert load_image(out / name).std() > 1
    assert json.loads(printed)["meta"]["command"].startswith("gened loopback")


def test_figures_of_a_running_link_are_lines_of_json(start: Start, photo: Path, tmp_path: Path) -> None:
    command = ("loopback", str(photo), *SENDER, "--frames", "8", "--interval", "0.2", "--out", str(tmp_path / "out"))
    process = start(*command, "--drop-burst", "2", "--drop-burst", "3", "--live", "json")
    printed, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, told
    figures = [json.loads(line) for line in printed.splitlines()]
    assert [one["n_received"] for one in figures] == sorted(one["n_received"] for one in figures)
    assert not figures[0]["is_synchronised"] and figures[0]["snr_est_db"] is None
    last = figures[-1]
    assert (last["n_received"], last["n_lost"], last["loss"]) == (6, 2, 0.25)
    assert any(one["is_synchronised"] for one in figures)
    assert abs(last["cfo_est_hz"] - 2000) < 100 and abs(last["snr_est_db"] - 10) < 2
    assert not CONTROL.search(told) and "6 of 8 frames received" in told
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["meta"]["dropped_bursts"] == [{"frame": 2, "burst": 0}, {"frame": 3, "burst": 0}]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_however_loopback_ends_it_leaves_no_process_behind(
    start: Start, photo: Path, tmp_path: Path, number: int, code: int
) -> None:
    process = start("loopback", str(photo), *SENDER, "--frames", "1000", "--out", str(tmp_path / "out"))
    wait_for(lambda: len(list((tmp_path / "out").glob("received-*.png"))) > 0, "no frame arrived")
    children = descendants(process.pid)
    assert len(children) >= 5  # transmitter, air, receiver, and the workers of two of them
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in told
    wait_for(lambda: not any(is_alive(pid) for pid in children), f"left behind: {children}", 15)
    if number == signal.SIGINT:
        assert told.splitlines()[-1] == "gened: interrupted by SIGINT"


def test_a_child_that_dies_ends_loopback_with_its_name(start: Start, photo: Path, tmp_path: Path) -> None:
    process = start("loopback", str(photo), *SENDER, "--frames", "1000", "--out", str(tmp_path / "out"))
    wait_for(lambda: len(list((tmp_path / "out").glob("received-*.png"))) > 0, "no frame arrived")
    children = descendants(process.pid)
    victim = next(pid for pid, command in children.items() if "gened.link.child" in command)
    os.kill(victim, signal.SIGKILL)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 9
    assert re.fullmatch(r"gened: the process of '(air|transmit|receive)' died \(.*\)", told.strip())
    wait_for(lambda: not any(is_alive(pid) for pid in children), f"left behind: {children}", 15)


def test_a_port_in_use_is_told_before_anything_starts(start: Start, photo: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("loopback", str(photo), *SENDER, "--port", str(port), "--out", str(tmp_path / "out"))
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 7
    assert told.startswith(f"gened: tcp://127.0.0.1:{port} is in use") and len(told.strip().splitlines()) == 1


def test_no_frame_within_the_limit_has_an_exit_code_of_its_own(start: Start, tmp_path: Path) -> None:
    tx, tx_control, rx, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    start("air", "--tx", tx, "--tx-control", tx_control, "--rx", rx, "--rx-control", rx_control, "--sample-rate", "1e5")
    wait_for(lambda: is_listening(rx), "the channel emulator does not listen")
    receive = (
        "receive",
        "--address",
        rx,
        "--control",
        rx_control,
        "--sample-rate",
        "1e5",
        "--out",
        str(tmp_path / "out"),
    )
    process = start(*receive, "--timeout", "10")
    _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 8
    assert "no frame within 10 s among" in told.splitlines()[-1]


def test_three_commands_in_three_terminals_and_a_receiver_restarted(start: Start, photo: Path, tmp_path: Path) -> None:
    """The receiver is there first, dies while frames come, and another takes over."""
    tx, tx_control, rx, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    receive = ("receive", "--address", rx, "--control", rx_control)
    first = start(*receive, "--out", str(tmp_path / "first"), "--live", "json")
    start("air", "--tx", tx, "--tx-control", tx_control, "--rx", rx, "--rx-control", rx_control, "--snr", "15")
    start(
        "transmit",
        str(photo),
        *SENDER,
        "--frames",
        "1000",
        "--interval",
        "0.3",
        "--address",
        tx,
        "--control",
        tx_control,
    )
    assert first.stdout is not None
    figures = next(figures for figures in map(json.loads, first.stdout) if figures["n_received"])
    assert figures["since_burst_s"] is not None and figures["snr_est_db"] > 12
    assert figures["evm_db"] == pytest.approx(-figures["snr_est_db"], abs=3)
    first.kill()
    assert not CONTROL.search(first.communicate(timeout=LIMIT_S)[1])
    second = start(*receive, "--out", str(tmp_path / "second"), "--frames", "2", "--json")
    printed, told = second.communicate(timeout=LIMIT_S)
    assert second.returncode == 0, told
    frames = json.loads(printed)["frames"]
    assert len(frames) >= 2 and all(frame["caption"] == CAPTION for frame in frames if frame["crc_ok"])
    assert sum(frame["crc_ok"] is True for frame in frames) >= 2
    assert (tmp_path / "second" / "side_by_side.png").is_file() and (tmp_path / "second" / "report.json").is_file()
    meta = json.loads((tmp_path / "second" / "report.json").read_text())["meta"]
    assert (meta["codec"], meta["rate"], meta["channel"]) == ("softcast", "1/12", None)
