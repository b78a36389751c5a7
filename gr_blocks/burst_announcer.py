# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: reports the position of each burst in the stream of samples that the sink receives.

frame_modulator --+--> sink (samples)
                  `--> burst_announcer (packet_len tags) --> callback, such as the control socket
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from gened.gr_blocks.frame_modulator import PACKET_LEN
from gened.gr_blocks.pdu.message_block import Counters


class burst_announcer(gr.sync_block):  # noqa: N801
    """Receives the same stream as the sink, and calls `announce(start, length)` once per burst.

    Port: complex samples in, with a `packet_len` tag on the first sample of each burst. It has no thread and no state
    of its own: positions count from the start of the flowgraph. Counters: `n_bursts`.

    Args:
        announce: Called from the scheduler's thread with the index of the burst's first sample and its length in
            samples; must not block.
    """

    def __init__(self, announce: Callable[[int, int], None]) -> None:
        gr.sync_block.__init__(self, name="burst_announcer", in_sig=[np.complex64], out_sig=None)
        self.counters = Counters("burst_announcer")
        self._announce = announce

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; takes everything."""
        n = len(input_items[0])
        for tag in self.get_tags_in_window(0, 0, n, pmt.intern(PACKET_LEN)):
            self.counters.add("n_bursts")
            self._announce(int(tag.offset), int(pmt.to_long(tag.value)))
        return n

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()
