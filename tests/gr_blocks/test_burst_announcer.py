# SPDX-License-Identifier: GPL-3.0-or-later
"""burst_announcer: place and length of each burst, from its tag."""

from __future__ import annotations

import numpy as np
import pmt
from gnuradio import blocks, gr

from gened.gr_blocks.burst_announcer import burst_announcer


def test_each_tag_is_announced_with_its_place_and_length() -> None:
    announced: list[tuple[int, int]] = []
    block, flowgraph = burst_announcer(lambda start, length: announced.append((start, length))), gr.top_block()
    tags = [
        gr.tag_utils.python_to_tag((offset, pmt.intern("packet_len"), pmt.from_long(length), pmt.PMT_F))
        for offset, length in ((0, 100), (5000, 250))
    ]
    flowgraph.connect(blocks.vector_source_c(np.zeros(20_000).tolist(), False, 1, tags), block)
    flowgraph.run()
    assert announced == [(0, 100), (5000, 250)]
    assert block.stats() == {"n_bursts": 2}
