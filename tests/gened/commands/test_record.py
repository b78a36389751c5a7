# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened record` and `gened receive --from` as a shell sees them: Ctrl-C loses nothing, a mistake is one line."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

pytest.importorskip("gnuradio", reason="a recording is made by a flowgraph")

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.reader import read_recording
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.link.control import ControlSocket, Status, free_ports
from tests.support.waiting import wait_for

CAPTION = "words alone"
CHUNK_LEN = 8000
N_CHUNKS = 200
N_CHUNKS_KEPT = 60
"""In the file before the interrupt; the others may be anywhere between the sockets and the file."""


def chunks() -> Iterator[bytes]:
    """Noise with one burst of words in its second chunk."""
    text = pack_records(Records(caption=CAPTION))
    frame = Frame(1, 2, 3, ImageSize(64, 64), Fraction(1, 24), 10.0, Encoded(np.zeros(0, np.complex64)), text)
    (burst,) = modulate_frame(frame)
    rng = np.random.default_rng(1)
    for number in range(N_CHUNKS):
        samples = complex_noise(rng, CHUNK_LEN, 0.05)
        if number == 1:
            samples[100 : 100 + len(burst)] += burst
        yield samples.tobytes()


@pytest.fixture
def air() -> Iterator[tuple[str, Any]]:
    """A socket that gives samples, as the air's."""
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, 32)
    socket.setsockopt(zmq.SNDTIMEO, 60_000)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield f"tcp://127.0.0.1:{port}", socket
    context.destroy(linger=0)


def test_ctrl_c_leaves_a_whole_recording_with_its_bursts(air: tuple[str, Any], tmp_path: Path) -> None:
    address, socket = air
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gened", "record", "--out", str(tmp_path / "a.sigmf-meta"), "--quiet", "--json",
               "--address", address, "--control", f"tcp://127.0.0.1:{port}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        sent = b""
        for chunk in chunks():
            socket.send(chunk)
            sent += chunk
        data = tmp_path / "a.sigmf-data"
        n_bytes_kept = 8 * N_CHUNKS_KEPT * CHUNK_LEN
        wait_for(lambda: data.exists() and data.stat().st_size >= n_bytes_kept, "the recording does not grow")
        n_bytes_before = data.stat().st_size
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip() == "gened: interrupted by SIGINT"
    found = read_recording(tmp_path / "a")
    assert np.asarray(found.samples).tobytes() == sent[: 8 * len(found.samples)]
    assert 8 * len(found.samples) >= n_bytes_before
    (burst,) = found.annotations
    assert abs(burst.start - CHUNK_LEN - 100) <= 2
    assert (burst.crc_ok, burst.caption) == (True, CAPTION)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """The one line of a command that fails."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def begin(*arguments: str) -> str:
        assert main(arguments) != 0
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gened: ")]
        assert len(lines) == 1
        return lines[0]

    yield begin
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("receive", "--from", "DIR/none.sigmf-meta"), "none.sigmf-meta: No such file or directory"),
        (("receive", "--from", "DIR/a.sigmf-meta", "--radio", "pluto"), "--from reads a recording, so --radio says"),
        (("receive", "--from", "DIR/a.sigmf-meta", "--sample-rate", "2e6"), "so --sample-rate says nothing"),
        (("receive", "--from", "DIR/a.sigmf-meta", "--until-end"), "so --until-end says nothing"),
        (("record", "--out", "DIR/a.sigmf-meta"), "a.sigmf-meta exists; choose another name, or add --overwrite"),
        (("record", "--out", "DIR/b", "--datatype", "wav"), "recordings hold cf32_le or ci16_le"),
        (("record", "--out", "DIR/b", "--radio", "pluto", "--tap", "tcp://127.0.0.1:9"), "leave one of them out"),
        (("record", "--out", "DIR/b", "--tap", "nowhere"), "is no ZMQ address"),
        (("record", "--out", "DIR/b.sigmf"), "is an archive"),
    ],
)
def test_a_mistake_is_one_line(
    refused: Callable[..., str], arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    writer = RecordingWriter(tmp_path / "a", RecordingInfo(sample_rate=1e6))
    writer.open()
    writer.write(np.ones(1000, np.complex64))
    writer.close()
    assert message in refused(*(word.replace("DIR", str(tmp_path)) for word in arguments))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_wrong_sample_rate_is_known_from_the_air_and_leaves_no_file(
    air: tuple[str, Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    address, socket = air
    (port,) = free_ports(1)
    context: zmq.Context[Any] = zmq.Context()
    control = ControlSocket(context, zmq.PUB, f"tcp://127.0.0.1:{port}", binds=True)
    is_over = threading.Event()

    def tell() -> None:
        while not is_over.wait(0.05):
            control.send(Status(sample_rate=2e6, channel="awgn", snr_db=10, freq_offset_hz=0, sfo_ppm=0))
            with contextlib.suppress(zmq.Again):  # nobody is there yet
                socket.send(bytes(800), zmq.NOBLOCK)

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        line = refused("record", "--out", str(tmp_path / "a"), "--address", address, "--control",
                       f"tcp://127.0.0.1:{port}", "--quiet")  # fmt: skip
    finally:
        is_over.set()
        thread.join()
        context.destroy(linger=0)
    assert "give --sample-rate 2e+06" in line
    assert list(tmp_path.iterdir()) == []
