# SPDX-License-Identifier: GPL-3.0-or-later
"""What all message blocks share: handlers that never raise, and counters.

An exception in a Python message handler ends the block's thread without a word, and the flowgraph then waits for ever.
So every handler runs inside `guarded`, which counts, logs one line, and goes on.
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from typing import Any

import pmt
from gnuradio import gr

from gened.gr_blocks.pdu.pdus import PduError

LOG_EVERY = 100
"""After the first ten, only each hundredth message of a kind is logged: a hostile sender must not fill a disk."""


class Counters:
    """Named counters that several threads may raise, with logging that cannot flood."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._logger = logging.getLogger(f"gened.{name}")  # GNU Radio's own logger writes to stdout

    def add(self, what: str, n: int = 1) -> int:
        """Raises a counter; returns its new value."""
        with self._lock:
            self._counts[what] += n
            return self._counts[what]

    def report(self, what: str, message: str) -> None:
        """Raises a counter and logs the reason: always for the first ten, then each hundredth."""
        count = self.add(what)
        if count <= 10 or count % LOG_EVERY == 0:
            self._logger.warning("%s: %s (%d): %s", self._name, what, count, message)

    def as_dict(self) -> dict[str, int]:
        """A copy of all counters."""
        with self._lock:
            return dict(self._counts)


def guarded(counters: Counters, handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """`handler` as a function that never raises: bad PDUs count as `n_bad_pdus`, all else as `n_errors`."""

    def handle(message: Any) -> None:
        try:
            handler(message)
        except PduError as exc:
            counters.report("n_bad_pdus", str(exc))
        except Exception as exc:  # see the top of this file
            counters.report("n_errors", f"{type(exc).__name__}: {exc}")

    return handle


class MessageBlock(gr.basic_block):
    """A block of message ports alone.

    Args:
        name: As GNU Radio shows it.
        inputs: Handler of each input port.
        outputs: Names of the output ports.
    """

    def __init__(self, name: str, inputs: dict[str, Callable[[Any], None]], outputs: tuple[str, ...]) -> None:
        gr.basic_block.__init__(self, name=name, in_sig=None, out_sig=None)
        self.counters = Counters(name)
        for port, handler in inputs.items():
            self.message_port_register_in(pmt.intern(port))
            self._listen(port, handler)
        for port in outputs:
            self.message_port_register_out(pmt.intern(port))

    def _listen(self, port: str, handler: Callable[[Any], None]) -> None:
        """GNU Radio keeps a handler's name and looks it up on the block, so the guarded one must be found there."""
        handle = guarded(self.counters, handler)
        handle.__name__ = f"handle_{port}"
        setattr(self, handle.__name__, handle)
        self.set_msg_handler(pmt.intern(port), handle)

    def publish(self, port: str, message: Any) -> None:
        """Sends a message to everything that is connected to an output port; any thread may call."""
        self.message_port_pub(pmt.intern(port), message)

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()
