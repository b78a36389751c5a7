# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of all message blocks: handlers that never raise, and counters.

An exception in a Python message handler ends the block's thread silently, and the flowgraph then waits for ever. So
every handler runs inside `guarded`, which counts the exception, logs one line, and continues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pmt
from gnuradio import gr

from gened.gr_blocks.pdu.counters import Counters as Counters
from gened.gr_blocks.pdu.pdus import PduError


def guarded(counters: Counters, handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wraps `handler` so that it never raises: malformed PDUs count as `n_bad_pdus`, other errors as `n_errors`."""

    def handle(message: Any) -> None:
        try:
            handler(message)
        except PduError as exc:
            counters.report("n_bad_pdus", str(exc))
        except Exception as exc:  # see the top of this file
            counters.report("n_errors", f"{type(exc).__name__}: {exc}")

    return handle


def register_handlers(block: Any, counters: Counters, handlers: Mapping[str, Callable[[Any], None]]) -> None:
    """Registers message ports of a block, with guarded handlers.

    GNU Radio stores a handler's name and reads it from the block, so each becomes an attribute of the block.
    """
    for port, handler in handlers.items():
        block.message_port_register_in(pmt.intern(port))
        handle = guarded(counters, handler)
        handle.__name__ = f"handle_{port}"
        setattr(block, handle.__name__, handle)
        block.set_msg_handler(pmt.intern(port), handle)


class MessageBlock(gr.basic_block):
    """A block with message ports only.

    Args:
        name: Name that GNU Radio shows.
        inputs: Handler of each input port.
        outputs: Names of the output ports.
    """

    def __init__(self, name: str, inputs: dict[str, Callable[[Any], None]], outputs: tuple[str, ...]) -> None:
        gr.basic_block.__init__(self, name=name, in_sig=None, out_sig=None)
        self.counters = Counters(name)
        register_handlers(self, self.counters, inputs)
        for port in outputs:
            self.message_port_register_out(pmt.intern(port))

    def publish(self, port: str, message: Any) -> None:
        """Sends a message to all blocks that are connected to an output port; any thread may call it."""
        self.message_port_pub(pmt.intern(port), message)

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()
