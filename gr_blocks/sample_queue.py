# SPDX-License-Identifier: GPL-3.0-or-later
"""A sink whose samples another thread takes, without gaps as long as it keeps up."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from gnuradio import gr

from gened.gr_blocks.phy.types import ComplexArray

MAX_WAITING = 4_000_000
"""Samples that may wait, 32 MB: some seconds of a radio's."""


class sample_queue(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Takes samples as fast as they come, so that a radio never waits. When nobody takes them for long, all go."""

    def __init__(self) -> None:
        gr.sync_block.__init__(self, name="sample_queue", in_sig=[np.complex64], out_sig=None)
        self._changed = threading.Condition()
        self._chunks: list[ComplexArray] = []
        self._n_waiting = 0
        self._has_gap = False
        self.n_samples = 0
        """Samples that have come."""

    def take(self, timeout_s: float) -> tuple[ComplexArray, bool]:
        """All that waits, [n] complex64, after at most `timeout_s`; and whether samples were lost before it."""
        with self._changed:
            if not self._chunks:
                self._changed.wait(timeout_s)
            chunks, self._chunks, self._n_waiting = self._chunks, [], 0
            has_gap, self._has_gap = self._has_gap, False
        return np.concatenate([np.zeros(0, np.complex64), *chunks]), has_gap

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        samples = input_items[0]
        with self._changed:
            self.n_samples += len(samples)
            if self._n_waiting + len(samples) > MAX_WAITING:
                self._chunks, self._n_waiting, self._has_gap = [], 0, True
            self._chunks.append(samples.copy())
            self._n_waiting += len(samples)
            self._changed.notify_all()
        return len(samples)
