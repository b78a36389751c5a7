# SPDX-License-Identifier: GPL-3.0-or-later
"""Pace and clock of a receiver whose samples come from a recording.

A recording can wait for the receiver, and its time is that of its samples. So it is received as fast as the machine
can, nothing is dropped, and frames wait for their bursts in the time of the recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gened.gr_blocks.phy.equalizer.demodulator import Capture

BURSTS_AHEAD, FRAMES_AHEAD, EDITS_AHEAD = 4, 2, 1
"""Most waiting items before the source pauses. Their sum is far below the length of the decoder's queue."""


class Waiting(NamedTuple):
    """Items that were detected and are not finished."""

    bursts: int
    """Bursts that are captured and not demodulated."""
    frames: int
    """Frames that are demodulated and not decoded."""
    edits: int
    """Pictures that are decoded and not edited; 0 without an editor."""


class Playback:
    """Pace and clock of a receiver whose samples are in a file or in memory.

    Args:
        n_samples: Number of samples in the recording.
        sample_rate: Hz.
        n_played: Returns the number of samples that the detector has searched; it goes on after the end, with silence.
        waiting: Returns the items that are not finished.
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
        """Whether the source must pause."""
        waiting = self._waiting()
        return waiting.bursts > BURSTS_AHEAD or waiting.frames > FRAMES_AHEAD or waiting.edits > EDITS_AHEAD

    def time_s(self, capture: Capture | None) -> float:
        """Start of a burst in seconds of the recording; without a burst, the time up to which all is searched.

        After the end of the recording the time continues with the clock of the machine.
        """
        if capture is not None:
            return capture.start / self._sample_rate
        n_played = self._n_played()  # read before the waiting items: bursts detected in between are later
        if self._waiting().bursts == 0:
            self._time_s = max(self._time_s, min(n_played, self._n_samples) / self._sample_rate)
            if n_played >= self._n_samples:
                self._end_s = self._end_s or time.monotonic()
        return self._time_s + (0.0 if self._end_s is None else time.monotonic() - self._end_s)
