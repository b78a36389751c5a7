# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: modulates encoded frames into bursts of samples, each with a `packet_len` tag on its first sample.

encoded PDU -> core: bounded queue of frames -> thread: plan, modulate -> bounded queue of bursts -> source: samples
"""

from __future__ import annotations

import collections
import queue
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from gened.errors import GenedError
from gened.gr_blocks.pdu.frame_meta import Meta, count_bad_symbols, sent_meta
from gened.gr_blocks.pdu.frame_pdus import encoded_from_pdu, report_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.phy.coding.requirements import require_packages
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.types import ComplexArray, Frame

PACKET_LEN = "packet_len"
QUEUED_FRAMES = 8
"""Most frames that wait for modulation."""
QUEUED_BURSTS = 8
"""Most bursts that wait for transmission."""
IDLE_WAIT_S = 0.02
"""Longest wait of the source for a burst before it returns to the scheduler."""


@dataclass(frozen=True)
class _Burst:
    samples: ComplexArray
    report: Meta | None
    """Report of the frame, with its last burst; None with the others."""


class frame_modulator_core(MessageBlock):  # noqa: N801
    """The computing half of `frame_modulator`: modulates frames in a thread of its own.

    Args:
        gap_len: Number of zeros after each burst, inside its packet.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, gap_len: int) -> None:
        require_packages("zfec")
        super().__init__("frame_modulator", {"encoded": self._queue}, ("reports",))
        self.bursts: queue.Queue[_Burst] = queue.Queue(QUEUED_BURSTS)
        self._gap = np.zeros(max(0, int(gap_len)), np.complex64)
        self._frames: collections.deque[tuple[Frame, Meta]] = collections.deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Called by the flowgraph."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gened-modulator", daemon=True)
            self._thread.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; ends the thread and drops frames that were not sent."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._frames.clear()
            self._changed.notify_all()
        if thread is not None:
            thread.join(2.0)
        return True

    def _queue(self, message: Any) -> None:
        frame, meta = encoded_from_pdu(message)
        with self._changed:
            has_room = len(self._frames) < QUEUED_FRAMES
            if has_room:
                self._frames.append((frame, meta))
                self._changed.notify_all()
        if not has_room:
            self.counters.report("n_dropped_frames", f"frame {frame.number}: the radio is too slow")
            self.publish(
                "reports", report_to_pdu(meta, error="dropped: the radio is behind; send pictures more slowly")
            )

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._thread is not me)
                if self._thread is not me:
                    return
                frame, meta = self._frames.popleft()
            try:
                self._modulate(frame, meta)
            except GenedError as exc:
                self.counters.report("n_failed", str(exc))
                self.publish("reports", report_to_pdu(meta, error=str(exc)))
            except Exception as exc:  # a single bad frame must not end the transmitter
                self.counters.report("n_errors", f"{type(exc).__name__}: {exc}")
                self.publish("reports", report_to_pdu(meta, error=f"{type(exc).__name__}: {exc}"))

    def _modulate(self, frame: Frame, meta: Meta) -> None:
        contents = plan_bursts(frame)
        count_bad_symbols(self.counters, frame)
        on_air_samples = 0
        for content in contents:
            samples = modulate_burst(content)
            on_air_samples += len(samples)
            is_last = content is contents[-1]
            report = {**meta, **sent_meta(frame, contents, on_air_samples)} if is_last else None
            self._put(_Burst(np.concatenate([samples, self._gap]).astype(np.complex64), report))
        self.counters.add("n_frames")

    def _put(self, burst: _Burst) -> None:
        while self._thread is threading.current_thread():
            try:
                self.bursts.put(burst, timeout=0.1)
                return
            except queue.Full:
                continue

    def sent(self, report: Meta) -> None:
        """Publishes the report of a frame whose last sample has left; any thread may call it."""
        self.counters.add("n_sent")
        self.publish("reports", report_to_pdu(report))


class burst_source(gr.sync_block):  # noqa: N801
    """The streaming half of `frame_modulator`: outputs bursts, and zeros between them if it is continuous."""

    def __init__(self, core: frame_modulator_core, is_continuous: bool) -> None:
        gr.sync_block.__init__(self, name="burst_source", in_sig=None, out_sig=[np.complex64])
        self._core = core
        self._is_continuous = is_continuous
        self._burst: _Burst | None = None
        self._position = 0
        self.n_samples = 0
        """Samples sent since the start of the flowgraph, including those of the present call of `work`.

        `nitems_written` includes them only after `work` has returned, and the frame is reported before that.
        """

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; waits at most `IDLE_WAIT_S`."""
        out = output_items[0]
        if self._burst is None and not self._next():
            if not self._is_continuous:
                return 0
            out[:] = 0
            self.n_samples = self.nitems_written(0) + len(out)
            return len(out)
        assert self._burst is not None
        if self._position == 0:
            length = pmt.from_long(len(self._burst.samples))
            self.add_item_tag(0, self.nitems_written(0), pmt.intern(PACKET_LEN), length)
        part = self._burst.samples[self._position : self._position + len(out)]
        out[: len(part)] = part
        self._position += len(part)
        self.n_samples = self.nitems_written(0) + len(part)
        if self._position == len(self._burst.samples):
            burst, self._burst, self._position = self._burst, None, 0
            if burst.report is not None:
                self._core.sent(burst.report)
        return len(part)

    def _next(self) -> bool:
        try:
            self._burst = self._core.bursts.get(
                timeout=None if self._is_continuous else IDLE_WAIT_S, block=not self._is_continuous
            )
        except queue.Empty:
            return False
        return True


class frame_modulator(gr.hier_block2):  # noqa: N801
    """Modulates frames into bursts of mean power 1, with `packet_len` on the first sample of each.

    Ports: `encoded` in; samples out; `reports` out: one per frame when its last sample has left, with the symbol
    counts, or with `error`. A frame that meets 8 waiting frames is dropped. A symbol that is not finite, or too large
    for a frame of mean power 1, is sent as 0. Counters: `n_frames`, `n_sent`, `n_failed`, `n_dropped_frames`,
    `n_errors`, `n_bad_symbols`.

    Args:
        gap_len: Number of zeros after each burst; they belong to its packet.
        is_continuous: Whether zeros are sent between bursts, for flowgraphs that run on a clock: a throttle or a radio
            downstream must then set the pace.
    """

    def __init__(self, gap_len: int = 0, is_continuous: bool = False) -> None:
        gr.hier_block2.__init__(
            self, "frame_modulator", gr.io_signature(0, 0, 0), gr.io_signature(1, 1, np.dtype(np.complex64).itemsize)
        )
        self.core = frame_modulator_core(gap_len)
        self.source = burst_source(self.core, bool(is_continuous))
        self.message_port_register_hier_in("encoded")
        self.message_port_register_hier_out("reports")
        self.msg_connect(self, "encoded", self.core, "encoded")
        self.msg_connect(self.core, "reports", self, "reports")
        self.connect(self.source, self)

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.core.stats()
