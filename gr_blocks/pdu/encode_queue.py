# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that are with the worker process of the encoder; no GNU Radio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gened.gr_blocks.pdu.frame_meta import Image, Mask, Meta
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.types import Frame, ImageSize
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.serving.worker import JobResult, Worker

OnEncoded = Callable[[Frame, Meta], None]
OnFailure = Callable[[Meta], None]


@dataclass(frozen=True)
class _Job:
    """A picture that is with the worker."""

    number: int
    size: ImageSize
    options: EncodeOptions
    meta: Meta


class EncodeQueue:
    """Sends pictures to the worker and hands on their frames, which have no text yet.

    Args:
        worker: Of `CodecService`.
        codec: A name of the registry or a folder of weights.
        session: 16-bit number of this transmitter's run.
        on_encoded: Called with a frame and its dictionary with the encoder's entries; a thread of the worker's.
        on_failure: Called with the dictionary of a picture that was refused or could not be encoded, with `error` and
            `error_code`; the thread of `submit` or one of the worker's.
    """

    def __init__(self, worker: Worker, codec: str, session: int, on_encoded: OnEncoded, on_failure: OnFailure) -> None:
        self._worker = worker
        self._codec = codec
        self._session = session
        self._on_encoded = on_encoded
        self._on_failure = on_failure

    def submit(self, image: Image, mask: Mask | None, number: int, options: EncodeOptions, meta: Meta) -> None:
        """Sends a picture; never waits. One that meets a full queue fails.

        Args:
            image: The picture.
            mask: Importance of its pixels; None: unknown.
            number: Number of the frame; frame n uses the seed of the options + n.
            options: Settings of the encoder.
            meta: What is known of the picture; the vectors are no part of it.
        """
        # The SNR as the header carries it, so that both ends plan alike.
        options = options.for_frame(number, quantize_snr_db(options.snr_db))
        size = ImageSize(image.shape[0], image.shape[1])
        tag = {
            **meta, "session": self._session, "frame": number, "snr_design_db": options.snr_db,
            "rate_num": options.rate.numerator, "rate_den": options.rate.denominator,
            "height": size.height, "width": size.width,
        }  # fmt: skip
        job = _Job(number, size, options, tag)
        if not self._worker.submit(
            "encode", self._encoded, tag=job, codec=self._codec, image=image, options=options, mask=mask
        ):
            self._on_failure({**tag, "error": "refused: the encoder's queue is full; send pictures more slowly"})

    def _encoded(self, result: JobResult) -> None:
        """Takes the worker's answer, on the worker's thread."""
        job: _Job = result.tag
        if result.error is not None:
            self._on_failure({**job.meta, "error": result.error, "error_code": result.error_code})
            return
        answer = result.value
        frame = Frame(
            session=self._session, number=job.number, codec_id=answer.codec_id, size=job.size,
            rate=job.options.rate, snr_design_db=job.options.snr_db, encoded=answer.encoded,
        )  # fmt: skip
        meta = {**job.meta, "codec_id": answer.codec_id, "encode_ms": answer.encode_ms}
        if answer.encoded.side_mode is not None:
            meta["side_mode"] = answer.encoded.side_mode
        self._on_encoded(frame, meta)
