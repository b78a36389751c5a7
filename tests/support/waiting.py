# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition that another thread or process makes true, of which it sends no notice.

The limits only bound a test that fails, so they are generous: a busy machine with two cores is no failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_S = 0.01


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
    """Poll a condition until it holds, and return whether it did within `timeout_s` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(PAUSE_S)  # the one place where tests poll
    return True


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Poll a condition until it holds; after `timeout_s` seconds the test fails with `what`."""
    assert wait_until(condition, timeout_s), what
