# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel emulator between transmitter and receivers: one process, always noisy, paced by the sample rate.

```text
tx samples  5550 --PULL--> SenderStream --> SampleChannel --PUSH--> 5551 rx samples
tx control  5552 <-------->    |                 |       --PUB-->  tap (optional)
                                                  `-------PUB--> 5553 status
```
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq

from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.types import ComplexArray
from gened.link.config import AirConfig
from gened.link.control import (
    Burst,
    ControlSocket,
    Done,
    End,
    Hello,
    Ready,
    Status,
    attach,
    configure,
)
from gened.link.sender_stream import SenderStream

UNREAD_S = 4.0
"""Length of the samples that wait for a busy receiver before they are discarded, s."""
MAX_UNREAD_BYTES = 2**27
LATE_S = 0.5
"""Delay behind the clock at which the clock starts anew: the machine was busy."""
STATUS_S = 0.1
MAX_MESSAGE_BYTES = 2**24
SAMPLE_BYTES = 8


@dataclass
class AirStats:
    """Counters since the start."""

    samples: int = 0
    """Samples emitted, whether read or not."""
    unread_samples: int = 0
    """Samples discarded because no receiver read them."""
    bad_messages: int = 0
    """Messages from the transmitter's socket that do not hold whole samples."""
    stalls: int = 0
    """Times that the emulator fell `LATE_S` behind its clock and started the clock anew."""


class Air:
    """The channel emulator: its sockets, its clock and its channel.

    Args:
        config: The channel and the addresses.

    Raises:
        PortInUseError: Another program listens at one of the addresses.
        ConfigError: See `SampleChannel`.
    """

    def __init__(self, config: AirConfig) -> None:
        self.config = config
        self.stats = AirStats()
        seeds = np.random.SeedSequence(config.channel.seed).spawn(1)
        self.stream = SenderStream(
            np.random.default_rng(seeds[0]), max_lead=config.chunk_len, drop_bursts=config.drop_bursts
        )
        self.channel = SampleChannel(config.channel, config.sample_rate)
        self._session = -1
        self._hello: Hello | None = None
        self._end: End | None = None
        self._is_confirmed = False  # whether the end was confirmed to the transmitter
        self._next_status_s = 0.0
        self._context: zmq.Context[Any] = zmq.Context()
        try:
            self._open()
        except Exception:
            self._context.destroy(linger=0)
            raise

    def _open(self) -> None:
        config = self.config
        self._rx_control = ControlSocket(self._context, zmq.PUB, config.rx_control, binds=True)
        self._tx_control = ControlSocket(self._context, zmq.DEALER, config.tx_control, binds=False)
        chunk_bytes = SAMPLE_BYTES * config.chunk_len
        n_unread = int(UNREAD_S * config.sample_rate / config.chunk_len)
        self._out = self._context.socket(zmq.PUSH)
        configure(self._out, queued=max(16, min(n_unread, MAX_UNREAD_BYTES // chunk_bytes)))
        attach(self._out, config.rx_address, binds=True)
        self._in = self._context.socket(zmq.PULL)
        self._in.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        configure(self._in, queued=32)
        attach(self._in, config.tx_address, binds=False)
        self._tap: zmq.Socket[Any] | None = None
        if config.tap is not None:
            self._tap = self._context.socket(zmq.PUB)
            configure(self._tap, queued=64)
            attach(self._tap, config.tap, binds=True)

    def run(self, stop: threading.Event, on_status: Callable[[Status], None] | None = None) -> Status:
        """Emits samples until `stop` is set, or until the end with `until_end`; then closes all sockets.

        Args:
            stop: Ends the run.
            on_status: Called about ten times per second.

        Returns:
            The last status.
        """
        try:
            due_s = time.monotonic()
            while not stop.is_set():
                self._receive()
                status = self._send_status(on_status)
                if status is not None and status.is_over and self.config.until_end:
                    break
                now_s = time.monotonic()
                if now_s >= due_s or (not self.config.is_paced and self.stream.has_samples()):
                    self._write_outputs(stop)
                    due_s = self._next_due(due_s)
                else:
                    self._wait(min(due_s - now_s, STATUS_S))
            return self._status()
        finally:
            with contextlib.suppress(zmq.ZMQError):
                self._rx_control.send(self._status())
            self._context.destroy(linger=200)

    def take_dropped(self) -> list[int]:
        """Numbers of the bursts dropped since the last call, counted from 0 over the whole run."""
        taken = []
        for numbers in (self.stream.dropped, self.channel.dropped):
            while numbers:
                taken.append(numbers.popleft())
        return sorted(taken)

    def _send_status(self, on_status: Callable[[Status], None] | None = None) -> Status | None:
        """Sends the status when it is due; None when it is not."""
        now_s = time.monotonic()
        if now_s < self._next_status_s:
            return None
        self._next_status_s = now_s + STATUS_S
        status = self._status()
        self._rx_control.send(status)
        if status.is_over and not self._is_confirmed:
            self._is_confirmed = self._tx_control.send(Done(session=status.session))
        if on_status is not None:
            on_status(status)
        return status

    def _wait(self, seconds: float) -> None:
        """Waits until samples come, at most so long."""
        if self.stream.is_full:
            time.sleep(seconds)
        else:
            self._in.poll(max(1, int(1e3 * seconds)))

    def _next_due(self, due_s: float) -> float:
        due_s += self.config.chunk_s
        now_s = time.monotonic()
        if not self.config.is_paced:
            return max(now_s, min(due_s, now_s + self.config.chunk_s))
        if now_s - due_s > LATE_S:
            self.stats.stalls += 1
            return now_s
        return due_s

    # Input

    def _receive(self) -> None:
        """Receives messages and samples that have arrived; never waits."""
        for message in self._tx_control.receive():
            if isinstance(message, Hello):
                self._hello = message
            elif isinstance(message, Burst) and message.session == self._session:
                self.stream.announce(message.start, message.length)
            elif isinstance(message, End) and message.session == self._session:
                self._end, self._is_confirmed = message, False
        self._take_samples()
        if self._hello is not None:
            self._handle_hello(self._hello)

    def _take_samples(self) -> None:
        while not self.stream.is_full:
            try:
                data = self._in.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(data) % SAMPLE_BYTES:
                self.stats.bad_messages += 1
            elif data:
                self.stream.push(np.frombuffer(data, np.complex64))

    def _handle_hello(self, hello: Hello) -> None:
        """Starts a new session as soon as the samples of the old one have been emitted, or cannot come any more."""
        if hello.session != self._session:
            if self.stream.has_samples():
                return
            self.stream.restart()
            self._session, self._end = hello.session, None
        self._tx_control.send(Ready(session=hello.session))
        self._hello = None

    # Output

    def _write_outputs(self, stop: threading.Event) -> None:
        samples, starts = self.stream.take(self.config.chunk_len)
        received = self.channel.process(samples, starts)
        self.stats.samples += len(received)
        if self._tap is not None:
            self._offer(self._tap, received)
        if self.config.is_paced:
            if not self._offer(self._out, received):
                self.stats.unread_samples += len(received)
        else:
            self._send_waiting(received, stop)

    @staticmethod
    def _offer(sock: zmq.Socket[Any], samples: ComplexArray) -> bool:
        try:
            sock.send(samples.tobytes(), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _send_waiting(self, samples: ComplexArray, stop: threading.Event) -> None:
        """Sends, waiting for the reader: back-pressure, by which an unpaced emulator loses no samples."""
        while not stop.is_set():
            if self._offer(self._out, samples):
                return
            self._out.poll(20, zmq.POLLOUT)
            self._receive()
            self._send_status()
        self.stats.unread_samples += len(samples)

    def _status(self) -> Status:
        channel, end = self.config.channel, self._end
        is_over = end is not None and self.stream.has_given(end.samples)
        return Status(
            sample_rate=self.config.sample_rate,
            channel=channel.kind,
            snr_db=channel.snr_db,
            freq_offset_hz=channel.freq_offset_hz,
            sfo_ppm=channel.sfo_ppm,
            session=self._session,
            samples=self.stats.samples,
            bursts=self.stream.n_bursts,
            dropped_bursts=self.stream.n_dropped_bursts + self.channel.dropped_bursts,
            unread_samples=self.stats.unread_samples,
            is_over=is_over,
            frames=end.frames if end is not None and is_over else 0,
        )


def run_air(config: AirConfig, *, stop: threading.Event, on_status: Callable[[Status], None] | None = None) -> Status:
    """`Air(config).run(stop, on_status)`; raises as both do."""
    return Air(config).run(stop, on_status)
