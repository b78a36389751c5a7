# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: demodulates captured bursts and assembles frames."""

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
"""Most captured bursts that may wait: those of the largest frame, so that a busy machine may lag by one frame."""
MAX_QUEUED_SAMPLES = 2**23
"""Most samples in them, 64 MiB: bounds the memory that a hostile sender can occupy."""
POLL_S = 0.1
MAX_SHOWN = 4096
"""Most symbols per burst at the port `symbols`."""


class frame_demodulator(MessageBlock):  # noqa: N801
    """Demodulates bursts and assembles frames, in a thread of its own that runs while the flowgraph does.

    Ports: `bursts` in; `frames` out: one PDU per frame, as soon as it is complete or its time limit is over; `symbols`
    out: the equalised digital symbols of each burst, for a constellation sink. A burst that meets 256 waiting bursts,
    or eight million waiting samples, is dropped. Counters: `n_bursts`, `n_frames`, `n_dropped_bursts`, `n_errors`.

    Args:
        timeout_s: Longest time that a frame waits for its bursts.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, timeout_s: float = 2.0) -> None:
        require_packages()
        super().__init__("frame_demodulator", {"bursts": self._queue}, ("frames", "symbols"))
        self._timeout_s = float(timeout_s)
        self._assembler = FrameAssembler(self._timeout_s)
        self._captures: collections.deque[Capture] = collections.deque()
        self._n_queued_samples = 0
        self._changed = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None
        self.clock: Callable[[Capture | None], float] = lambda _capture: time.monotonic()
        """Time in seconds that frames wait by: that of a burst, or the present without one. Playback replaces it."""

    def start(self) -> bool:
        """Called by the flowgraph."""
        if self._thread is None:
            self._assembler = FrameAssembler(self._timeout_s)
            self._thread = threading.Thread(target=self._run, name="gened-demodulator", daemon=True)
            self._thread.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; ends the thread."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(2.0)
        return True

    @property
    def n_pending(self) -> int:
        """Bursts that wait or are in progress, and frames that wait for bursts."""
        with self._changed:
            return len(self._captures) + self._busy + self._assembler.n_open

    def _queue(self, message: Any) -> None:
        capture = capture_from_pdu(message)
        with self._changed:
            n_samples = self._n_queued_samples + len(capture.samples)
            if len(self._captures) < QUEUE_LEN and n_samples <= MAX_QUEUED_SAMPLES:
                self._captures.append(capture)
                self._n_queued_samples = n_samples
                self._changed.notify_all()
                return
        self.counters.report("n_dropped_bursts", "the demodulator is slower than the radio")

    def _run(self) -> None:
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
            except Exception as exc:  # received data may be anything; it costs this burst only
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
