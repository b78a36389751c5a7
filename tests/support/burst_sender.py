# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that sends one frame over a socket, as a transmitter's flowgraph does, and ends with its stdin.

python tests/support/burst_sender.py ADDRESS reduced|plain < FRAME    (pickle, of the test that starts it)
"""

from __future__ import annotations

import functools
import pickle
import sys
from typing import Any

from gnuradio import gr

from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import make_sink
from gened.gr_blocks import frame_modulator as modulator
from gened.gr_blocks.pdu.frame_pdus import encoded_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock

GAP = 20_000
"""Zeros behind the burst: what the detector has to see before it looks."""


class sender(MessageBlock):  # noqa: N801
    """Gives a flowgraph its frame."""

    def __init__(self) -> None:
        super().__init__("sender", {}, ("encoded",))


def main(address: str, peaks: str) -> None:
    """Sends and waits."""
    frame: Any = pickle.load(sys.stdin.buffer)
    if peaks == "plain":
        modulator.modulate_burst = functools.partial(modulator.modulate_burst, reduces_papr=False)
    flowgraph, source = gr.top_block(), sender()
    bursts, sink = modulator.frame_modulator(GAP), make_sink(RadioProfile(address=address))
    flowgraph.connect(bursts, sink)
    flowgraph.msg_connect(source, "encoded", bursts, "encoded")
    flowgraph.start()
    source.publish("encoded", encoded_to_pdu(frame))
    sys.stdin.buffer.read()
    flowgraph.stop()
    flowgraph.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
