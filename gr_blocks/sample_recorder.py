# SPDX-License-Identifier: GPL-3.0-or-later
"""A sink that keeps samples as a SigMF recording, with what the receiver beside it finds in them.

```text
source --+--> burst_detector --> frame_demodulator --> caption_decoder
         |          | bursts                                | frames
         `--> sample_recorder <-----------------------------'
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.pdu.frame_pdus import facts_from_pdu, place_from_pdu
from gened.gr_blocks.pdu.message_block import Counters, guarded
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.recording.annotation import Annotation
from gened.gr_blocks.recording.metadata import RecordingError
from gened.gr_blocks.recording.writer import RecordingWriter

LOOKED_BACK = 2048
"""Latest bursts among which those of a frame are searched; a frame has up to 256."""
MAX_EARLY = 64
"""Frames whose facts are remembered for bursts that come later: a forged stream must not fill the memory."""


@dataclass
class _Early:
    """Facts of a frame some of whose bursts are not annotated yet."""

    facts: FrameFacts
    n_missing: int


class sample_recorder(gr.sync_block):  # noqa: N801
    """Writes samples as they come, and annotations as they are found.

    It has to be connected to the same source as the burst detector, from the same start: positions are counted alike.
    Ports: complex samples in; `bursts` of the detector and `frames` of the caption decoder in.

    Args:
        writer: Where to; `open` opens it before the flowgraph starts, `close` closes it when that has stopped.
        n_samples: So many are kept; None: all.
    """

    def __init__(self, writer: RecordingWriter, n_samples: int | None = None) -> None:
        gr.sync_block.__init__(self, name="sample_recorder", in_sig=[np.complex64], out_sig=None)
        self.counters = Counters("sample_recorder")
        self.error: RecordingError | None = None
        """Why it keeps no more."""
        self._writer = writer
        self._n_samples = n_samples
        self._is_ended = threading.Event()
        self._early: dict[tuple[int | None, int | None], _Early] = {}
        for port, handler in (("bursts", self._burst), ("frames", self._frame)):
            self.message_port_register_in(pmt.intern(port))
            self._listen(port, handler)

    def _listen(self, port: str, handler: Callable[[Any], None]) -> None:
        """GNU Radio keeps a handler's name and looks it up on the block, so the guarded one must be found there."""
        handle = guarded(self.counters, handler)
        handle.__name__ = f"handle_{port}"
        setattr(self, handle.__name__, handle)
        self.set_msg_handler(pmt.intern(port), handle)

    @property
    def is_full(self) -> bool:
        """Whether no more is kept: it has all that was asked for, was told to end, or cannot write."""
        return self._is_ended.is_set()

    @property
    def n_written(self) -> int:
        """Samples in the file."""
        return self._writer.n_samples

    def end(self) -> None:
        """Keeps no further sample; what is found in those that are kept is still told."""
        self._is_ended.set()

    def open(self) -> None:
        """Makes the files, before the flowgraph starts.

        Raises:
            RecordingError: They cannot be written.
        """
        self._writer.open()

    def discard(self) -> None:
        """Keeps nothing, when the flowgraph has stopped; `close` is still to be called."""
        self._writer.discard()

    def close(self) -> None:
        """Writes the metadata, when the flowgraph has stopped.

        Raises:
            RecordingError: Samples or metadata could not be written; what was written is whole.
        """
        self._writer.close()
        if self.error is not None:
            raise self.error

    @property
    def path(self) -> Path:
        """Of the metadata."""
        return self._writer.meta_path

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """Bursts that are wholly in the file."""
        return self._writer.whole_annotations()

    @property
    def n_clipped(self) -> int:
        """Samples beyond what the datatype holds."""
        return self._writer.n_clipped

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; takes everything."""
        samples = input_items[0]
        if not self._is_ended.is_set():
            left = len(samples) if self._n_samples is None else self._n_samples - self._writer.n_samples
            self._keep(samples[:left])
        return len(samples)

    def _keep(self, samples: Any) -> None:
        """An exception in `work` would end the flowgraph, and a full disk is no reason to."""
        try:
            self._writer.write(samples)
        except RecordingError as exc:
            self.error = exc
            self._is_ended.set()
        if self._n_samples is not None and self._writer.n_samples >= self._n_samples:
            self._is_ended.set()

    def _burst(self, message: Any) -> None:
        place = place_from_pdu(message)
        header = place.header
        part = "" if header.n_bursts == 1 else f", burst {header.burst + 1} of {header.n_bursts}"
        annotation = Annotation(
            start=max(0, place.start),
            count=WAVEFORM.burst_len(header.n_elements),
            label=f"frame {header.frame}{part}",
            session=header.session,
            frame=header.frame,
            burst=header.burst,
            n_bursts=header.n_bursts,
            cfo_est_hz=place.cfo_norm * self._writer.info.sample_rate,
        )
        early = self._early.get((header.session, header.frame))
        if early is not None:
            self._complete(annotation, early.facts)
            early.n_missing -= 1
            if early.n_missing == 0:
                del self._early[header.session, header.frame]
        if not self._writer.annotate(annotation):
            self.counters.report("n_untold_bursts", "a recording has room for no more annotations")
        self.counters.add("n_bursts")  # last: whoever waits for the count may read the annotation

    def _frame(self, message: Any) -> None:
        """Completes the annotations of the frame's bursts, and remembers its facts if some have not come yet.

        GNU Radio empties one port's queue before the next one's, so a frame may be handled before its last bursts.
        """
        facts = facts_from_pdu(message, self._writer.info.sample_rate)
        n_missing = facts.n_bursts_received or 0
        for annotation in reversed(self._writer.annotations[-LOOKED_BACK:]):
            if (annotation.session, annotation.frame) == facts.key:
                if annotation.snr_est_db is not None:
                    break  # an earlier frame of that number
                self._complete(annotation, facts)
                n_missing -= 1
        if n_missing > 0:
            while len(self._early) >= MAX_EARLY:
                del self._early[next(iter(self._early))]
            self._early[facts.key] = _Early(facts, n_missing)
        self.counters.add("n_frames")

    @staticmethod
    def _complete(annotation: Annotation, facts: FrameFacts) -> None:
        annotation.snr_est_db, annotation.cfo_est_hz = facts.snr_est_db, facts.cfo_est_hz
        annotation.crc_ok, annotation.caption, annotation.station = facts.crc_ok, facts.caption, facts.station
