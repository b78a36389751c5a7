# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody at a bench watches while a receiver runs: a lamp, and the figures of the latest frame.

detector's counters --.
                       +--> figures() --> line(), or a JSON object
frames ---------------'
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

Facts = dict[str, Any]
SYNC_S = 5.0
"""A receiver counts as synchronised for so long after it has read a burst's header: longer than the pause between two
frames of a busy sender."""
SAMPLES_S = 1.0
"""Without samples for so long, that is what is told."""
N_NUMBERS = 65536
MAX_GAP = 1000
"""Frames that may be missing in a row; more is taken for a sender that began again."""
MAX_SESSIONS = 64
MEASURED = ("snr_est_db", "evm_db", "cfo_est_hz", "sfo_est_ppm")


class LiveFigures:
    """Collects; `figures` may be asked for at any time, from any thread.

    Args:
        clock: Seconds that only rise.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin_s = clock()
        self._lock = threading.Lock()
        self._burst_s: float | None = None
        self._samples_s: float | None = None
        self._n_headers = self._n_samples = 0
        self._n_received = self._n_lost = 0
        self._newest: dict[Any, int] = {}
        """Latest frame number by session."""
        self._latest: Facts = {}

    def look(self, *, n_headers: int, n_samples: int) -> None:
        """Takes the detector's counters; to be called a few times a second."""
        with self._lock:
            now_s = self._clock()
            if n_headers != self._n_headers:
                self._n_headers, self._burst_s = n_headers, now_s
            if n_samples != self._n_samples:
                self._n_samples, self._samples_s = n_samples, now_s

    def frame(self, facts: Mapping[str, Any]) -> None:
        """Takes a frame that has come: `session`, `frame`, and as far as they are known `MEASURED`."""
        session, number = facts.get("session"), facts.get("frame")
        if not isinstance(number, int):
            return
        with self._lock:
            self._n_received += 1
            self._count_gap(session, number)
            self._latest = {"session": session, "frame": number, **{key: _number(facts.get(key)) for key in MEASURED}}

    def _count_gap(self, session: Any, number: int) -> None:
        """A number that was passed over is a lost frame, until it comes after all."""
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

    def figures(self) -> Facts:
        """As they are now; what is not known is None.

        `time_s` since the start, `has_samples`, `is_synchronised`, `since_burst_s`, `session`, `frame`, `snr_est_db`,
        `evm_db` and `evm_percent` of the digital cells, `cfo_est_hz`, `sfo_est_ppm` of the latest frame, `n_received`,
        `n_lost`, `loss`: lost over sent, as far as the frames' numbers tell.
        """
        with self._lock:
            now_s = self._clock()
            since_s = None if self._burst_s is None else now_s - self._burst_s
            evm_db = self._latest.get("evm_db")
            n_sent = self._n_received + self._n_lost
            return {
                "time_s": round(now_s - self._begin_s, 3),
                "has_samples": self._samples_s is not None and now_s - self._samples_s < SAMPLES_S,
                "is_synchronised": since_s is not None and since_s < SYNC_S,
                "since_burst_s": None if since_s is None else round(since_s, 3),
                **{key: self._latest.get(key) for key in ("session", "frame", *MEASURED)},
                "evm_percent": None if evm_db is None else 100 * 10 ** (evm_db / 20),
                "n_received": self._n_received, "n_lost": self._n_lost,
                "loss": self._n_lost / n_sent if n_sent else None,
            }  # fmt: skip


def line(figures: Mapping[str, Any]) -> str:
    """One line for a screen, what matters first: a narrow one cuts it off."""
    lost = f", {figures['n_lost']} lost ({100 * figures['loss']:.1f} %)" if figures["n_lost"] else ""
    measured = [
        pattern.format(figures[key])
        for key, pattern in (
            ("snr_est_db", "SNR {:.1f} dB"), ("evm_db", "EVM {:.1f} dB"), ("cfo_est_hz", "{:+,.0f} Hz"),
            ("sfo_est_ppm", "{:+.1f} ppm"),
        )
        if figures[key] is not None
    ]  # fmt: skip
    return "; ".join([_lamp(figures), f"{figures['n_received']} frames{lost}", ", ".join(measured)]).rstrip("; ")


def _lamp(figures: Mapping[str, Any]) -> str:
    if not figures["has_samples"]:
        return "no samples"
    if figures["since_burst_s"] is None:
        return "no sync yet"
    return ("sync {:.1f} s ago" if figures["is_synchronised"] else "no sync for {:.0f} s").format(
        figures["since_burst_s"]
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
