# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: samples out of a ZMQ PULL socket, whatever is thrown at it.

GNU Radio's own `zeromq.pull_source` ends its thread, and with it the flowgraph, at the first message that is not a
whole number of samples (3.10.5: "Incompatible vector sizes"). This one drops such a message and goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import zmq
from gnuradio import gr

from gened.gr_blocks.message_block import Counters
from gened.gr_blocks.phy.errors import LinkError
from gened.gr_blocks.phy.types import ComplexArray

SAMPLE_BYTES = 8  # complex64
MAX_MESSAGE_BYTES = 2**24
"""Two million samples; ZMQ cuts off a peer that announces more before it allocates."""
WAIT_MS = 50
"""How long the block waits before it lets the scheduler see whether the flowgraph was stopped."""
DEFAULT_HWM = 32


class zmq_source(gr.sync_block):  # noqa: N801
    """Raw complex64 from a PUSH socket.

    Args:
        address: What to connect to, such as tcp://127.0.0.1:5551; the sender may come later, or come again.
        hwm: Messages that may wait in the socket; then the sender waits.

    Raises:
        LinkError: No ZMQ address.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:5551", hwm: int = DEFAULT_HWM) -> None:
        gr.sync_block.__init__(self, name="zmq_source", in_sig=None, out_sig=[np.complex64])
        self.counters = Counters("zmq_source")
        self._rest: ComplexArray = np.zeros(0, np.complex64)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        self._socket.setsockopt(zmq.RCVHWM, int(hwm))
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as exc:
            self._socket.close()
            raise LinkError(f"cannot connect to {address}: {exc.strerror}; write it like tcp://127.0.0.1:5551") from exc

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
        if not self._socket.poll(WAIT_MS):
            return
        message = self._socket.recv(zmq.NOBLOCK)
        self.counters.add("n_messages")
        if len(message) % SAMPLE_BYTES or self._socket.getsockopt(zmq.RCVMORE):
            self.counters.report(
                "n_bad_messages", f"{len(message)} bytes are no whole number of complex64 samples; dropped"
            )
            return
        self._rest = np.frombuffer(message, np.complex64)
