# SPDX-License-Identifier: GPL-3.0-or-later
"""sample_queue: samples in their order, and a gap that is reported where they were dropped."""

from __future__ import annotations

import numpy as np
import pytest

from gened.gr_blocks import sample_queue as module
from gened.gr_blocks.sample_queue import sample_queue


def test_samples_come_in_their_order_and_a_gap_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    queue = sample_queue()
    samples = np.arange(16).astype(np.complex64)
    for part in (samples[:4], samples[4:8]):
        assert queue.work([part], []) == 4
    taken, has_gap = queue.take(0.0)
    assert (taken.tolist(), has_gap) == (list(range(8)), False)
    queue.work([samples[:8]], [])
    queue.work([samples[8:12]], [])  # twelve would wait: the first eight go
    taken, has_gap = queue.take(0.0)
    assert (taken.tolist(), has_gap) == ([8, 9, 10, 11], True)
    assert queue.take(0.0)[1] is False
    assert queue.stats() == {"n_samples": 20, "n_dropped_samples": 8}
