# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that every source and every sink of samples has, for a radio, a socket or a file alike.

`registry.make_source` and `registry.make_sink` return them. Each is also a GNU Radio block: a source has one output of
complex64, a sink one input of complex64 with a `packet_len` tag on the first sample of each burst.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gened.errors import GenedError
from gened.flowgraphs.radios.radio_events import EventReporter


class RadioSource(Protocol):
    """A block that outputs samples."""

    @property
    def n_samples(self) -> int | None:
        """Samples until the end, after which silence follows; None for a source without an end."""

    @property
    def can_wait(self) -> bool:
        """Whether `hold_while` has an effect: a file can wait for the blocks behind it, a radio cannot."""

    @property
    def events(self) -> EventReporter:
        """Counts the events of the driver; always empty for a source without a driver."""

    def hold_while(self, must_wait: Callable[[], bool]) -> None:
        """Outputs samples only while `must_wait()` is false, if `can_wait`."""

    def poll(self) -> None:
        """Asks the driver for events; call it several times a second while the flowgraph runs."""

    def set_min_output_buffer(self, n_samples: int) -> None:
        """Requests room for so many samples behind the block; call it before the flowgraph starts."""

    def set_log_level(self, level: str) -> None:
        """Level of the messages that GNU Radio prints about the block."""


class RadioSink(Protocol):
    """A block that consumes samples."""

    @property
    def where(self) -> str:
        """Name of the radio in messages; empty for a sink that is no radio."""

    @property
    def events(self) -> EventReporter:
        """Counts the events of the driver; always empty for a sink without a driver."""

    @property
    def failure(self) -> GenedError | None:
        """Reason why no sample passes; None unless the start failed."""

    @property
    def n_taken(self) -> int:
        """Samples that the driver, socket or file has consumed since the start."""

    @property
    def n_clipped(self) -> int:
        """Samples that were larger than full scale and were clipped to it; 0 for a sink without a full scale."""

    @property
    def tail_s(self) -> float:
        """Longest time that a sample needs from the sink's input to the antenna."""

    def arm(self) -> None:
        """Lets a radio transmit: sets its gain. Starting the flowgraph does the same, but here an error is raised.

        Raises:
            LinkError: The radio did not accept it; it was muted.
        """

    def mute(self) -> None:
        """Makes a radio silent; never raises."""

    def poll(self) -> None:
        """Asks the driver for events; call it several times a second while the flowgraph runs."""
