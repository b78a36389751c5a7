# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a run and says by name what is wrong with it, seldom enough for a screen.

radio's letters ---------------.
detector's counters -> causes --+-> one line a cause each ten seconds, and counts for the report
signal_probe, frames, gate ----'
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gened.flowgraphs.radios.radio_events import EVENTS, EventReporter
from gened.monitor import causes
from gened.monitor.causes import CAUSES, Occurrence, ReceiverCounters, StreamClock
from gened.monitor.driver_output import flush_drivers, letters_heard

if TYPE_CHECKING:
    from gened.flowgraphs.radios.protocols import RadioSink, RadioSource
    from gened.flowgraphs.receiver import Receiver
    from gened.flowgraphs.transmitter import Transmitter
    from gened.gr_blocks.pdu.facts import FrameFacts

LOOK_EVERY_S = 0.2
WINDOW_S = 5.0
"""Over which bursts are looked for; longer than the pause between two frames of a busy sender."""
CLIP_WINDOW_S = 1.0
PATIENCE_S = 1.2
"""gr-iio looks each second whether samples were lost."""
START_S = 2.0
"""What drivers print before, until samples flow, is no event."""
GRAVEST = (
    "other weights",
    "other format",
    "header fails",
    "input clipping",
    "overflow",
    "dropped packet",
    "no burst found",
)
"""Causes for which no picture comes, the likeliest first."""
Tell = Callable[[str], None]


class _Monitor:
    """What both sides share: the radio's own events, and the reporter of causes."""

    def __init__(
        self, where: str, letter: str, end: RadioSource | RadioSink, tell: Tell, clock: Callable[[], float]
    ) -> None:
        self._letter = letter
        self._begin_s = clock()
        self._n_heard = 0
        self.reporter = EventReporter(where, tell, clock=clock, table=CAUSES)
        self._clock = clock
        self._end = end
        self._events = end.events
        self._events.tell_to(tell)

    def counts(self) -> dict[str, int]:
        """How often each cause was seen, by name."""
        letters = self._events.counts()
        named = {EVENTS[letter].name if letter in EVENTS else letter: n for letter, n in letters.items()}
        for name, n in self.reporter.counts().items():
            named[name] = named.get(name, 0) + n
        return dict(sorted(named.items()))

    def _ask_driver(self) -> None:
        """What the radio tells when it is asked, and what its driver has printed; not of the start, see `pluto`."""
        self._end.poll()
        flush_drivers()
        before, self._n_heard = self._n_heard, letters_heard().get(self._letter, 0)
        if self._n_heard == before or self._clock() - self._begin_s < START_S:
            return
        self._events.report(self._letter, self._n_heard - before)

    def _n_events(self) -> int:
        return sum(self._events.counts().values())

    def _report(self, found: list[Occurrence]) -> None:
        for cause in found:
            self.reporter.report(cause.name, cause.n, cause.detail)

    def _tell_rest(self) -> None:
        self._events.tell_rest()
        self.reporter.tell_rest()


class ReceiverMonitor(_Monitor):
    """Causes of a receiver's run.

    Args:
        receiver: Before it starts or while it runs.
        tell: Gets each line; any thread.
        clock: Seconds that only rise.
    """

    def __init__(self, receiver: Receiver, tell: Tell, *, clock: Callable[[], float] = time.monotonic) -> None:
        profile = receiver.profile
        hardware = profile.hardware
        super().__init__("receiver", "O", receiver.source, tell, clock)
        self._receiver = receiver
        self._sample_rate = profile.sample_rate
        self._room_hz: float | None = None
        if hardware is not None and hardware.rx.bandwidth is not None:
            self._room_hz = (hardware.rx.bandwidth - hardware.occupied_bandwidth) / 2
        self._stream = StreamClock(profile.sample_rate) if profile.is_clocked else None
        self._n_events_before, self._event_s = 0, -float("inf")
        self._n_missing, self._missing_s = 0, 0.0
        now_s = clock()
        self._clip_s, self._clip_from = now_s, ReceiverCounters()
        self._burst_s, self._burst_from = now_s, ReceiverCounters()
        self._n_headers_before = 0
        self._lock = threading.Lock()  # the watch looks, and `why` is asked

    def frame(self, facts: FrameFacts) -> None:
        """Looks at a frame's facts; any thread."""
        self._report(causes.frame_causes(facts, self._sample_rate, self._room_hz))

    def look(self) -> None:
        """To be called a few times a second."""
        self._ask_driver()
        with self._lock:
            now_s, now = self._clock(), self._counters()
            self._look_for_losses(now_s, now.n_samples)
            if now_s - self._clip_s >= CLIP_WINDOW_S:
                self._look_for_clipping(now_s, now)
            if now_s - self._burst_s >= WINDOW_S:
                self._look_for_bursts(now_s, now)

    def why(self) -> str | None:
        """The cause that best explains why no picture came, with its advice; None where none was seen."""
        self._judge()
        counts = self.counts()
        name = next((name for name in GRAVEST if name in counts), None)
        return None if name is None else str(CAUSES[name])

    def close(self) -> None:
        """The last look, while the flowgraph still stands; what was not told yet is told."""
        self._judge()
        self._tell_rest()

    def _judge(self) -> None:
        """Looks at windows that are not over, if they are long enough to judge."""
        with self._lock:
            now_s, now = self._clock(), self._counters()
            self._look_for_clipping(now_s, now)
            if now_s - self._burst_s >= CLIP_WINDOW_S:
                self._look_for_bursts(now_s, now)

    def _counters(self) -> ReceiverCounters:
        stats, probe = self._receiver.detector.stats(), self._receiver.probe
        return ReceiverCounters(
            n_samples=stats["samples"] if probe is None else probe.n_samples,
            n_preambles=stats["preambles"], n_headers=stats["headers"],
            n_bad_headers=stats["bad_headers"], n_foreign=stats["foreign_versions"],
            n_full_scale=0 if probe is None else probe.n_full_scale,
        )  # fmt: skip

    def _look_for_losses(self, now_s: float, n_samples: int) -> None:
        """Overflows that the driver did not tell of, as far as the clock shows them; it may tell a little later."""
        if self._n_events() != self._n_events_before:
            self._n_events_before, self._event_s = self._n_events(), now_s
        if self._stream is None or now_s - self._begin_s < START_S:
            return
        self._n_missing += (n_missing := self._stream.look(now_s, n_samples))
        if n_missing:
            self._missing_s = now_s
        if self._n_missing and now_s - self._missing_s >= PATIENCE_S:
            if self._missing_s - self._event_s > 2 * StreamClock.WINDOW_S + PATIENCE_S:
                self._report([Occurrence("overflow", 1, f"{self._n_missing} samples less than the clock gives")])
            self._n_missing = 0

    def _look_for_clipping(self, now_s: float, now: ReceiverCounters) -> None:
        self._report(causes.clipping(self._clip_from, now))
        self._clip_s, self._clip_from = now_s, now

    def _look_for_bursts(self, now_s: float, now: ReceiverCounters) -> None:
        probe = self._receiver.probe
        level = None if probe is None else probe.level()
        n_headers = now.n_headers - self._burst_from.n_headers
        if self._n_headers_before:  # the end of a burst that was read in the window before is no riddle
            level = None
        self._report(causes.burst_causes(self._burst_from, now, level))
        self._n_headers_before = n_headers
        self._burst_s, self._burst_from = now_s, now


class TransmitterMonitor(_Monitor):
    """Causes of a transmitter's run; arguments as `ReceiverMonitor`."""

    def __init__(self, transmitter: Transmitter, tell: Tell, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("transmitter", "U", transmitter.sink, tell, clock)
        self._transmitter = transmitter
        self._clip_s, self._n_clipped, self._n_sent = clock(), 0, 0

    def look(self) -> None:
        """To be called a few times a second."""
        self._ask_driver()
        if self._clock() - self._clip_s >= CLIP_WINDOW_S:
            self._look_for_clipping()

    def close(self) -> None:
        """The last look; what was not told yet is told."""
        self._look_for_clipping()
        self._tell_rest()

    def _look_for_clipping(self) -> None:
        n_clipped, n_sent = self._transmitter.sink.n_clipped, self._transmitter.n_samples_sent
        self._report(causes.output_clipping(n_clipped - self._n_clipped, n_sent - self._n_sent))
        self._clip_s, self._n_clipped, self._n_sent = self._clock(), n_clipped, n_sent


@contextlib.contextmanager
def watching(monitor: ReceiverMonitor | TransmitterMonitor) -> Iterator[None]:
    """Looks all the time, in a thread of its own: asking a radio may take as long as its network does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S):
            try:
                monitor.look()
            except Exception as exc:  # a watch that fails must not end what it watches, nor go on failing
                logging.getLogger("gened.monitor").warning("the monitor has ended: %s", " ".join(str(exc).split()))
                return

    thread = threading.Thread(target=watch, name="gened-monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(2.0)
        with contextlib.suppress(Exception):
            monitor.close()
