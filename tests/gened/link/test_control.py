# SPDX-License-Identifier: GPL-3.0-or-later
"""Control messages: what we send arrives; what others send cannot hurt."""

from __future__ import annotations

import random

import msgpack
import numpy as np
import pytest
import zmq

from gened.link.control import (
    Burst,
    ControlSocket,
    End,
    Hello,
    PortInUseError,
    Ready,
    Status,
    free_ports,
    pack,
    require_free,
    unpack,
)

STATUS = Status(sample_rate=1e6, channel="awgn", snr_db=10.0, freq_offset_hz=-2e3, sfo_ppm=0.0)


@pytest.mark.parametrize(
    "message",
    [
        Hello(session=1, sample_rate=1e6),
        Ready(session=2**32 - 1),
        Burst(session=1, start=2**40, length=1),
        End(session=1, frames=3, bursts=4, samples=5),
        STATUS,
    ],
)
def test_messages_arrive_as_they_were(message: Hello) -> None:
    assert unpack(pack(message)) == message


@pytest.mark.parametrize(
    "content",
    [
        {"type": "burst", "session": 1, "start": -1, "length": 1},
        {"type": "burst", "session": 1, "start": 0, "length": 0},
        {"type": "burst", "session": 1, "start": 0, "length": 2**40},
        {"type": "burst", "session": 2**32, "start": 0, "length": 1},
        {"type": "burst", "session": "1", "start": 0, "length": 1},
        {"type": "burst", "session": 1, "start": 0},
        {"type": "hello", "session": 1, "sample_rate": float("nan")},
        {"type": "hello", "session": 1, "sample_rate": 0.0},
        {"type": "unheard-of"},
        {},
        [],
        7,
        {
            "type": "status",
            "sample_rate": 1e6,
            "channel": "x" * 200,
            "snr_db": 1.0,
            "freq_offset_hz": 0.0,
            "sfo_ppm": 0.0,
        },
        {**STATUS.model_dump(), "snr_db": float("inf")},
    ],
)
def test_what_does_not_fit_the_schema_is_no_message(content: object) -> None:
    assert unpack(msgpack.packb(content)) is None


def test_random_and_oversized_bytes_are_no_message() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        assert unpack(rng.bytes(int(rng.integers(0, 200)))) is None
    assert unpack(b"\x91" * 4000) is None  # lists in lists
    assert unpack(b"\xdf\xff\xff\xff\xff") is None  # a map of four thousand million entries
    assert unpack(pack(STATUS) + bytes(5000)) is None


def test_a_key_that_we_do_not_know_is_no_reason_to_refuse() -> None:
    assert unpack(msgpack.packb({"type": "ready", "session": 3, "mood": "fine"})) == Ready(session=3)


def test_sockets_pass_messages_and_count_garbage() -> None:
    context = zmq.Context()
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    ours, theirs = (ControlSocket(context, zmq.DEALER, address, binds=binds) for binds in (True, False))
    theirs.socket.poll(2000, zmq.POLLOUT)
    theirs.socket.send(b"garbage")
    theirs.socket.send_multipart([b"two", b"parts"])
    assert theirs.send(Ready(session=9))
    received = []
    while not received and ours.socket.poll(2000):
        received = ours.receive()
    assert received == [Ready(session=9)] and ours.n_bad == 2
    context.destroy(linger=0)


def test_nobody_there_is_not_waited_for() -> None:
    context = zmq.Context()
    alone = ControlSocket(context, zmq.DEALER, f"tcp://127.0.0.1:{free_ports(1)[0]}", binds=True)
    assert not alone.send(Ready(session=1)) and alone.receive() == []
    context.destroy(linger=0)


def test_a_port_in_use_is_told_with_the_address() -> None:
    context = zmq.Context()
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    require_free(address)
    listening = ControlSocket(context, zmq.PUB, address, binds=True)
    with pytest.raises(PortInUseError, match=address):
        listening = ControlSocket(context, zmq.PUB, address, binds=True)
    with pytest.raises(PortInUseError, match=address):
        require_free(address)
    listening.close()
    context.destroy(linger=0)


def test_free_ports_do_not_follow_a_seed() -> None:
    draws = []
    for _ in range(3):
        random.seed(1)
        draws.append(tuple(free_ports(4)))
    assert len(set(draws)) == 3
    assert all(20_000 <= port < 32_768 for draw in draws for port in draw)
