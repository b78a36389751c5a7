# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: samples in, a PDU for each burst out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from gened.gr_blocks.pdu.frame_pdus import capture_to_pdu
from gened.gr_blocks.pdu.message_block import Counters
from gened.gr_blocks.phy.coding.requirements import require_packages
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import ComplexArray

CHUNK_LEN = 8192  # samples per call of the detector; with fewer its fixed cost per call dominates


class burst_detector(gr.sync_block):  # noqa: N801
    """Detects bursts in a stream, independently of how the scheduler divides it into calls.

    Ports: complex samples in; `bursts` out: a PDU with the burst's samples, `start`, `cfo_cps` and `header`.
    Noise, tones and NaN give nothing.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self) -> None:
        require_packages()
        gr.sync_block.__init__(self, name="burst_detector", in_sig=[np.complex64], out_sig=None)
        self.message_port_register_out(pmt.intern("bursts"))
        self.counters = Counters("burst_detector")
        self._detector = BurstDetector()
        self._pieces: list[ComplexArray] = []
        self._n_kept = 0

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; accepts everything."""
        samples = input_items[0]
        self._pieces.append(samples.copy())
        self._n_kept += len(samples)
        if self._n_kept >= CHUNK_LEN:
            self._search()
        return len(samples)

    def stop(self) -> bool:
        """Called by the flowgraph; searches the rest of the stream, and resets the detector for the next start."""
        self._search(is_end=True)
        return True

    def stats(self) -> dict[str, int]:
        """Counters of detector and block; `n_searched` is the number of samples whose bursts are counted."""
        return {**dataclasses.asdict(self._detector.stats), **self.counters.as_dict()}

    def _search(self, is_end: bool = False) -> None:
        """Searches the collected samples; an exception costs these, where in `work` it would end the flowgraph."""
        samples = np.concatenate([np.zeros(0, np.complex64), *self._pieces])
        self._pieces, self._n_kept = [], 0
        try:
            captures = self._detector.push(samples)
            if is_end:
                captures += self._detector.flush()
            for capture in captures:
                self.counters.add("n_bursts")
                self.message_port_pub(pmt.intern("bursts"), capture_to_pdu(capture))
        except Exception as exc:
            self.counters.report("n_errors", f"{type(exc).__name__}: {exc}")
            stats, self._detector = self._detector.stats, BurstDetector()
            self._detector.stats = stats
        self.counters.add("n_searched", len(samples))
