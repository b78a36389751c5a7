# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording in the air's place: every sample, once, at its own pace."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.reader import Recording, read_recording
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.link.control import PortInUseError, free_ports
from gened.link.replay import SILENCE_LEN, ReplayConfig, run_replay

RATE = 1e5
N_SAMPLES = 20_000


@pytest.fixture
def recording(tmp_path: Path, rng: np.random.Generator) -> Recording:
    writer = RecordingWriter(tmp_path / "a", RecordingInfo(sample_rate=RATE))
    writer.open()
    writer.write(complex_noise(rng, N_SAMPLES, 1.0))
    writer.close()
    return read_recording(tmp_path / "a")


@pytest.fixture
def address() -> str:
    return f"tcp://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def receiver(address: str) -> Iterator[Any]:
    context: zmq.Context[Any] = zmq.Context()
    puller = context.socket(zmq.PULL)
    puller.setsockopt(zmq.RCVTIMEO, 20_000)
    puller.connect(address)
    yield puller
    context.destroy(linger=0)


def heard(receiver: Any, n_samples: int) -> Any:
    parts: list[Any] = []
    while sum(map(len, parts)) < n_samples:
        parts.append(np.frombuffer(receiver.recv(), np.complex64))
    return np.concatenate(parts)


@pytest.mark.parametrize("repeats", [1, 3])
def test_every_sample_comes_in_order_and_silence_behind_them(
    recording: Recording, address: str, receiver: Any, repeats: int
) -> None:
    config = ReplayConfig(address=address, speed=0, repeats=repeats)
    sent: list[int] = []
    thread = threading.Thread(target=lambda: sent.append(run_replay(recording, config, stop=threading.Event())))
    thread.start()
    samples = heard(receiver, repeats * N_SAMPLES + SILENCE_LEN)
    thread.join(20)
    assert sent == [len(samples)]
    assert np.array_equal(samples[:-SILENCE_LEN], np.tile(np.asarray(recording.samples), repeats))
    assert not samples[-SILENCE_LEN:].any()


def test_it_keeps_the_pace_of_the_recording(recording: Recording, address: str, receiver: Any) -> None:
    config = ReplayConfig(address=address, speed=2.0)
    thread = threading.Thread(target=run_replay, args=(recording, config), kwargs={"stop": threading.Event()})
    thread.start()
    heard(receiver, 1)
    begun_s = time.monotonic()
    heard(receiver, N_SAMPLES - 2000)
    assert time.monotonic() - begun_s > 0.8 * (N_SAMPLES - 2000) / (2 * RATE)
    thread.join(20)


def test_without_a_receiver_it_waits_until_it_is_told_to_stop(recording: Recording, address: str) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    assert run_replay(recording, ReplayConfig(address=address), stop=stop) == 0
    timer.join()


def test_an_address_in_use_is_one_line(recording: Recording) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = ReplayConfig(address=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(PortInUseError, match="is in use"):
            run_replay(recording, config, stop=threading.Event())


@pytest.mark.parametrize("values", [{"speed": -1.0}, {"repeats": 0}, {"address": "nowhere"}])
def test_a_value_that_is_not_possible_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ReplayConfig(**values)
