# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole receiver in one object, for tests, evaluation and benches; flowgraphs chain its parts as blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.dump import Dump
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import ReceivedFrame


class Receiver:
    """Samples to frames.

    Args:
        sample_rate: Hz; the clock by which unfinished frames are given up.
        timeout_s: How long a frame waits for its bursts.
        dump: Where to write each stage's signal.
    """

    def __init__(self, sample_rate: float = 1e6, timeout_s: float = 2.0, dump: Dump | None = None) -> None:
        self.detector = BurstDetector()
        self.assembler = FrameAssembler(timeout_s)
        self.sample_rate = sample_rate
        self.dump = dump

    def push(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> list[ReceivedFrame]:
        """Take the next chunk; the frames that are complete with it."""
        return self._frames(self.detector.push(samples))

    def flush(self) -> list[ReceivedFrame]:
        """The end of the stream: everything that is left."""
        return self._frames(self.detector.flush()) + self.assembler.flush()

    def _frames(self, captures: list[Capture]) -> list[ReceivedFrame]:
        now_s = self.detector.stats.samples / self.sample_rate
        frames = [frame for capture in captures for frame in self.assembler.push(demodulate(capture, self.dump), now_s)]
        return frames + self.assembler.poll(now_s)
