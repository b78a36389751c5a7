# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording before a receiver: it waits where a radio could not, and has a time of its own.

So a recording is received as fast as this machine can, nothing of it is dropped, and a frame whose bursts lie two
seconds apart is the same frame however long they take to play.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gened.gr_blocks.phy.equalizer.demodulator import Capture

BURSTS_AHEAD, FRAMES_AHEAD, EDITS_AHEAD = 4, 2, 1
"""What may wait before the source does. A burst may be a frame soon, so their sum is far below the decoder's queue."""


class Waiting(NamedTuple):
    """What has been found and is not done."""

    bursts: int
    """Captured, not demodulated."""
    frames: int
    """Demodulated, not decoded."""
    edits: int
    """Decoded, not edited; 0 without an editor."""


class Playback:
    """Pace and clock of a receiver whose samples are in a file or in memory.

    Args:
        n_samples: How many there are.
        sample_rate: Hz.
        n_played: Tells how many the detector has searched; it goes on behind the end, with silence.
        waiting: Tells what is not done.
    """

    def __init__(
        self, n_samples: int, sample_rate: float, n_played: Callable[[], int], waiting: Callable[[], Waiting]
    ) -> None:
        self._n_samples = n_samples
        self._sample_rate = sample_rate
        self._n_played = n_played
        self._waiting = waiting
        self._time_s = 0.0
        self._end_s: float | None = None

    def must_wait(self) -> bool:
        """Whether the source is too far ahead."""
        waiting = self._waiting()
        return waiting.bursts > BURSTS_AHEAD or waiting.frames > FRAMES_AHEAD or waiting.edits > EDITS_AHEAD

    def time_s(self, capture: Capture | None) -> float:
        """When a burst began, in seconds of the recording; without one: how far all was looked at.

        Behind the recording's end the seconds of this machine follow.
        """
        if capture is not None:
            return capture.start / self._sample_rate
        n_played = self._n_played()  # before what waits: what is found meanwhile is later
        if self._waiting().bursts == 0:
            self._time_s = max(self._time_s, min(n_played, self._n_samples) / self._sample_rate)
            if n_played >= self._n_samples:
                self._end_s = self._end_s or time.monotonic()
        return self._time_s + (0.0 if self._end_s is None else time.monotonic() - self._end_s)
