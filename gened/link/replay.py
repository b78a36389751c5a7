# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording in place of the channel emulator: its samples to one receiver, at the pace of the recording.

There is no control socket beside them: a recording has neither a transmitter nor a set SNR.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq

from gened.addresses import split_address
from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ComplexArray
from gened.gr_blocks.recording.reader import Recording
from gened.link.control import attach, configure

CHUNK_S = 0.008
"""Duration of the samples that are sent at once, as the channel emulator does."""
MIN_CHUNK, MAX_CHUNK = 1024, 65536
QUEUED = 32
"""Chunks that may wait in the socket."""
SILENCE_LEN = 32768
"""Zeros after the end: a receiver decides about the last burst when samples follow."""
POLL_S = 0.05
LINGER_MS = 5000


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """What is played, to whom and how fast.

    Raises:
        ConfigError: No address, or a number out of range.
    """

    address: str = "tcp://127.0.0.1:5551"
    """Where this end listens for one receiver."""
    speed: float = 1.0
    """Times real time; 0: as fast as the receiver reads."""
    repeats: int | None = 1
    """How often; None: until told to stop."""

    def __post_init__(self) -> None:
        split_address(self.address)
        if not 0 <= self.speed <= 1000:
            raise ConfigError(f"a speed of {self.speed:g}; from 0 (no clock) to 1000 times real time is possible")
        if self.repeats is not None and self.repeats < 1:
            raise ConfigError(f"{self.repeats} times; at least 1 is possible")


def run_replay(
    recording: Recording,
    config: ReplayConfig,
    *,
    stop: threading.Event,
    on_state: Callable[[int], None] | None = None,
) -> int:
    """Sends a recording to the receiver that connects; waits for it to connect and to read.

    Args:
        recording: See `read_recording`.
        config: Address, speed and repeats.
        stop: Ends it.
        on_state: Called with the count of samples sent, after each chunk.

    Returns:
        Samples sent, silence behind the end included.

    Raises:
        PortInUseError: Another program listens at the address.
    """
    chunk_len = int(np.clip(CHUNK_S * recording.info.sample_rate, MIN_CHUNK, MAX_CHUNK))
    context: zmq.Context[Any] = zmq.Context()
    try:
        socket = context.socket(zmq.PUSH)
        configure(socket, queued=QUEUED)
        attach(socket, config.address, binds=True)
        n_sent, due_s = 0, 0.0
        for chunk in _chunks(recording, config.repeats, chunk_len):
            if not _send(socket, chunk, stop):
                return n_sent
            n_sent += len(chunk)
            if on_state is not None:
                on_state(n_sent)
            if config.speed > 0:
                due_s = max(due_s, time.monotonic() - CHUNK_S) + len(chunk) / (
                    recording.info.sample_rate * config.speed
                )
                stop.wait(max(0.0, due_s - time.monotonic()))
        return n_sent
    finally:
        context.destroy(linger=0 if stop.is_set() else LINGER_MS)


def _chunks(recording: Recording, repeats: int | None, chunk_len: int) -> Iterator[ComplexArray]:
    for _ in itertools.count() if repeats is None else range(repeats):
        for first in range(0, len(recording.samples), chunk_len):
            yield recording.samples[first : first + chunk_len]
    yield np.zeros(SILENCE_LEN, np.complex64)


def _send(socket: zmq.Socket[Any], samples: ComplexArray, stop: threading.Event) -> bool:
    """Waits until a receiver takes the samples; False when `stop` is set first."""
    while not stop.is_set():
        if socket.poll(int(1e3 * POLL_S), zmq.POLLOUT):
            socket.send(samples.tobytes(), zmq.NOBLOCK)
            return True
    return False
