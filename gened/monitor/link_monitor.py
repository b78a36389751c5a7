# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a run and reports its faults by name, seldom enough for a screen.

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
from typing import TYPE_CHECKING, Protocol

from gened.flowgraphs.radios.radio_events import EVENTS, EventReporter
from gened.monitor import causes
from gened.monitor.causes import CAUSES, SAID_ONCE, Occurrence, ReceiverCounters, StreamClock
from gened.monitor.driver_output import flush_drivers, letter_counts

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.flowgraphs.transmitter import Transmitter
    from gened.gr_blocks.pdu.facts import FrameFacts
    from gened.gr_blocks.signal_probe import signal_probe

POLL_S = 0.2
WINDOW_S = 5.0
"""Time over which bursts are searched; longer than the pause between two frames of a busy sender."""
CLIP_WINDOW_S = 1.0
PATIENCE_S = 1.2
"""Time within which a driver reports a loss itself; gr-iio checks once per second."""
START_S = 2.0
"""What drivers print before, until samples flow, is no event."""
GRAVEST = (
    "other weights",
    "decoder fails",
    "other format",
    "header fails",
    "input clipping",
    "overflow",
    "dropped packet",
    "no burst found",
)
"""Causes for which no picture comes, the likeliest first."""
Show = Callable[[str], None]


class WatchedEnd(Protocol):
    """A source or sink of samples with its driver, where it has one; see `flowgraphs.radios.protocols`."""

    @property
    def events(self) -> EventReporter:
        """Counts the events of the driver."""

    def poll(self) -> None:
        """Asks the driver for events."""


class WatchedDetector(Protocol):
    """What counts samples, preambles and headers."""

    def stats(self) -> dict[str, int]:
        """Counters by name, those of `phy.sync.detector.DetectorStats` among them."""


class WatchedReceiver(Protocol):
    """Members of a receiver that its monitor reads."""

    @property
    def profile(self) -> RadioProfile:
        """Source of the samples."""

    @property
    def source(self) -> WatchedEnd:
        """The source itself."""

    @property
    def detector(self) -> WatchedDetector:
        """The burst detector."""

    @property
    def probe(self) -> signal_probe | None:
        """Level of the samples; None where it is not measured."""


class _Monitor:
    """The part that both sides share: the events of the radio and the reporter of causes."""

    def __init__(self, where: str, letter: str, end: WatchedEnd, show: Show, clock: Callable[[], float]) -> None:
        self._letter = letter
        self._begin_s = clock()
        self._n_letters = 0
        self.reporter = EventReporter(where, show, clock=clock, table=CAUSES, once=SAID_ONCE)
        self._clock = clock
        self._end = end
        self._events = end.events
        self._events.tell_to(show)

    def counts(self) -> dict[str, int]:
        """How often each cause was seen, by name."""
        letters = self._events.counts()
        named = {EVENTS[letter].name if letter in EVENTS else letter: n for letter, n in letters.items()}
        for name, n in self.reporter.counts().items():
            named[name] = named.get(name, 0) + n
        return dict(sorted(named.items()))

    def _poll_driver(self) -> None:
        """Polls the radio and counts the letters that its driver has printed, but for those before samples flow."""
        self._end.poll()
        flush_drivers()
        before, self._n_letters = self._n_letters, letter_counts().get(self._letter, 0)
        if self._n_letters == before or self._clock() - self._begin_s < START_S:
            return
        self._events.report(self._letter, self._n_letters - before)

    def _n_events(self) -> int:
        return sum(self._events.counts().values())

    def _report(self, found: list[Occurrence]) -> None:
        for cause in found:
            self.reporter.report(cause.name, cause.n, cause.detail)

    def _report_rest(self) -> None:
        self._events.tell_rest()
        self.reporter.tell_rest()


class ReceiverMonitor(_Monitor):
    """Causes of a receiver's run.

    Args:
        receiver: Before it starts or while it runs.
        show: Called with each line; any thread.
        clock: Seconds that only rise.
    """

    def __init__(self, receiver: WatchedReceiver, show: Show, *, clock: Callable[[], float] = time.monotonic) -> None:
        profile = receiver.profile
        hardware = profile.hardware
        super().__init__("receiver", "O", receiver.source, show, clock)
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
        self._lock = threading.Lock()  # `poll` runs in the thread of `watching`, `why` in another

    def frame(self, facts: FrameFacts) -> None:
        """Takes the facts of a frame; any thread."""
        self._report(causes.frame_causes(facts, self._sample_rate, self._room_hz))

    def edited(self, facts: FrameFacts) -> None:
        """Takes the facts of a frame that the editor has returned; any thread."""
        self._report(causes.edit_causes(facts))

    def poll(self) -> None:
        """Evaluates the counters; to be called a few times per second."""
        self._poll_driver()
        with self._lock:
            now_s, now = self._clock(), self._counters()
            self._check_losses(now_s, now.n_samples)
            if now_s - self._clip_s >= CLIP_WINDOW_S:
                self._check_clipping(now_s, now)
            if now_s - self._burst_s >= WINDOW_S:
                self._check_bursts(now_s, now)

    def why(self) -> str | None:
        """The cause that best explains why no picture came, with its advice; None where none was seen."""
        self._judge()
        counts = self.counts()
        name = next((name for name in GRAVEST if name in counts), None)
        return None if name is None else str(CAUSES[name])

    def close(self) -> None:
        """Reports what is left, while the flowgraph still exists."""
        self._judge()
        self._report_rest()

    def _judge(self) -> None:
        """Evaluates windows that have not ended, if they are long enough."""
        with self._lock:
            now_s, now = self._clock(), self._counters()
            self._check_clipping(now_s, now)
            if now_s - self._burst_s >= CLIP_WINDOW_S:
                self._check_bursts(now_s, now)

    def _counters(self) -> ReceiverCounters:
        stats, probe = self._receiver.detector.stats(), self._receiver.probe
        return ReceiverCounters(
            n_samples=stats["samples"] if probe is None else probe.n_samples,
            n_preambles=stats["preambles"], n_headers=stats["headers"],
            n_bad_headers=stats["bad_headers"], n_foreign=stats["foreign_versions"],
            n_full_scale=0 if probe is None else probe.n_full_scale,
        )  # fmt: skip

    def _check_losses(self, now_s: float, n_samples: int) -> None:
        """Reports overflows that only the clock shows; the driver may report one a little later itself."""
        if self._n_events() != self._n_events_before:
            self._n_events_before, self._event_s = self._n_events(), now_s
        if self._stream is None or now_s - self._begin_s < START_S:
            return
        self._n_missing += (n_missing := self._stream.update(now_s, n_samples))
        if n_missing:
            self._missing_s = now_s
        if self._n_missing and now_s - self._missing_s >= PATIENCE_S:
            if self._missing_s - self._event_s > 2 * StreamClock.WINDOW_S + PATIENCE_S:
                self._report([Occurrence("overflow", 1, f"{self._n_missing} samples less than the clock gives")])
            self._n_missing = 0

    def _check_clipping(self, now_s: float, now: ReceiverCounters) -> None:
        self._report(causes.clipping(self._clip_from, now))
        self._clip_s, self._clip_from = now_s, now

    def _check_bursts(self, now_s: float, now: ReceiverCounters) -> None:
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

    def __init__(self, transmitter: Transmitter, show: Show, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("transmitter", "U", transmitter.sink, show, clock)
        self._transmitter = transmitter
        self._clip_s, self._n_clipped, self._n_sent = clock(), 0, 0
        self._n_bad_symbols = 0

    def poll(self) -> None:
        """Evaluates the counters; to be called a few times per second."""
        self._poll_driver()
        if self._clock() - self._clip_s >= CLIP_WINDOW_S:
            self._check_clipping()
            self._check_symbols()

    def close(self) -> None:
        """Reports what is left."""
        self._check_clipping()
        self._check_symbols()
        self._report_rest()

    def _check_clipping(self) -> None:
        n_clipped, n_sent = self._transmitter.sink.n_clipped, self._transmitter.n_samples_sent
        self._report(causes.output_clipping(n_clipped - self._n_clipped, n_sent - self._n_sent))
        self._clip_s, self._n_clipped, self._n_sent = self._clock(), n_clipped, n_sent

    def _check_symbols(self) -> None:
        before, self._n_bad_symbols = self._n_bad_symbols, self._transmitter.n_bad_symbols
        if self._n_bad_symbols > before:
            self._report([Occurrence("bad symbols", self._n_bad_symbols - before)])


@contextlib.contextmanager
def named_faults(*blocks: str) -> Iterator[None]:
    """Silences the log lines of blocks whose faults are reported by name.

    Args:
        *blocks: Names of the blocks, as those of their counters.
    """
    loggers = [logging.getLogger(f"gened.{name}") for name in blocks]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def watching(monitor: ReceiverMonitor | TransmitterMonitor) -> Iterator[None]:
    """Polls a monitor in a thread of its own: a radio may answer as slowly as its network."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            try:
                monitor.poll()
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
