# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that the two ends of a link have, as a GNU Radio flowgraph or as the NumPy chain in threads of its own.

`gened.flowgraphs.transmitter.Transmitter` and `gened.flowgraphs.receiver.Receiver` are the flowgraphs,
`NumpyTransmitter` and `NumpyReceiver` of this package do the same with NumPy alone. `run_transmit` and `run_receive`
work with either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gened.errors import GenedError
from gened.gr_blocks.pdu.frame_meta import Image, Mask
from gened.models.serving.worker import Worker
from gened.monitor.link_monitor import WatchedReceiver


class Counting(Protocol):
    """A part of an end that counts."""

    def stats(self) -> dict[str, int]:
        """Counters by name."""


class Coding(Counting, Protocol):
    """Encoder or decoder of an end: a worker process and its counters."""

    @property
    def worker(self) -> Worker:
        """The process."""


class Sink(Protocol):
    """Where the samples of a transmitter go."""

    @property
    def where(self) -> str:
        """Name of the radio in messages; empty for a sink that is no radio."""

    @property
    def failure(self) -> GenedError | None:
        """Reason why no sample passes; None unless the start failed."""


class TransmitterEnd(Protocol):
    """From pictures to samples at a sink."""

    @property
    def encoder(self) -> Coding:
        """The encoder; it counts `n_encoded` and `n_failed`."""

    @property
    def sink(self) -> Sink:
        """Where the samples go."""

    @property
    def n_samples_sent(self) -> int:
        """Samples that have left the modulator since `start`."""

    @property
    def n_bad_symbols(self) -> int:
        """Analogue symbols that were not finite or too large, and were sent as 0."""

    def start(self) -> None:
        """Starts its threads and its worker process."""

    def stop(self) -> None:
        """Ends them; frames that have not left are lost."""

    def wait(self) -> None:
        """Waits until they have ended."""

    def send(
        self, image: Image, meta: Mapping[str, Any] | None = None, *, mask: Mask | None = None, timeout_s: float = 0.0
    ) -> bool:
        """Accepts a picture; False when there was no room within that time."""

    def drain(self, timeout_s: float) -> bool:
        """Waits until the last sample of every accepted picture has left; False when it took longer."""


class ReceiverEnd(WatchedReceiver, Protocol):
    """From the samples of a source to pictures."""

    @property
    def decoder(self) -> Coding:
        """The decoder."""

    @property
    def n_samples_received(self) -> int:
        """Samples that the detector has received since it was made."""

    @property
    def has_end(self) -> bool:
        """Whether the source has an end, as a recording does."""

    def start(self) -> None:
        """Starts its threads and its worker process."""

    def stop(self) -> None:
        """Ends them."""

    def wait(self) -> None:
        """Waits until they have ended."""

    def drain(self, timeout_s: float) -> bool:
        """Waits until every detected frame has become a picture or an error; False when it took longer."""

    def drain_recorder(self, timeout_s: float) -> bool:
        """Waits until the recorder, if there is one, has handled all bursts and frames; False when it took longer."""

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters by part."""
