# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver: from the samples of a source to pictures.

source -> burst_detector -> frame_demodulator -> caption_decoder -> semantic_decoder -> on_picture, image_writer
                                                                          `-> picture_editor -> on_edited
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnuradio import gr

from gened.flowgraphs.playback import Playback, Waiting
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.protocols import RadioSource
from gened.flowgraphs.radios.registry import make_source
from gened.gr_blocks.burst_detector import burst_detector
from gened.gr_blocks.caption_decoder import caption_decoder
from gened.gr_blocks.frame_demodulator import frame_demodulator
from gened.gr_blocks.image_writer import image_writer
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.pdu.frame_pdus import Image, Mask, PackedFrame, facts_from_meta, facts_from_pdu, picture_from_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.picture_editor import picture_editor
from gened.gr_blocks.semantic_decoder import semantic_decoder
from gened.gr_blocks.signal_probe import signal_probe
from gened.models.serving.worker import Worker

if TYPE_CHECKING:
    from gened.gr_blocks.sample_recorder import sample_recorder
    from gened.models.serving.editor_client import EditorClient

BUFFERED_S = 0.5
"""Room for samples before the detector, in seconds: a radio sends on while Python is busy."""
MAX_BUFFERED = 2**22
AFTER_END = 32768
"""Samples of silence after the end, by which the detector has decided about the last burst."""
OnFrame = Callable[[PackedFrame, FrameFacts], None]
OnPicture = Callable[[Image | None, Mask | None, FrameFacts], None]


class _exit(MessageBlock):  # noqa: N801
    """Hands frames and pictures of the flowgraph to Python callbacks."""

    def __init__(
        self, sample_rate: float, on_frame: OnFrame | None, on_picture: OnPicture | None, on_edited: OnPicture | None
    ) -> None:
        handlers: dict[str, Callable[[Any], None]] = {
            "frames": self._frame, "pictures": self._picture, "reports": self._report, "edited": self._edited,
        }  # fmt: skip
        super().__init__("receiver_exit", handlers, ())
        self._sample_rate = sample_rate
        self._on_frame = on_frame
        self._on_picture = on_picture
        self._on_edited = on_edited

    def _frame(self, message: Any) -> None:
        self.counters.add("n_frames")
        if self._on_frame is not None:
            self._on_frame(PackedFrame(message), facts_from_pdu(message, self._sample_rate))

    def _picture(self, message: Any) -> None:
        try:
            self._hand_over(message, self._on_picture)
        finally:
            self.counters.add("n_ended")

    def _edited(self, message: Any) -> None:
        try:
            self._hand_over(message, self._on_edited)
        finally:
            self.counters.add("n_edits_ended")

    def _hand_over(self, message: Any, listener: OnPicture | None) -> None:
        if listener is not None:
            image, meta = picture_from_pdu(message)
            listener(image, meta.get("mask"), facts_from_meta(meta, self._sample_rate))

    def _report(self, message: Any) -> None:
        try:
            if self._on_picture is not None:
                self._on_picture(None, None, facts_from_pdu(message, self._sample_rate))
        finally:
            self.counters.add("n_ended")


def widen_buffer(source: RadioSource, sample_rate: float) -> None:
    """Requests room behind a source for `BUFFERED_S` of its samples; call it before the flowgraph starts."""
    source.set_log_level("warn")  # GNU Radio reports the buffer on stdout
    source.set_min_output_buffer(min(MAX_BUFFERED, int(BUFFERED_S * sample_rate)))


def connect_recorder(
    flowgraph: gr.top_block,
    source: RadioSource,
    detector: burst_detector,
    captions: caption_decoder,
    recorder: sample_recorder,
) -> None:
    """Connects the source, the detector's bursts and the caption decoder's frames to a recorder."""
    flowgraph.connect(source, recorder)
    flowgraph.msg_connect(detector, "bursts", recorder, "bursts")
    flowgraph.msg_connect(captions, "frames", recorder, "frames")


def has_recorded(detector: burst_detector, demodulator: frame_demodulator, recorder: sample_recorder) -> bool:
    """Whether the recorder has handled every detected burst and frame."""
    n_bursts, n_frames = detector.stats().get("n_bursts", 0), demodulator.stats().get("n_frames", 0)
    recorded = recorder.stats()
    n_refused = sum(recorded.get(key, 0) for key in ("n_bad_pdus", "n_errors"))
    return all(
        recorded.get(key, 0) + n_refused >= n_found for key, n_found in (("n_bursts", n_bursts), ("n_frames", n_frames))
    )


class Receiver(gr.top_block):
    """A whole receiver: `start()`, receive frames by callbacks, `stop()` and `wait()`.

    Args:
        profile: Source of the samples.
        codecs: Names or folders of codecs besides those of the registry.
        codec_options: Options of those codecs' constructors.
        out_dir: Folder for pictures as PNG; None: no files.
        timeout_s: Longest time that a frame waits for its bursts.
        on_frame: Called with each frame before it is decoded, still packed, and its facts; a thread of the flowgraph.
        on_picture: Called once per frame with the picture, its importance mask [H, W] uint8 where the codec has one,
            and the frame's facts; with None, None and facts with `error` when there is no picture; a thread of the
            flowgraph.
        on_edited: Called with each picture that the editor returned, in the order in which they were decoded, as
            `on_picture`; the facts have the editor's entries too. If `edited` is false the picture is the received one.
        editor: Connection to an editing service; None: no editing.
        edit_strength: Editing strength in [0, 1].
        recorder: Writes the samples and annotations; the caller closes it when the flowgraph has stopped.
        worker: Worker to share; None: one of its own.
        n_threads: Threads of its own worker.

    Raises:
        GenedError: The source cannot be made; see `make_source`.
    """

    def __init__(
        self,
        profile: RadioProfile,
        *,
        codecs: Sequence[str] = (),
        codec_options: Mapping[str, Any] | None = None,
        out_dir: Path | str | None = None,
        timeout_s: float = 2.0,
        on_frame: OnFrame | None = None,
        on_picture: OnPicture | None = None,
        on_edited: OnPicture | None = None,
        editor: EditorClient | None = None,
        edit_strength: float = 1.0,
        recorder: sample_recorder | None = None,
        worker: Worker | None = None,
        n_threads: int | None = None,
    ) -> None:
        gr.top_block.__init__(self, "gened receiver", catch_exceptions=True)
        self.profile = profile
        self.source = make_source(profile)
        self.detector = burst_detector()
        self.demodulator = frame_demodulator(timeout_s)
        self.captions = caption_decoder()
        self.decoder = semantic_decoder(codecs, codec_options=codec_options, worker=worker, n_threads=n_threads)
        self.editor = None if editor is None else picture_editor(strength=edit_strength, client=editor)
        self._exit = _exit(profile.sample_rate, on_frame, on_picture, on_edited)
        if self.source.can_wait:
            n_samples = self.source.n_samples or 0
            playback = Playback(n_samples, profile.sample_rate, lambda: self._n_searched, self._waiting)
            self.source.hold_while(playback.must_wait)
            self.demodulator.clock = playback.time_s
        else:
            widen_buffer(self.source, profile.sample_rate)
        self.connect(self.source, self.detector)
        self.probe = signal_probe(profile.sample_rate) if profile.is_clocked else None
        if self.probe is not None:
            self.connect(self.source, self.probe)
        self.recorder = recorder  # a flowgraph keeps no Python block alive
        if recorder is not None:
            connect_recorder(self, self.source, self.detector, self.captions, recorder)
        self.msg_connect(self.detector, "bursts", self.demodulator, "bursts")
        self.msg_connect(self.demodulator, "frames", self.captions, "frames")
        self.msg_connect(self.captions, "frames", self.decoder, "frames")
        self.msg_connect(self.captions, "frames", self._exit, "frames")
        self.msg_connect(self.decoder, "pictures", self._exit, "pictures")
        self.msg_connect(self.decoder, "reports", self._exit, "reports")
        if self.editor is not None:
            self.msg_connect(self.decoder, "pictures", self.editor, "pictures")
            self.msg_connect(self.editor, "pictures", self._exit, "edited")
        self.writer = None if out_dir is None else image_writer(out_dir)
        if self.writer is not None:
            self.msg_connect(self.decoder, "pictures", self.writer, "pictures")

    @property
    def n_samples_received(self) -> int:
        """Samples that the detector has received since it was made."""
        return self.detector.stats()["samples"]

    @property
    def _n_searched(self) -> int:
        """Samples whose bursts are counted."""
        return self.detector.stats().get("n_searched", 0)

    @property
    def has_end(self) -> bool:
        """Whether the source has an end, as a recording does."""
        return self.source.n_samples is not None

    def drain(self, timeout_s: float) -> bool:
        """Waits until every detected frame has become a picture or an error, every picture is written where
        pictures are written, and the recorder, if there is one, has handled all; False when it took longer.

        Samples of a file or from memory are played to their end first; further samples of a socket or a radio are not
        awaited. Call it while the flowgraph runs. A frame with missing bursts is given up after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not self._is_idle():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # several threads are involved, and none of them knows when all have finished
        return True

    def drain_recorder(self, timeout_s: float) -> bool:
        """Waits until the recorder, if there is one, has handled all bursts and frames; False when it took longer.

        A flowgraph that is stopped before leaves the figures of the last frames out of the recording.
        """
        deadline = time.monotonic() + timeout_s
        while not self._has_recorded():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)  # the recorder runs in a thread of GNU Radio's, which signals nothing
        return True

    def _has_recorded(self) -> bool:
        return self.recorder is None or has_recorded(self.detector, self.demodulator, self.recorder)

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters by block."""
        blocks: dict[str, Any] = {
            "detector": self.detector, "demodulator": self.demodulator, "captions": self.captions,
            "decoder": self.decoder, "exit": self._exit,
        }  # fmt: skip
        if self.editor is not None:
            blocks["editor"] = self.editor
        return {name: block.stats() for name, block in blocks.items()}

    def _is_idle(self) -> bool:
        n_samples = self.source.n_samples
        has_played = n_samples is None or self._n_searched >= n_samples + AFTER_END
        waiting = self._waiting()
        is_empty = self.demodulator.n_pending == 0 and max(waiting) <= 0
        return (
            has_played
            and is_empty
            and self._has_recorded()
            and self._has_written(self.decoder.stats().get("n_decoded", 0))
        )

    def _waiting(self) -> Waiting:
        stats = self.stats()
        n_demodulated = sum(
            stats["demodulator"].get(key, 0) for key in ("n_bursts", "n_dropped_bursts", "n_errors", "n_bad_pdus")
        )
        n_ended = stats["exit"].get("n_ended", 0) + stats["decoder"].get("n_bad_pdus", 0)
        n_edited = stats["exit"].get("n_edits_ended", 0)
        return Waiting(
            bursts=stats["detector"].get("n_bursts", 0) - n_demodulated,
            frames=stats["demodulator"].get("n_frames", 0) - n_ended,
            edits=0 if self.editor is None else stats["decoder"].get("n_decoded", 0) - n_edited,
        )

    def _has_written(self, n_pictures: int) -> bool:
        """Whether the writer has handled `n_pictures`; a flowgraph that is stopped earlier does not write them."""
        if self.writer is None:
            return True
        stats = self.writer.stats()
        return sum(stats.get(key, 0) for key in ("n_written", "n_errors", "n_bad_pdus")) >= n_pictures
