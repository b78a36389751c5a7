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

CHUNK_LEN = 8192  # samples that the detector is given at once: below that its fixed cost a call dominates


class burst_detector(gr.sync_block):  # noqa: N801
    """Finds bursts in a stream, whatever the pieces that the scheduler cuts it into.

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
        """Called by the scheduler; takes everything."""
        samples = input_items[0]
        self._pieces.append(samples.copy())
        self._n_kept += len(samples)
        if self._n_kept >= CHUNK_LEN:
            self._search()
        return len(samples)

    def stop(self) -> bool:
        """Called by the flowgraph; what the stream still holds is looked at, and the next start begins anew."""
        self._search(is_end=True)
        return True

    def stats(self) -> dict[str, int]:
        """Counters: the detector's own, and those of this block; `n_searched` are samples whose bursts are told."""
        return {**dataclasses.asdict(self._detector.stats), **self.counters.as_dict()}

    def _search(self, is_end: bool = False) -> None:
        """An exception here would end the flowgraph, so it costs the samples at hand and no more."""
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
