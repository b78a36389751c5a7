# SPDX-License-Identifier: GPL-3.0-or-later
"""The control sockets beside the samples: a raw stream of samples has no markers, so these carry its structure.

    transmitter 5552 (DEALER, binds)  <---->  air (DEALER, connects)      Hello, Burst, End -->     <-- Ready, Done
    air         5553 (PUB, binds)     ----->  receivers, screens (SUB)    Status, some ten times a second

Messages are msgpack maps with a `type`. Whatever comes off a socket may be hostile: its length is bounded before it is
unpacked, its keys and numbers are checked against a description, and malformed messages are counted and dropped.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from typing import Annotated, Any, Literal

import msgpack
import zmq
from pydantic import BaseModel, Field

from gened.addresses import split_address
from gened.errors import LinkError
from gened.hostile import UNTRUSTED, Count, Finite, HostileError, UInt32, checked, prepare

MAX_MESSAGE_BYTES = 4096
MAX_BURST_LEN = 2**24
"""Samples of one burst: 17 s at 1 Msample/s; the longest that the waveform makes is far below."""
QUEUED_MESSAGES = 4096
BIND_PATIENCE_S = 1.0


class PortInUseError(LinkError):
    """Another program listens at the address."""


class _Message(BaseModel):
    model_config = UNTRUSTED


class Hello(_Message):
    """A transmitter starts a session; it repeats this until it receives `Ready`."""

    type: Literal["hello"] = "hello"
    session: UInt32
    """Number of this run of the transmitter; not the session in the headers."""
    sample_rate: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Ready(_Message):
    """The channel emulator has accepted the `Hello` of this session and counts its samples from 0."""

    type: Literal["ready"] = "ready"
    session: UInt32


class Burst(_Message):
    """Samples `start` to `start + length` of this session are one burst."""

    type: Literal["burst"] = "burst"
    session: UInt32
    start: Count
    length: Annotated[int, Field(gt=0, le=MAX_BURST_LEN)]


class End(_Message):
    """The transmitter has sent everything; it repeats this until it receives `Done`."""

    type: Literal["end"] = "end"
    session: UInt32
    frames: Count
    bursts: Count
    samples: Count


class Done(_Message):
    """All samples of this session have been emitted: the transmitter may end."""

    type: Literal["done"] = "done"
    session: UInt32


class Status(_Message):
    """State of the channel emulator, published to all subscribers."""

    type: Literal["status"] = "status"
    sample_rate: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    channel: Annotated[str, Field(max_length=64)]
    snr_db: Finite
    freq_offset_hz: Finite
    sfo_ppm: Finite
    session: Annotated[int, Field(ge=-1, le=2**32 - 1)] = -1
    """Session of the transmitter, -1 before the first."""
    samples: Count = 0
    """Samples emitted since the start, noise included."""
    bursts: Count = 0
    dropped_bursts: Count = 0
    unread_samples: Count = 0
    """Samples discarded because no receiver read them."""
    is_over: bool = False
    """Whether the transmitter has ended and all of its bursts were emitted."""
    frames: Count = 0
    """Number of frames that the transmitter has sent; 0 until `is_over`."""


Message = Hello | Ready | Burst | End | Done | Status
_MESSAGE: Any = Annotated[Message, Field(discriminator="type")]
prepare(_MESSAGE)


def pack(message: Message) -> bytes:
    """The bytes of a message."""
    packed: bytes = msgpack.packb(message.model_dump())
    return packed


def unpack(data: bytes) -> Message | None:
    """The message in some bytes; None where they hold none. Never raises."""
    if len(data) > MAX_MESSAGE_BYTES:
        return None
    limit = {"max_str_len": 256, "max_bin_len": 0, "max_array_len": 64, "max_map_len": 64, "max_ext_len": 0}
    try:
        message: Message = checked(_MESSAGE, msgpack.unpackb(data, raw=False, **limit))
        return message
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException, HostileError):
        return None


class ControlSocket:
    """One end of a control connection; never blocks.

    Args:
        context: ZMQ context, which the caller ends.
        kind: `zmq.DEALER`, `zmq.PUB` or `zmq.SUB`.
        address: Endpoint such as tcp://127.0.0.1:5552.
        binds: Whether this end listens.

    Raises:
        PortInUseError: Another program listens there.
        LinkError: No such address.
    """

    def __init__(self, context: zmq.Context[Any], kind: int, address: str, *, binds: bool) -> None:
        self.n_bad = 0
        """Malformed messages received."""
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        configure(self.socket, queued=QUEUED_MESSAGES)
        if kind == zmq.SUB:
            self.socket.subscribe(b"")
        attach(self.socket, address, binds=binds)

    def send(self, message: Message) -> bool:
        """Sends a message; False where there is no peer or its queue is full, and the message was not sent."""
        try:
            self.socket.send(pack(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, limit: int = 1024) -> list[Message]:
        """Messages that have arrived, at most `limit`, oldest first."""
        messages: list[Message] = []
        for _ in range(limit):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            message = unpack(parts[0]) if len(parts) == 1 else None
            if message is None:
                self.n_bad += 1
            else:
                messages.append(message)
        return messages

    def close(self) -> None:
        """Closes the socket; queued messages have 200 ms to leave."""
        self.socket.close(linger=200)


def configure(sock: zmq.Socket[Any], *, queued: int) -> None:
    """Sets what all sockets have in common: bounded queues, connected peers only, quick reconnection, no lingering."""
    sock.setsockopt(zmq.SNDHWM, queued)
    sock.setsockopt(zmq.RCVHWM, queued)
    sock.setsockopt(zmq.IMMEDIATE, 1)
    sock.setsockopt(zmq.RECONNECT_IVL, 50)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    sock.setsockopt(zmq.LINGER, 0)


def _bind(sock: zmq.Socket[Any], address: str) -> None:
    """Binds; tries again for a moment, as ZMQ frees a port a little after its last socket was closed."""
    deadline = time.monotonic() + BIND_PATIENCE_S
    while True:
        try:
            sock.bind(address)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def attach(sock: zmq.Socket[Any], address: str, *, binds: bool) -> None:
    """Binds or connects.

    Raises:
        PortInUseError: Another program listens there.
        LinkError: No such address.
    """
    try:
        if binds:
            _bind(sock, address)
        else:
            sock.connect(address)
    except zmq.ZMQError as error:
        sock.close(linger=0)
        if error.errno == zmq.EADDRINUSE:
            raise PortInUseError(f"{address} is in use; another program listens there, choose another port") from error
        raise LinkError(f"cannot use the address {address}: {error.strerror or error}") from error


PORTS = range(20_000, 32_768)
"""Ports among which free ones are sought. Linux gives outgoing connections ports from 32768 on, and other systems still
higher ones: a port above could be taken between the search and its use."""


def require_free(address: str) -> None:
    """Checks that this program could listen at an address, before anything is started.

    Raises:
        PortInUseError: Another program listens there.
    """
    host, port = split_address(address)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if host == "*" else host, port))
        except OSError as error:
            raise PortInUseError(f"{address} is in use ({error.strerror}); choose another port") from error


def free_ports_in_a_row(count: int, host: str = "127.0.0.1") -> int:
    """The first of `count` neighbouring ports that are free at this moment.

    Raises:
        PortInUseError: None were found.
    """
    for _ in range(100):
        first = free_ports(1, host)[0]
        with contextlib.suppress(PortInUseError):
            for port in range(first, first + count):
                require_free(f"tcp://{host}:{port}")
            return first
    raise PortInUseError(f"no {count} neighbouring ports are free at {host}; close other programs")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that are free at this moment, in a random order.

    Raises:
        PortInUseError: There are fewer.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):  # programs that seed `random` alike must not meet
        if len(found) == count:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock, contextlib.suppress(OSError):
            sock.bind((host, port))
            found.append(port)
    if len(found) < count:
        raise PortInUseError(f"no {count} ports are free at {host}; close other programs")
    return found
