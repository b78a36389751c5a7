# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: captured bursts in, frames out."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pmt

from gened.gr_blocks.pdu.frame_pdus import capture_from_pdu, received_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.pdu.pdus import to_pdu
from gened.gr_blocks.phy.coding.requirements import require_packages
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.types import ReceivedFrame

QUEUE_LEN = 256
"""Captured bursts that may wait: those of the largest frame, so that a busy machine may be late with all of one."""
MAX_QUEUED_SAMPLES = 2**23
"""Samples in them: 64 MiB, whatever lengths a hostile sender chooses."""
POLL_S = 0.1
MAX_SHOWN = 4096


class frame_demodulator(MessageBlock):  # noqa: N801
    """Demodulates bursts and assembles frames, in a thread of its own.

    Ports: `bursts` in; `frames` out: a PDU for each frame, as soon as it is complete or its time is over; `symbols`
    out: the equalised digital symbols of each burst, for a constellation sink. A burst that finds 256 others waiting,
    or eight million samples, is dropped and counted (`n_dropped_bursts`).

    Args:
        timeout_s: How long a frame waits for its bursts.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, timeout_s: float = 2.0) -> None:
        require_packages()
        super().__init__("frame_demodulator", {"bursts": self._take}, ("frames", "symbols"))
        self._timeout_s = float(timeout_s)
        self._assembler = FrameAssembler(self._timeout_s)
        self._captures: collections.deque[Capture] = collections.deque()
        self._n_queued_samples = 0
        self._changed = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None
        self.clock: Callable[[Capture | None], float] = lambda _capture: time.monotonic()
        """Seconds by which a frame waits: when a burst came; without one, now. A recording has a time of its own."""

    def start(self) -> bool:
        """Called by the flowgraph."""
        if self._thread is None:
            self._assembler = FrameAssembler(self._timeout_s)
            self._thread = threading.Thread(target=self._work_off, name="gened-demodulator", daemon=True)
            self._thread.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; no state outlives it."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(2.0)
        return True

    @property
    def n_pending(self) -> int:
        """Bursts waiting or in work, and frames that wait for bursts."""
        with self._changed:
            return len(self._captures) + self._busy + self._assembler.n_open

    def _take(self, message: Any) -> None:
        capture = capture_from_pdu(message)
        with self._changed:
            n_samples = self._n_queued_samples + len(capture.samples)
            if len(self._captures) < QUEUE_LEN and n_samples <= MAX_QUEUED_SAMPLES:
                self._captures.append(capture)
                self._n_queued_samples = n_samples
                self._changed.notify_all()
                return
        self.counters.report("n_dropped_bursts", "the demodulator is behind the radio")

    def _work_off(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._captures or self._thread is not me, POLL_S)
                if self._thread is not me:
                    return
                capture = self._captures.popleft() if self._captures else None
                self._n_queued_samples -= len(capture.samples) if capture is not None else 0
                self._busy = True
            try:
                self._step(capture)
            except Exception as exc:  # off the air comes anything; it costs a burst and no more
                self.counters.report("n_errors", f"{type(exc).__name__}: {exc}")
            with self._changed:
                self._busy = False

    def _step(self, capture: Capture | None) -> None:
        if capture is None:
            frames = self._assembler.poll(self.clock(None))
        else:
            burst = demodulate(capture)
            self.counters.add("n_bursts")
            self._show(burst)
            frames = self._assembler.push(burst, self.clock(capture))
        for frame in frames:
            self._publish_frame(frame)

    def _show(self, burst: ReceivedBurst) -> None:
        digital = burst.symbols[: min(burst.header.n_side + burst.header.n_text, MAX_SHOWN)]
        if len(digital):
            facts = {"frame": burst.header.frame, "snr_est_db": burst.snr_est_db}
            self.publish("symbols", to_pdu(facts, digital.astype(np.complex64)))

    def _publish_frame(self, frame: ReceivedFrame) -> None:
        self.counters.add("n_frames")
        self.message_port_pub(pmt.intern("frames"), received_to_pdu(frame))
