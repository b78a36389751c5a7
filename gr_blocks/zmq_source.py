# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: receives samples from a ZMQ PULL or SUB socket; malformed messages are dropped.

GNU Radio's own `zeromq.pull_source` ends its thread, and with it the flowgraph, at the first message that is not a
whole number of samples (3.10.5: "Incompatible vector sizes").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import zmq
from gnuradio import gr

from gened.addresses import split_address
from gened.errors import LinkError
from gened.gr_blocks.pdu.message_block import Counters
from gened.gr_blocks.phy.types import ComplexArray

SAMPLE_BYTES = 8  # complex64
MAX_MESSAGE_BYTES = 2**24
"""Two million samples; ZMQ disconnects a peer that announces more before it allocates memory."""
WAIT_MS = 50
"""Longest wait for a message before the block returns to the scheduler."""
DEFAULT_HWM = 32


class zmq_source(gr.sync_block):  # noqa: N801
    """Receives raw complex64 from a PUSH socket, or from a PUB socket, which may have several readers.

    Port: complex samples out. The socket is open while the flowgraph runs. Counters: `n_messages`, `n_bad_messages`.

    Args:
        address: Address to connect to, such as tcp://127.0.0.1:5551; the sender may start later, or restart.
        hwm: Most messages that wait in the socket; beyond it the sender waits.
        is_tap: Whether the address publishes (PUB): then no sender waits, and samples that are not read in time are
            lost.

    Raises:
        ConfigError: The address is malformed.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:5551", hwm: int = DEFAULT_HWM, is_tap: bool = False) -> None:
        gr.sync_block.__init__(self, name="zmq_source", in_sig=None, out_sig=[np.complex64])
        self.counters = Counters("zmq_source")
        self._rest: ComplexArray = np.zeros(0, np.complex64)
        self._address = address
        self._hwm = int(hwm)
        self._kind = zmq.SUB if is_tap else zmq.PULL
        split_address(address)  # a malformed address is an error here, and not later in a thread
        self._socket: zmq.Socket[bytes] | None = None

    def start(self) -> bool:
        """Called by the flowgraph."""
        self._rest = self._rest[:0]
        self._socket = self._connect()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        return True

    def _connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(self._kind)
        socket.setsockopt(zmq.RCVHWM, self._hwm)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.LINGER, 0)
        if self._kind == zmq.SUB:
            socket.subscribe(b"")
        try:
            socket.connect(self._address)
        except zmq.ZMQError as exc:
            socket.close()
            reason = f"cannot connect to {self._address!r}: {exc.strerror}"
            raise LinkError(f"{reason}; write it like tcp://127.0.0.1:5551") from exc
        return socket

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        out = output_items[0]
        if len(self._rest) == 0:
            self._receive()
        n = min(len(out), len(self._rest))
        out[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()

    def _receive(self) -> None:
        socket = self._socket
        if socket is None or not socket.poll(WAIT_MS):
            return
        message = socket.recv(zmq.NOBLOCK)
        self.counters.add("n_messages")
        if self._is_in_parts(socket) or len(message) % SAMPLE_BYTES:
            self.counters.report(
                "n_bad_messages", f"{len(message)} bytes are no whole number of complex64 samples; dropped"
            )
            return
        self._rest = np.frombuffer(message, np.complex64)

    @staticmethod
    def _is_in_parts(socket: zmq.Socket[bytes]) -> bool:
        """Whether the message had more parts; they are read away, for they are no samples either."""
        is_in_parts = bool(socket.getsockopt(zmq.RCVMORE))
        while socket.getsockopt(zmq.RCVMORE):
            socket.recv(zmq.NOBLOCK)
        return is_in_parts
