# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: reports where each burst begins in the stream of samples that the sink takes.

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


class burst_announcer(gr.sync_block):  # noqa: N801
    """Takes the stream that the sink takes too, and calls `announce(start, length)` for each burst.

    Args:
        announce: Must not block.
    """

    def __init__(self, announce: Callable[[int, int], None]) -> None:
        gr.sync_block.__init__(self, name="burst_announcer", in_sig=[np.complex64], out_sig=None)
        self._announce = announce

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; takes everything."""
        n = len(input_items[0])
        for tag in self.get_tags_in_window(0, 0, n, pmt.intern(PACKET_LEN)):
            self._announce(int(tag.offset), int(pmt.to_long(tag.value)))
        return n
