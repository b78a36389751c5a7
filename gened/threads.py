# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of the numerical libraries: how many there are, and how idle ones wait.

OpenMP reads its variables once, when PyTorch loads it, so both functions are called before that.

By default a thread of OpenMP that has finished its part of a loop polls for the next one without releasing its core. On
a machine that is busy otherwise, the thread for which all others wait then gets no core, and a picture takes several
times as long. A passive thread sleeps instead.

References:
    OpenMP API 5.2, section 21.6 (OMP_WAIT_POLICY); libgomp, which PyTorch's wheels for Linux contain, follows it.
    LLVM/Intel OpenMP, KMP_BLOCKTIME: time in ms for which a thread polls before it sleeps; on macOS and in conda.
"""

from __future__ import annotations

import os
import sys

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Variables that make idle threads sleep."""
LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that limit the number of threads."""


def wait_passively() -> None:
    """Makes idle threads of this process and of those that it starts sleep; variables that the user has set stay."""
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def limits(n_threads: int) -> dict[str, str]:
    """The variables for a process with at most `n_threads` threads in each library."""
    return dict.fromkeys(LIMITS, str(n_threads))


def limit_threads(n_threads: int) -> None:
    """Limits the threads of this process and of those that it starts."""
    os.environ.update(limits(n_threads))
    torch = sys.modules.get("torch")  # loaded already, as in a test: it has read its variables
    if torch is not None:
        torch.set_num_threads(n_threads)
