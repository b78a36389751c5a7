# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: keeps a requested stretch of samples for the caller, and drops all others."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from gnuradio import gr

from gened.errors import LinkError
from gened.gr_blocks.phy.types import ComplexArray

POLL_S = 0.1


class sample_catcher(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Accepts samples at any time, so that a radio never waits, and returns some of them to `catch`.

    Port: complex samples in. One thread at a time may call `catch`, while the flowgraph runs; the block has no thread
    of its own. Counters: `n_samples`.
    """

    def __init__(self) -> None:
        gr.sync_block.__init__(self, name="sample_catcher", in_sig=[np.complex64], out_sig=None)
        self._changed = threading.Condition()
        self._n_skipped = 0
        self._kept: ComplexArray = np.zeros(0, np.complex64)
        self._n_kept = 0
        self._is_requested = False
        self.n_samples = 0
        """Samples that have arrived since the block was made."""

    def catch(self, n_skipped: int, n_samples: int, *, timeout_s: float, stop: threading.Event) -> ComplexArray:
        """Waits for the next samples.

        Args:
            n_skipped: Samples that are dropped first: those that were under way before a setting was changed.
            n_samples: Samples that are kept after them.
            timeout_s: Longest time without any sample.
            stop: Ends the wait.

        Returns:
            [n_samples] complex64, fewer if `stop` was set.

        Raises:
            LinkError: No sample arrived for `timeout_s`.
        """
        with self._changed:
            self._kept, self._n_kept = np.zeros(n_samples, np.complex64), 0
            self._n_skipped, self._is_requested = n_skipped, True
            seen, moved_s = self.n_samples, time.monotonic()
            while self._n_kept < n_samples and not stop.is_set():
                self._changed.wait(POLL_S)
                if self.n_samples != seen:
                    seen, moved_s = self.n_samples, time.monotonic()
                elif time.monotonic() - moved_s > timeout_s:
                    self._is_requested = False
                    raise LinkError(f"no samples from the radio for {timeout_s:g} s; is it still there?")
            self._is_requested = False
            return self._kept[: self._n_kept]

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return {"n_samples": self.n_samples}

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; accepts everything."""
        samples = input_items[0]
        with self._changed:
            self.n_samples += len(samples)
            if self._is_requested and self._n_kept < len(self._kept):
                n_skipped = min(self._n_skipped, len(samples))
                self._n_skipped -= n_skipped
                part = samples[n_skipped : n_skipped + len(self._kept) - self._n_kept]
                self._kept[self._n_kept : self._n_kept + len(part)] = part
                self._n_kept += len(part)
                if self._n_kept == len(self._kept):
                    self._changed.notify_all()
        return len(samples)
