# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks without a driver of their own as `RadioSource` and `RadioSink`: sockets, files, memory, and gr-soapy's source.

A hierarchical block costs nothing while the flowgraph runs: GNU Radio connects the blocks inside it directly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnuradio import blocks, gr

from gened.errors import GenedError
from gened.flowgraphs.radios.common import SAMPLE_BYTES
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.gr_blocks.sample_player import sample_player


class wrapped_source(gr.hier_block2):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """A `RadioSource` around any block of one output.

    Args:
        block: The block; this object keeps it alive, which a flowgraph does not do for a Python block.
        where: The radio's name for its events; empty for no radio.
    """

    n_samples: int | None = None
    can_wait = False

    def __init__(self, block: Any, where: str = "") -> None:
        gr.hier_block2.__init__(self, "wrapped_source", gr.io_signature(0, 0, 0), gr.io_signature(1, 1, SAMPLE_BYTES))
        self.block = block
        self.events = EventReporter(where)
        self.connect(block, self)

    def hold_while(self, must_wait: Callable[[], bool]) -> None:
        """No effect: samples from outside do not wait."""

    def poll(self) -> None:
        """No effect: there is no driver to ask."""


class played_source(gr.hier_block2):  # noqa: N801
    """A `RadioSource` of samples that come to an end: a file, a recording or an array.

    Args:
        player: Plays them.
        pace_hz: Rate at which samples leave; None: as fast as the blocks behind accept them.
    """

    def __init__(self, player: sample_player, pace_hz: float | None = None) -> None:
        gr.hier_block2.__init__(self, "played_source", gr.io_signature(0, 0, 0), gr.io_signature(1, 1, SAMPLE_BYTES))
        self.player = player
        self.n_samples: int | None = player.n_samples
        self.can_wait = pace_hz is None
        self.events = EventReporter("")
        if pace_hz is None:
            self.connect(player, self)
        else:
            self.connect(player, blocks.throttle(SAMPLE_BYTES, pace_hz), self)

    def hold_while(self, must_wait: Callable[[], bool]) -> None:
        """Plays on only while `must_wait()` is false, unless it is paced."""
        if self.can_wait:
            self.player.hold_while(must_wait)

    def poll(self) -> None:
        """No effect: there is no driver to ask."""


class wrapped_sink(gr.hier_block2):  # noqa: N801
    """A `RadioSink` around any block of one input, for samples that do not go to a radio.

    Args:
        block: The block, such as a socket's or a file's.
    """

    where = ""
    failure: GenedError | None = None
    n_clipped = 0
    tail_s = 0.0

    def __init__(self, block: Any) -> None:
        gr.hier_block2.__init__(self, "wrapped_sink", gr.io_signature(1, 1, SAMPLE_BYTES), gr.io_signature(0, 0, 0))
        self.block = block
        self.events = EventReporter("")
        self.connect(self, block)

    @property
    def n_taken(self) -> int:
        """Samples that the block has consumed."""
        return int(self.block.nitems_read(0))

    def arm(self) -> None:
        """No effect: nothing is transmitted."""

    def mute(self) -> None:
        """No effect: nothing is transmitted."""

    def poll(self) -> None:
        """No effect: there is no driver to ask."""
