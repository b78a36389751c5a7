# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut bursts and their surroundings out of a stream for inspection, those whose header fails included.

samples --> BurstDetector --captures, misses--> wait for what follows --> Specimen
    `-----> history, one burst of the longest kind --------^
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.header import MAX_BURST_ELEMENTS
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.detector import LOOKAHEAD, MAX_AMPLITUDE, TAIL, BurstDetector, DetectorStats, Miss
from gened.gr_blocks.phy.types import ComplexArray

MARGIN = 1536
"""Samples kept on either side of a burst: enough noise for a spectrum, and the rise of the detection metric."""
MISS_SPAN = 8192
"""Samples shown after a preamble whose header, and so whose length, is not known."""
MAX_BURST_LEN = WAVEFORM.burst_len(MAX_BURST_ELEMENTS)
"""Length of the longest burst in samples."""
HISTORY = MAX_BURST_LEN + TAIL + LOOKAHEAD + 2 * MARGIN


@dataclass(frozen=True)
class Specimen:
    """A burst with its surroundings, or a requested place without one."""

    samples: ComplexArray
    """Samples, [n] complex64; 0 in place of samples that are not finite or of more than 10^6."""
    first: int
    """Index of the first of these samples in the stream."""
    found: Capture | Miss | None
    """Burst or preamble by the detector; None without a preamble."""
    at: int = 0
    """Requested place (index in the stream), used without a preamble."""

    @property
    def start(self) -> int:
        """Index in the stream of the first sample of the preamble's prefix; without a preamble, the requested place."""
        return self.at if self.found is None else self.found.start

    @property
    def end(self) -> int:
        """Index in the stream after the last sample; with an unknown length, the end of the samples shown."""
        return self.start if self.found is None else _end(self.found)


def cleaned(samples: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
    """Clean samples as the detector does.

    Args:
        samples: [n] complex.

    Returns:
        [n] complex64, 0 in place of samples that are not finite or of more than 10^6.
    """
    chunk = np.asarray(samples, np.complex64).ravel()
    return np.where(np.abs(chunk) < MAX_AMPLITUDE, chunk, 0).astype(np.complex64)


class SpecimenFinder:
    """Cutter of bursts from a stream in chunks of any size; it keeps no more samples than the longest burst needs.

    Args:
        first: Index of the first sample, if the stream is a piece of a longer one.
    """

    def __init__(self, first: int = 0) -> None:
        self._detector = BurstDetector(self._missed)
        self._offset = first
        self._history = np.zeros(0, np.complex64)
        self._base = first  # index of the history's first sample
        self._pending: list[Capture | Miss] = []
        self._last_start = first - WAVEFORM.symbol_len

    @property
    def stats(self) -> DetectorStats:
        """Counters of the detector."""
        return self._detector.stats

    def push(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> list[Specimen]:
        """Process the next chunk.

        Args:
            samples: [n] complex, any n.

        Returns:
            Bursts that became complete together with the samples after them, in the order of their starts.
        """
        chunk = cleaned(samples)
        self._history = np.concatenate([self._history, chunk])
        self._captured(self._detector.push(chunk))
        ready = self._ready(self._base + len(self._history) - MARGIN)
        self._trim()
        return ready

    def flush(self) -> list[Specimen]:
        """End the stream; to be called once. Return the remaining bursts, complete or not."""
        self._captured(self._detector.flush())
        self._pending.sort(key=lambda found: found.start)
        return self._ready(None)

    def _captured(self, captures: Sequence[Capture]) -> None:
        for capture in captures:
            self._pending.append(replace(capture, start=capture.start + self._offset))
        self._pending.sort(key=lambda found: found.start)

    def _missed(self, miss: Miss) -> None:
        start = miss.start + self._offset
        if abs(start - self._last_start) < WAVEFORM.symbol_len:
            return  # the same preamble, detected again on the slope of its metric
        self._last_start = start
        self._pending.append(miss._replace(start=start))

    def _ready(self, limit: int | None) -> list[Specimen]:
        """Cut out the bursts that end before `limit`, all of them if it is None, in the order of their starts."""
        ready = []
        while self._pending and (limit is None or _end(self._pending[0]) <= limit):
            ready.append(self._cut(self._pending.pop(0)))
        return ready

    def _cut(self, found: Capture | Miss) -> Specimen:
        first = max(0, found.start - MARGIN - self._base)
        samples = self._history[first : _end(found) + MARGIN - self._base].copy()
        return Specimen(samples, self._base + first, found)

    def _trim(self) -> None:
        seen = self._base + len(self._history)
        keep = min([seen - HISTORY, *(found.start - MARGIN for found in self._pending)])
        if keep > self._base:
            self._history = self._history[keep - self._base :].copy()
            self._base = keep


def _end(found: Capture | Miss) -> int:
    length = MISS_SPAN if isinstance(found, Miss) else WAVEFORM.burst_len(found.header.n_elements)
    return found.start + length
