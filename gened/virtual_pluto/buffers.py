# SPDX-License-Identifier: GPL-3.0-or-later
"""Between a client and a converter: receive buffers that overflow, transmit buffers that underflow.

Samples are int16 pairs [n, 2] (I, Q), as they are on the wire. As in the kernel there is a small number of buffers;
however small, together they hold `SLACK_S`, because no scheduler of a desktop keeps time like a radio's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int16]

SLACK_S = 0.06
"""Of samples that wait at least, however small a client's buffers are."""
DEFAULT_COUNT = 4
"""Kernel buffers."""
PAIR_BYTES = 4
GAP_LEN = 32
"""Zeros between two bursts: so many in a row no OFDM burst has."""
START_PATIENCE_S = 0.02
"""A transmission that begins waits so long for as many samples as one step of the air takes."""


def channels_of(mask: str) -> tuple[int, ...]:
    """Of I (0) and Q (1) those that a mask of OPEN enables."""
    word = int(mask, 16)
    return tuple(index for index in range(2) if word >> index & 1)


def _blocks_for(n_samples: int, count: int, rate: float) -> int:
    return max(count, int(np.ceil(SLACK_S * rate / n_samples)))


class ReceiveBuffer:
    """Samples for one client that has opened the receiver.

    Args:
        n_samples: Of one buffer.
        channels: See `channels_of`.
        count: Buffers that wait to be read; more is an overflow.
        rate: Samples a second, for the slack.
        on_overflow: Called, with a lock held, at each loss.
    """

    def __init__(
        self, n_samples: int, channels: tuple[int, ...], count: int, rate: float, on_overflow: Callable[[], None]
    ) -> None:
        self.n_samples = n_samples
        self.channels = channels
        self.n_bytes = PAIR_BYTES * n_samples * count
        self._n_blocks = _blocks_for(n_samples, count, rate)
        self._on_overflow = on_overflow
        self._changed = threading.Condition()
        self._full: deque[list[Pairs]] = deque()
        self._parts: list[Pairs] = []
        self._n_parts = 0
        self.lost_samples = 0

    @property
    def sample_bytes(self) -> int:
        """Of one sample of all enabled channels."""
        return 2 * len(self.channels)

    def push(self, samples: Pairs) -> None:
        """What the converter gives; [n, 2]. What finds no room is lost until a whole buffer has been read."""
        with self._changed:
            while len(samples):
                if self._n_parts == 0 and len(self._full) >= self._n_blocks:
                    self.lost_samples += len(samples)
                    self._on_overflow()
                    return
                part = samples[: self.n_samples - self._n_parts]
                samples = samples[len(part) :]
                self._parts.append(part)
                self._n_parts += len(part)
                if self._n_parts == self.n_samples:
                    self._full.append(self._parts)
                    self._parts, self._n_parts = [], 0
                    self._changed.notify_all()

    def pop(self, timeout_s: float) -> bytes | None:
        """The oldest full buffer, as it goes over the wire; None when there was none in time."""
        with self._changed:
            if not self._full and not self._changed.wait_for(lambda: bool(self._full), timeout_s):
                return None
            parts = self._full.popleft()
        pairs = np.concatenate(parts)
        chosen = pairs if len(self.channels) == 2 else pairs[:, list(self.channels)]
        return np.ascontiguousarray(chosen, "<i2").tobytes()


class TransmitQueue:
    """What clients have written, until the converter takes it; or one buffer that it repeats.

    Args:
        on_underflow: Called, with a lock held, when a running transmission has run dry.
    """

    def __init__(self, on_underflow: Callable[[], None]) -> None:
        self._on_underflow = on_underflow
        self._changed = threading.Condition()
        self._queue: deque[Pairs] = deque()
        self._n_queued = 0
        self._n_writing = 0
        self._cyclic: Pairs | None = None
        self._position = 0
        self._is_running = False
        self._waits_since_s: float | None = None
        self.missing_samples = 0

    def write(self, samples: Pairs, room: int, timeout_s: float) -> bool:
        """Puts samples in line when no more than `room` would wait; False when that took too long."""
        with self._changed:
            self._n_writing += 1
            try:
                if not self._changed.wait_for(lambda: self._n_queued + len(samples) <= room, timeout_s):
                    return False
                self._queue.append(samples)
                self._n_queued += len(samples)
                self._changed.notify_all()
                return True
            finally:
                self._n_writing -= 1

    def repeat(self, samples: Pairs) -> None:
        """From now on this buffer, again and again."""
        with self._changed:
            self._cyclic, self._position = samples, 0

    @property
    def is_cyclic(self) -> bool:
        """Whether a buffer is being repeated."""
        return self._cyclic is not None

    def clear(self) -> None:
        """All is thrown away, as by the kernel when a buffer is closed."""
        with self._changed:
            self._queue.clear()
            self._n_queued, self._cyclic, self._is_running, self._waits_since_s = 0, None, False, None
            self._changed.notify_all()

    def take(self, n: int) -> Pairs | None:
        """The next n samples, [n, 2], zeros where there are none; None when all of them would be."""
        with self._changed:
            if self._cyclic is not None:
                return self._take_cyclic(self._cyclic, n)
            if not self._is_running and not self._may_start(n):
                return None
            self._is_running = True
            result = np.zeros((n, 2), np.int16)
            at = 0
            while at < n and self._queue:
                part = self._queue[0][: n - at]
                result[at : at + len(part)] = part
                at += len(part)
                if len(part) == len(self._queue[0]):
                    self._queue.popleft()
                else:
                    self._queue[0] = self._queue[0][len(part) :]
            self._n_queued -= at
            if at < n:
                self.missing_samples += n - at
                self._is_running, self._waits_since_s = False, None
                self._on_underflow()
            self._changed.notify_all()
            return result if at else None

    def _may_start(self, n: int) -> bool:
        if not self._queue:
            return False
        now_s = time.monotonic()
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        return self._n_queued >= n or now_s - self._waits_since_s > START_PATIENCE_S

    def _take_cyclic(self, cyclic: Pairs, n: int) -> Pairs:
        where = (self._position + np.arange(n)) % len(cyclic)
        self._position = (self._position + n) % len(cyclic)
        result: Pairs = cyclic[where]
        return result


def transmit_room(n_samples: int, count: int, rate: float) -> int:
    """Samples that may wait to be transmitted when a client's buffers have `n_samples`."""
    return n_samples * _blocks_for(n_samples, count, rate)


class BurstFinder:
    """Where bursts begin in a stream that is zero between them."""

    def __init__(self) -> None:
        self._n_zeros = GAP_LEN

    def starts(self, samples: Pairs) -> npt.NDArray[np.int64]:
        """Indices in this chunk, [n, 2], at which the first sample after a gap stands."""
        there = np.flatnonzero((samples[:, 0] | samples[:, 1]) != 0)
        if not len(there):
            self.silence(len(samples))
            return there
        before = np.concatenate([[-self._n_zeros - 1], there[:-1]])
        self._n_zeros = len(samples) - 1 - int(there[-1])
        starts: npt.NDArray[np.int64] = there[there - before > GAP_LEN]
        return starts

    def silence(self, n: int) -> None:
        """So many zeros went by."""
        self._n_zeros = min(self._n_zeros + n, GAP_LEN)
