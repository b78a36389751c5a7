# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: writes samples as a SigMF recording, with annotations of the bursts that a receiver beside it detects.

```text
source --+--> burst_detector --> frame_demodulator --> caption_decoder
         |          | bursts                                | frames
         `--> sample_recorder <-----------------------------'
```
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import gr

from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.pdu.frame_pdus import facts_from_pdu, place_from_pdu
from gened.gr_blocks.pdu.message_block import Counters, register_handlers
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
    """Writes samples as they arrive, and one annotation per burst.

    Connect it to the same source as the burst detector, before the flowgraph starts, since both count positions from
    there. Ports: complex samples in; `bursts` of the detector and `frames` of the caption decoder in. The caller opens
    the files before the flowgraph starts and closes them when it has stopped. Counters: `n_bursts`, `n_frames`,
    `n_untold_bursts`, `n_bad_pdus`, `n_errors`.

    Args:
        writer: Writes the files.
        n_samples: Number of samples to keep; None: all.
    """

    def __init__(self, writer: RecordingWriter, n_samples: int | None = None) -> None:
        gr.sync_block.__init__(self, name="sample_recorder", in_sig=[np.complex64], out_sig=None)
        self.counters = Counters("sample_recorder")
        self.error: RecordingError | None = None
        """Why no more samples are kept; None while the files can be written."""
        self._writer = writer
        self._n_samples = n_samples
        self._is_ended = threading.Event()
        self._early: dict[tuple[int | None, int | None], _Early] = {}
        register_handlers(self, self.counters, {"bursts": self._burst, "frames": self._frame})

    @property
    def is_full(self) -> bool:
        """Whether no more samples are kept: the number is reached, `end` was called, or the files cannot be written."""
        return self._is_ended.is_set()

    @property
    def n_written(self) -> int:
        """Number of samples in the file."""
        return self._writer.n_samples

    def end(self) -> None:
        """Keeps no further sample; bursts in the samples kept so far are still annotated."""
        self._is_ended.set()

    def open(self) -> None:
        """Creates the files, before the flowgraph starts.

        Raises:
            RecordingError: They cannot be written.
        """
        self._writer.open()

    def discard(self) -> None:
        """Deletes the recording when the flowgraph has stopped; `close` must still be called."""
        self._writer.discard()

    def close(self) -> None:
        """Writes the metadata when the flowgraph has stopped.

        Raises:
            RecordingError: Samples or metadata could not be written; what was written is whole.
        """
        self._writer.close()
        if self.error is not None:
            raise self.error

    @property
    def path(self) -> Path:
        """File of the metadata."""
        return self._writer.meta_path

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """Annotations of the bursts that are completely in the file."""
        return self._writer.whole_annotations()

    @property
    def n_clipped(self) -> int:
        """Number of samples beyond the range of the datatype."""
        return self._writer.n_clipped

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return self.counters.as_dict()

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; accepts everything."""
        samples = input_items[0]
        if not self._is_ended.is_set():
            left = len(samples) if self._n_samples is None else self._n_samples - self._writer.n_samples
            self._keep(samples[:left])
        return len(samples)

    def _keep(self, samples: Any) -> None:
        """Writes samples; an error is kept, because an exception in `work` would end the flowgraph."""
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
            format_version=header.version,
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
        self.counters.add("n_bursts")  # last, so that a thread that waits for the count can read the annotation

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
