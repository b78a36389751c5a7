# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: no screen, one thread each, and the same random numbers on every run."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Before NumPy, PyTorch or Qt are loaded: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest
from hypothesis import settings

from gened.commands.signals import SIGNALS

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))  # services, tiny models, generators of recordings
pytest_plugins = ["skips", "virtual_pair"]

# The same examples on every machine; a slow machine is not a failure.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("repeatable")

SEED = 20260101


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The global generators of this process, for code that takes none; PyTorch's only if a test has loaded it."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  # the legacy generator is the one that needs it
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(SEED)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A command that a test starts in this process leaves its handlers of signals; the next test has the usual ones."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)
