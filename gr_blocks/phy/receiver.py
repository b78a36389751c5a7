# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole receiver in one object, for links without GNU Radio, tests, evaluation and benches; flowgraphs connect its
parts as blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.dump import Dump
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import ReceivedFrame


class Receiver:
    """Receiver from samples to frames: detection, demodulation, assembly.

    Args:
        sample_rate: Hz; with the number of samples it gives the time for `timeout_s`.
        timeout_s: Seconds after a frame's latest burst at which the frame is returned incomplete.
        dump: Receives the signal of each stage; None writes nothing.
        on_error: Called with an exception of a stage, which then costs the samples or the burst at hand and no more;
            None: exceptions are raised.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(
        self,
        sample_rate: float = 1e6,
        timeout_s: float = 2.0,
        dump: Dump | None = None,
        *,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self.detector = BurstDetector()
        self.assembler = FrameAssembler(timeout_s)
        self.sample_rate = sample_rate
        self.dump = dump
        self._on_error = on_error

    def push(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> list[ReceivedFrame]:
        """Process the next chunk of the stream.

        Args:
            samples: Baseband samples, [n] complex, any number.

        Returns:
            Frames that became complete or timed out, oldest first.
        """
        return self._frames(self._captures(lambda: self.detector.push(samples)))

    def flush(self) -> list[ReceivedFrame]:
        """End the stream: process what is buffered and return all open frames, complete or not."""
        return self._frames(self._captures(lambda: self.detector.flush())) + self.assembler.flush()

    def _frames(self, captures: list[Capture]) -> list[ReceivedFrame]:
        now_s = self.detector.stats.samples / self.sample_rate
        frames = [frame for capture in captures for frame in self._demodulated(capture, now_s)]
        return frames + self.assembler.poll(now_s)

    def _captures(self, search: Callable[[], list[Capture]]) -> list[Capture]:
        """Bursts among further samples; after an exception the search starts anew behind them."""
        try:
            return search()
        except Exception as exc:
            if self._on_error is None:
                raise
            self._on_error(exc)
            stats, self.detector = self.detector.stats, BurstDetector()
            self.detector.stats = stats
            return []

    def _demodulated(self, capture: Capture, now_s: float) -> list[ReceivedFrame]:
        try:
            return self.assembler.push(demodulate(capture, self.dump), now_s)
        except Exception as exc:
            if self._on_error is None:
                raise
            self._on_error(exc)
            return []
