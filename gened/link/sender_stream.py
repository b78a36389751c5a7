# SPDX-License-Identifier: GPL-3.0-or-later
"""The transmitter's samples as air has them: a queue with burst borders, which gives whole bursts, and silence between.

```text
push(samples)   --> queue --> take(n) --> n samples, zeros where nothing is sent, and where bursts begin
announce(burst) -->   |
```
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Collection

import numpy as np

from gened.gr_blocks.phy.types import ComplexArray

MAX_QUEUED = 2**22
"""Samples; beyond it the channel emulator reads no more and the transmitter waits. 32 MiB, 4 s at 1 Msample/s."""
MAX_ANNOUNCED = 2**16
PATIENCE_S = 1.0
"""Time to wait for the rest of a burst, or for the announcement of samples."""
MAX_AMPLITUDE = 1e3
SILENCE_LEN = 16
"""Zeros in a row that count as a gap between bursts that were not announced."""


class SenderStream:
    """Queue of samples with burst borders.

    A burst begins when all of its samples are there, so that a transmitter that is slow for a moment leaves no hole in
    it. Samples without an announcement, from a flowgraph that has no control socket, pass as
    they come after a moment's patience; their bursts are separated by the silence between them.

    Args:
        rng: Draws where in time a burst begins after silence, as a radio's late start would.
        max_lead: Largest such delay in samples.
        drop_bursts: Bursts that are replaced by silence, counted from 0.
        clock: Seconds, for patience.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        max_lead: int = 4096,
        drop_bursts: Collection[int] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_bursts = 0
        """Bursts begun since the start."""
        self.n_dropped_bursts = 0
        self.dropped: collections.deque[int] = collections.deque(maxlen=MAX_ANNOUNCED)
        """Numbers of the latest of them; the reader removes those that it has read."""
        self.n_underflows = 0
        """Bursts with a hole, because their samples did not come in time."""
        self._rng = rng
        self._max_lead = max_lead
        self._drop = frozenset(drop_bursts)
        self._clock = clock
        self._pieces: collections.deque[ComplexArray] = collections.deque()
        self._announced: collections.deque[tuple[int, int]] = collections.deque()
        self._n_queued = 0
        self._position = 0  # index in the session of the next sample that will be taken
        self._left = 0  # samples of the burst that is being sent
        self._is_dropped = False
        self._is_holed = False
        self._is_loose = False  # samples pass although they were not announced
        self._lead: int | None = None  # silence still to pass before the burst that is next
        self._is_idle = True
        self._n_zeros = SILENCE_LEN
        self._waiting_since: float | None = None

    @property
    def is_full(self) -> bool:
        """Whether no more should be pushed."""
        return self._n_queued >= MAX_QUEUED

    def has_given(self, n_samples: int) -> bool:
        """Whether the first `n_samples` of the stream have been taken."""
        return self._position >= n_samples

    def restart(self) -> None:
        """Starts a new session: samples of the old one are discarded, and counting begins at 0."""
        self._pieces.clear()
        self._announced.clear()
        self._n_queued = self._position = self._left = 0
        self._is_loose = False
        self._waiting_since = None

    def push(self, samples: ComplexArray) -> None:
        """Appends samples; those that are not finite, or larger than `MAX_AMPLITUDE`, become 0."""
        good = np.abs(samples) < MAX_AMPLITUDE  # False for what is not a number
        self._pieces.append(samples if good.all() else np.where(good, samples, 0).astype(np.complex64))
        self._n_queued += len(samples)

    def announce(self, start: int, length: int) -> bool:
        """A burst at `start` samples from the session's begin; False when it lies in the past or on another burst."""
        earliest = sum(self._announced[-1]) if self._announced else self._position + self._left
        if start < earliest or len(self._announced) >= MAX_ANNOUNCED:
            return False
        self._announced.append((start, length))
        return True

    def has_samples(self) -> bool:
        """Whether `take` would return anything but silence now."""
        return self._n_queued > 0 and (self._left > 0 or self._n_ready() > 0)

    def take(self, n: int) -> tuple[ComplexArray, list[int]]:
        """The next `n` samples and the indices among them at which bursts begin."""
        out = np.zeros(n, np.complex64)
        starts: list[int] = []
        filled = 0
        while filled < n:
            if self._left > 0:
                filled += self._take_burst(out[filled:])
                if self._left > 0:
                    break  # the chunk is full, or the samples are late
            else:
                n_ready = self._n_ready()
                if n_ready == 0:
                    self._is_idle = True
                    break
                if not self._lead_passed(n - filled):
                    break
                filled += self._lead or 0
                self._lead, self._is_idle = None, False
                if self._announced and self._announced[0][0] == self._position:
                    starts.append(filled)
                    self._begin_burst()
                elif filled < n:
                    part = self._pop(min(n - filled, n_ready))
                    starts += [filled + start for start in self._loose_starts(part)]
                    out[filled : filled + len(part)] = part
                    filled += len(part)
        return out, [start for start in starts if start < n]

    def _n_ready(self) -> int:
        """Samples that may be taken without waiting: a burst as soon as it is whole, others after some patience."""
        if self._n_queued == 0:
            self._waiting_since, self._is_loose = None, False
            return 0
        if not self._announced:
            self._is_loose = self._is_loose or self.is_full or self._waited()
            return self._n_queued if self._is_loose else 0
        start, length = self._announced[0]
        if start > self._position:
            return min(self._n_queued, start - self._position)
        return length if self._n_queued >= length or self.is_full or self._waited() else 0

    def _waited(self) -> bool:
        now = self._clock()
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= PATIENCE_S

    def _lead_passed(self, room: int) -> bool:
        """Silence before what comes first after silence; False when it fills the chunk."""
        if self._lead is None:
            self._lead = int(self._rng.integers(0, self._max_lead + 1)) if self._is_idle else 0
        if self._lead >= room and self._lead > 0:
            self._lead -= room
            return False
        return True

    def _begin_burst(self) -> None:
        self._left = self._announced.popleft()[1]
        self._is_dropped = self.n_bursts in self._drop
        if self._is_dropped:
            self.n_dropped_bursts += 1
            self.dropped.append(self.n_bursts)
        self.n_bursts += 1
        self._waiting_since, self._is_loose, self._is_holed = None, False, False

    def _take_burst(self, out: ComplexArray) -> int:
        part = self._pop(min(len(out), self._left))
        if not self._is_dropped:
            out[: len(part)] = part
        self._left -= len(part)
        if self._left > 0 and len(part) < len(out) and not self._is_holed:
            self._is_holed = True
            self.n_underflows += 1
        return len(part)

    def _pop(self, n: int) -> ComplexArray:
        """Up to `n` samples from the front of the queue."""
        parts: list[ComplexArray] = []
        while n > 0 and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > n:
                self._pieces.appendleft(piece[n:])
                piece = piece[:n]
            parts.append(piece)
            n -= len(piece)
            self._n_queued -= len(piece)
            self._position += len(piece)
        joined: ComplexArray = np.concatenate([np.zeros(0, np.complex64), *parts])
        return joined

    def _loose_starts(self, samples: ComplexArray) -> list[int]:
        """Where bursts begin in samples without announcements: behind `SILENCE_LEN` zeros."""
        (sounding,) = np.nonzero(samples)
        if len(sounding) == 0:
            self._n_zeros += len(samples)
            return []
        gaps = np.diff(sounding, prepend=-1 - self._n_zeros) - 1
        starts = [int(index) for index in sounding[gaps >= SILENCE_LEN]]
        self._n_zeros = len(samples) - 1 - int(sounding[-1])
        self.n_bursts += len(starts)
        return starts
