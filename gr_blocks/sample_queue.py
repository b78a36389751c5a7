# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: hands samples to another thread, without gaps as long as that thread keeps up."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from gnuradio import gr

from gened.gr_blocks.phy.types import ComplexArray

MAX_WAITING = 4_000_000
"""Samples that may wait, 32 MB: some seconds of a radio's stream."""


class sample_queue(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Accepts samples at any time, so that a radio never waits, and holds them until `take` is called.

    Port: complex samples in. Any thread may call `take`; the block has no thread of its own. If more than `MAX_WAITING`
    samples would wait, all that wait are dropped, and the next `take` reports a gap. Counters: `n_samples`,
    `n_dropped_samples`.
    """

    def __init__(self) -> None:
        gr.sync_block.__init__(self, name="sample_queue", in_sig=[np.complex64], out_sig=None)
        self._changed = threading.Condition()
        self._chunks: list[ComplexArray] = []
        self._n_waiting = 0
        self._has_gap = False
        self.n_samples = 0
        """Samples that have arrived since the block was made."""
        self.n_dropped_samples = 0
        """Samples among them that were dropped."""

    def take(self, timeout_s: float) -> tuple[ComplexArray, bool]:
        """Returns all waiting samples.

        Args:
            timeout_s: Longest wait for the first sample.

        Returns:
            [n] complex64, n may be 0; and whether samples were dropped before the first of them.
        """
        with self._changed:
            if not self._chunks:
                self._changed.wait(timeout_s)
            chunks, self._chunks, self._n_waiting = self._chunks, [], 0
            has_gap, self._has_gap = self._has_gap, False
        return np.concatenate([np.zeros(0, np.complex64), *chunks]), has_gap

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return {"n_samples": self.n_samples, "n_dropped_samples": self.n_dropped_samples}

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; accepts everything."""
        samples = input_items[0]
        with self._changed:
            self.n_samples += len(samples)
            if self._n_waiting + len(samples) > MAX_WAITING:
                self.n_dropped_samples += self._n_waiting
                self._chunks, self._n_waiting, self._has_gap = [], 0, True
            self._chunks.append(samples.copy())
            self._n_waiting += len(samples)
            self._changed.notify_all()
        return len(samples)
