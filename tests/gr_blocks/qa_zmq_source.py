# SPDX-License-Identifier: GPL-3.0-or-later
"""zmq_source: samples out of a socket that takes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from gnuradio import blocks

from gened.errors import ConfigError
from gened.gr_blocks.zmq_source import zmq_source

SAMPLES = np.arange(1, 20_001).astype(np.complex64)


class Pusher:
    """The other end."""

    def __init__(self) -> None:
        self.socket = self._made()
        self.address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    @staticmethod
    def _made() -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDTIMEO, 5000)
        return socket

    def start_again(self, until: Any) -> None:
        """A new socket at the old address, as soon as ZMQ has given it back."""
        self.socket.close()
        self.socket = self._made()
        assert until(self._is_bound)

    def _is_bound(self) -> bool:
        try:
            self.socket.bind(self.address)
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            return False
        return True


@pytest.fixture
def pusher() -> Iterator[Pusher]:
    made = Pusher()
    yield made
    made.socket.close()


def listening(bench: Any, address: str) -> tuple[Any, Any]:
    source, sink = zmq_source(address), blocks.vector_sink_c()
    bench.kept.append(source)
    bench.tb.connect(source, sink)
    bench.start()
    return source, sink


def test_samples_arrive_in_order_whatever_the_messages(bench: Any, pusher: Pusher, until: Any) -> None:
    _, sink = listening(bench, pusher.address)
    for piece in np.split(SAMPLES, [1, 3, 1000, 18_000]):
        pusher.socket.send(piece.tobytes())
    assert until(lambda: len(sink.data()) == len(SAMPLES))
    assert np.array_equal(sink.data(), SAMPLES)


@pytest.mark.parametrize("rubbish", [b"1234567", b"x" * 83, b""], ids=["seven bytes", "83 bytes", "empty"])
def test_messages_that_are_no_samples_are_dropped_and_the_stream_goes_on(
    bench: Any, pusher: Pusher, until: Any, rubbish: bytes
) -> None:
    source, sink = listening(bench, pusher.address)
    pusher.socket.send(rubbish)
    pusher.socket.send(SAMPLES.tobytes())
    assert until(lambda: len(sink.data()) == len(SAMPLES))
    assert source.stats().get("n_bad_messages", 0) == (1 if rubbish else 0)


def test_a_message_of_several_parts_is_dropped(bench: Any, pusher: Pusher, until: Any) -> None:
    source, sink = listening(bench, pusher.address)
    pusher.socket.send_multipart([b"1" * 8, b"2" * 8, b"3" * 8])
    pusher.socket.send(SAMPLES.tobytes())
    assert until(lambda: len(sink.data()) >= len(SAMPLES))
    assert np.array_equal(sink.data()[-len(SAMPLES) :], SAMPLES)
    assert len(sink.data()) == len(SAMPLES)
    assert source.stats()["n_bad_messages"] == 1


def test_a_sender_that_is_started_again_is_heard_again(bench: Any, pusher: Pusher, until: Any) -> None:
    _, sink = listening(bench, pusher.address)
    pusher.socket.send(SAMPLES.tobytes())
    assert until(lambda: len(sink.data()) == len(SAMPLES))
    pusher.start_again(until)
    pusher.socket.send(SAMPLES.tobytes())
    assert until(lambda: len(sink.data()) == 2 * len(SAMPLES))


def test_making_the_block_opens_no_connection_that_could_swallow_samples(pusher: Pusher) -> None:
    kept = zmq_source(pusher.address)
    with pytest.raises(zmq.Again):
        pusher.socket.setsockopt(zmq.SNDTIMEO, 200)
        pusher.socket.send(SAMPLES.tobytes())  # there is nobody yet to take it
    assert kept.stats() == {}


def test_without_a_sender_the_flowgraph_still_stops(bench: Any) -> None:
    listening(bench, "tcp://127.0.0.1:9")
    bench.stop()


@pytest.mark.parametrize("address", ["", "tcp://", "carrier pigeon", "tcp://127.0.0.1:notaport"])
def test_what_is_no_address_is_an_error(address: str) -> None:
    with pytest.raises(ConfigError, match="write it like"):
        zmq_source(address)
