# SPDX-License-Identifier: GPL-3.0-or-later
"""The transmitter: from pictures to bursts of samples at a sink.

send() -> semantic_encoder -> caption_encoder -> frame_modulator -> sink
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gnuradio import gr

from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import make_sink
from gened.gr_blocks.caption_encoder import AUTO, caption_encoder
from gened.gr_blocks.frame_modulator import frame_modulator
from gened.gr_blocks.pdu.facts import SentFacts
from gened.gr_blocks.pdu.frame_pdus import Image, Mask, picture_to_pdu, sent_facts_from_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.semantic_encoder import semantic_encoder
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.serving.worker import Worker

MAX_IN_FLIGHT = 4
"""Frames between `send` and their last sample: enough to keep encoder and radio busy, few enough to stop at once."""
Listener = Callable[[SentFacts], None]


class _entry(MessageBlock):  # noqa: N801
    """Where Python hands pictures to the flowgraph and receives the reports."""

    def __init__(self, on_report: Callable[[Any], None]) -> None:
        super().__init__("transmitter_entry", {"reports": on_report}, ("pictures",))


class Transmitter(gr.top_block):
    """A whole transmitter: `start()`, `send()` pictures, `drain()`, `stop()` and `wait()`.

    Args:
        profile: Sink of the samples.
        codec: A name of the registry or a folder of weights.
        options: Settings of the encoder: rate, design SNR and more.
        codec_options: Options of the codec's constructor; see `load_codec`.
        caption: Caption of pictures without one of their own; empty for none.
        station: Station identification in every frame; empty for none.
        caption_mode: A key of `modes.MODES`, or "auto".
        session: 16-bit number of this run; random when None.
        device: See `semantic_encoder`.
        gap_len: Zeros behind each burst.
        is_continuous: Zeros while there is nothing to send, for sinks that run on a clock.
        on_report: Called once for each accepted picture, when its last sample has left or when it failed (`error`); any
            thread.
        worker: To share; one of its own when None.
        n_threads: Threads of the own worker.

    Raises:
        GenedError: The sink cannot be made, see `make_sink`, or rate or mode is not allowed.
    """

    def __init__(
        self,
        profile: RadioProfile,
        *,
        codec: str = "softcast",
        options: EncodeOptions | None = None,
        codec_options: Mapping[str, Any] | None = None,
        caption: str = "",
        station: str = "",
        caption_mode: str = AUTO,
        session: int | None = None,
        device: str = "cpu",
        gap_len: int = 0,
        is_continuous: bool = False,
        on_report: Listener | None = None,
        worker: Worker | None = None,
        n_threads: int | None = None,
    ) -> None:
        gr.top_block.__init__(self, "gened transmitter", catch_exceptions=True)
        self._listener = on_report
        self._n_in_flight = 0
        self._changed = threading.Condition()
        self.encoder = semantic_encoder(
            codec, options=options or EncodeOptions(), session=session, codec_options=codec_options, device=device,
            worker=worker, n_threads=n_threads,
        )  # fmt: skip
        self.captions = caption_encoder(caption, station, caption_mode)
        self.modulator = frame_modulator(gap_len, is_continuous)
        self.sink = make_sink(profile)
        self._entry = _entry(self._on_report)
        self.msg_connect(self._entry, "pictures", self.encoder, "pictures")
        self.msg_connect(self.encoder, "encoded", self.captions, "encoded")
        self.msg_connect(self.captions, "encoded", self.modulator, "encoded")
        self.msg_connect(self.encoder, "reports", self._entry, "reports")
        self.msg_connect(self.modulator, "reports", self._entry, "reports")
        self.connect(self.modulator, self.sink)

    @property
    def session(self) -> int:
        """16-bit number of this transmitter's run."""
        return int(self.encoder.session)

    @property
    def n_samples_sent(self) -> int:
        """Samples that have left the modulator since `start`."""
        return int(self.modulator.source.n_samples)

    @property
    def n_bad_symbols(self) -> int:
        """Analogue symbols that were not finite or too large, and were sent as 0."""
        return int(self.modulator.stats().get("n_bad_symbols", 0))

    def send(
        self,
        image: Image,
        meta: Mapping[str, Any] | None = None,
        *,
        mask: Mask | None = None,
        timeout_s: float = 0.0,
    ) -> bool:
        """Accepts a picture.

        Args:
            image: [H, W, 3] uint8 RGB, 64x64 to 4096x4096.
            meta: Entries of `SentFacts` that come back in its report; `frame` sets its number, `caption` its caption.
            mask: Importance, [H, W] uint8, 255 is important; None: unknown.
            timeout_s: Longest wait while `MAX_IN_FLIGHT` frames are in flight.

        Returns:
            False when there was no room within that time; the picture was not accepted.

        Raises:
            FrameError: The array is no picture, or the mask does not fit it.
        """
        message = picture_to_pdu(image, meta, mask)
        with self._changed:
            if not self._changed.wait_for(lambda: self._n_in_flight < MAX_IN_FLIGHT, timeout_s):
                return False
            self._n_in_flight += 1
        self._entry.publish("pictures", message)
        return True

    def drain(self, timeout_s: float) -> bool:
        """Waits until the last sample of every accepted picture has left for the sink; False when it took longer."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if not self._changed.wait_for(lambda: self._n_in_flight == 0, timeout_s):
                return False
        written = self.n_samples_sent
        while self.sink.n_taken < written:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)  # GNU Radio does not signal that a sink has consumed its last sample
        return True

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters by block."""
        blocks: dict[str, Any] = {
            "encoder": self.encoder,
            "captions": self.captions,
            "modulator": self.modulator,
            "entry": self._entry,
        }
        return {name: block.stats() for name, block in blocks.items()}

    def _on_report(self, message: Any) -> None:
        try:
            if self._listener is not None:
                self._listener(sent_facts_from_pdu(message))
        finally:
            with self._changed:
                self._n_in_flight -= 1
                self._changed.notify_all()
