# SPDX-License-Identifier: GPL-3.0-or-later
"""Live figures of a receiver: whether it is synchronised, and the measurements of the latest frame.

detector's counters --.
                       +--> figures() --> line(), or a JSON object
facts of frames ------'
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gened.gr_blocks.pdu.facts import FrameFacts

SYNC_S = 5.0
"""A receiver counts as synchronised for so long after it has read a burst's header: longer than the pause between two
frames of a busy sender."""
SAMPLES_S = 1.0
"""Time without samples after which the lamp shows their absence."""
N_NUMBERS = 65536
"""Frame numbers; they wrap around."""
MAX_GAP = 1000
"""Largest number of frames in a row that may be lost; a larger jump is a sender that began again."""
MAX_SESSIONS = 64
"""Sessions whose latest frame is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures at one moment; None where a value is not known."""

    time_s: float
    """Seconds since the start."""
    has_samples: bool
    """Whether samples come."""
    is_synchronised: bool
    """Whether a burst's header was read within the last `SYNC_S`."""
    since_burst_s: float | None
    """Seconds since a header was read."""
    session: int | None
    """Session of the latest frame."""
    frame: int | None
    """Number of the latest frame."""
    snr_est_db: float | None
    """Estimated Es/N0 of the latest frame."""
    evm_db: float | None
    """Error vector magnitude of its digital symbols."""
    cfo_est_hz: float | None
    """Its estimated carrier frequency offset."""
    sfo_est_ppm: float | None
    """Its estimated sampling frequency offset."""
    evm_percent: float | None
    """`evm_db` as a percentage."""
    n_received: int
    """Frames received."""
    n_lost: int
    """Frames lost, as far as the numbers of the others show."""
    loss: float | None
    """Lost frames over sent frames."""


class LiveFigures:
    """Collects the figures; any thread may read them at any time.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin_s = clock()
        self._lock = threading.Lock()
        self._burst_s: float | None = None
        self._samples_s: float | None = None
        self._n_headers = self._n_samples = 0
        self._n_received = self._n_lost = 0
        self._newest: dict[int | None, int] = {}
        """Latest frame number by session."""
        self._latest: FrameFacts | None = None

    def update(self, *, n_headers: int, n_samples: int) -> None:
        """Takes the counters of the detector; to be called a few times per second."""
        with self._lock:
            now_s = self._clock()
            if n_headers != self._n_headers:
                self._n_headers, self._burst_s = n_headers, now_s
            if n_samples != self._n_samples:
                self._n_samples, self._samples_s = n_samples, now_s

    def frame(self, facts: FrameFacts) -> None:
        """Takes the facts of a received frame."""
        with self._lock:
            self._n_received += 1
            self._count_gap(facts.session, facts.frame)
            self._latest = facts

    def _count_gap(self, session: int | None, number: int) -> None:
        """Counts numbers that were passed over as lost frames; one that arrives later is no longer lost."""
        newest = self._newest.pop(session, None)
        step = 1 if newest is None else (number - newest) % N_NUMBERS
        if newest is not None and step > N_NUMBERS // 2:
            self._n_lost -= self._n_lost > 0 and N_NUMBERS - step <= MAX_GAP
            number = newest
        elif 1 < step <= MAX_GAP:
            self._n_lost += step - 1
        self._newest[session] = number
        while len(self._newest) > MAX_SESSIONS:  # a hostile sender takes a new session for each frame
            del self._newest[next(iter(self._newest))]

    def figures(self) -> Figures:
        """The figures now."""
        with self._lock:
            now_s, latest = self._clock(), self._latest
            since_s = None if self._burst_s is None else now_s - self._burst_s
            evm_db = None if latest is None else latest.evm_db
            n_sent = self._n_received + self._n_lost
            return Figures(
                time_s=round(now_s - self._begin_s, 3),
                has_samples=self._samples_s is not None and now_s - self._samples_s < SAMPLES_S,
                is_synchronised=since_s is not None and since_s < SYNC_S,
                since_burst_s=None if since_s is None else round(since_s, 3),
                session=None if latest is None else latest.session,
                frame=None if latest is None else latest.frame,
                snr_est_db=None if latest is None else latest.snr_est_db,
                evm_db=evm_db,
                cfo_est_hz=None if latest is None else latest.cfo_est_hz,
                sfo_est_ppm=None if latest is None else latest.sfo_est_ppm,
                evm_percent=None if evm_db is None else 100 * 10 ** (evm_db / 20),
                n_received=self._n_received,
                n_lost=self._n_lost,
                loss=self._n_lost / n_sent if n_sent else None,
            )


def line(figures: Figures) -> str:
    """One line for a screen, the most important figure first, as a narrow screen cuts the end off."""
    lost = f", {figures.n_lost} lost ({100 * (figures.loss or 0):.1f} %)" if figures.n_lost else ""
    measured = [
        pattern.format(value)
        for value, pattern in (
            (figures.snr_est_db, "SNR {:.1f} dB"), (figures.evm_db, "EVM {:.1f} dB"),
            (figures.cfo_est_hz, "{:+,.0f} Hz"), (figures.sfo_est_ppm, "{:+.1f} ppm"),
        )
        if value is not None
    ]  # fmt: skip
    return "; ".join([_lamp(figures), f"{figures.n_received} frames{lost}", ", ".join(measured)]).rstrip("; ")


def _lamp(figures: Figures) -> str:
    if not figures.has_samples:
        return "no samples"
    if figures.since_burst_s is None:
        return "no sync yet"
    if figures.is_synchronised:
        return f"sync {figures.since_burst_s:.1f} s ago"
    return f"no sync for {figures.since_burst_s:.0f} s"
