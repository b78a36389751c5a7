# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: plays a finite number of samples, then silence.

GNU Radio's own file and vector sources end the flowgraph with their last sample, while message blocks still have bursts
to demodulate. This block goes on with zeros, slowly, until the flowgraph is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gnuradio import gr

from gened.errors import LinkError

SAMPLE_BYTES = 8  # complex64
SILENCE_LEN = 2048
"""Zeros per call after the end."""
SILENCE_S = 0.002
"""Pause before each of these calls."""
HOLD_S = 0.002
"""Interval at which it checks whether it may go on."""


class Samples(Protocol):
    """An array, or an object with a length and with slices that are [n] complex64."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> npt.NDArray[np.complex64]: ...


def map_samples(path: Path) -> npt.NDArray[np.complex64]:
    """A file of raw complex64 as a memory-mapped array; an incomplete last sample is left out.

    Raises:
        LinkError: The file does not exist or cannot be read.
    """
    try:
        n_samples = path.stat().st_size // SAMPLE_BYTES
        return np.memmap(path, np.complex64, "r", shape=(n_samples,)) if n_samples else np.zeros(0, np.complex64)
    except OSError as exc:
        raise LinkError(f"cannot read samples from {path}: {exc.strerror}") from exc


class sample_player(gr.sync_block):  # noqa: N801
    """Plays samples once, then silence.

    Port: complex samples out, as fast as the blocks behind accept them. Each start of the flowgraph plays from the
    beginning. It counts nothing; `n_samples` is the number of samples to play.

    Args:
        samples: [n] complex64, or an object with slices of that type.
    """

    def __init__(self, samples: Samples) -> None:
        gr.sync_block.__init__(self, name="sample_player", in_sig=None, out_sig=[np.complex64])
        self._samples = samples
        self._position = 0
        self._must_wait: Callable[[], bool] = lambda: False

    @property
    def n_samples(self) -> int:
        """Number of samples to play."""
        return len(self._samples)

    def hold_while(self, must_wait: Callable[[], bool]) -> None:
        """Plays on only while `must_wait()` is false: unlike a radio, it can wait for the blocks behind it."""
        self._must_wait = must_wait

    def start(self) -> bool:
        """Called by the flowgraph; plays from the beginning."""
        self._position = 0
        return True

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        out = output_items[0]
        if self._must_wait():
            time.sleep(HOLD_S)
            return 0
        part = self._samples[self._position : self._position + len(out)]
        if len(part) == 0:
            time.sleep(SILENCE_S)
            n_silent = min(len(out), SILENCE_LEN)
            out[:n_silent] = 0
            return n_silent
        out[: len(part)] = part
        self._position += len(part)
        return len(part)
