# SPDX-License-Identifier: GPL-3.0-or-later
"""Received frames that are with the worker process of the codecs; no GNU Radio."""

from __future__ import annotations

from collections.abc import Callable

from gened.errors import DecoderError
from gened.gr_blocks.pdu.frame_meta import Image, Mask, Meta, noise_var_mean
from gened.gr_blocks.phy.types import ReceivedFrame
from gened.models.serving.worker import JobResult, Worker, WorkerClosedError
from gened.processes import one_line

QUEUE_LEN = 32
"""Most frames that wait for the worker."""
MAX_QUEUED_PIXELS = 4 * 4096 * 4096
"""Most pixels of waiting frames: a forged stream of the largest pictures must not fill the memory."""
OnPicture = Callable[[Image, Mask | None, Meta], None]
OnFailure = Callable[[Meta], None]


class DecodeQueue:
    """Sends frames to the worker and hands on their pictures.

    Args:
        worker: Of `CodecService`.
        on_picture: Called with a picture, its mask where the codec has one, and its dictionary with the decoder's
            entries; a thread of the worker's.
        on_failure: Called with the dictionary of a frame without a picture, with `error` and `error_code`; the thread
            of `submit` or one of the worker's.
    """

    def __init__(self, worker: Worker, on_picture: OnPicture, on_failure: OnFailure) -> None:
        self._worker = worker
        self._on_picture = on_picture
        self._on_failure = on_failure
        self._queued_pixels = 0

    def submit(self, frame: ReceivedFrame, meta: Meta) -> None:
        """Sends a frame; never waits. A frame that meets a full queue fails.

        Args:
            frame: The frame.
            meta: Its dictionary; the vectors are no part of it.
        """
        meta = {**meta, "noise_var_mean": noise_var_mean(frame)}
        pixels = frame.received.size.height * frame.received.size.width
        self._queued_pixels += pixels
        if self._queued_pixels > MAX_QUEUED_PIXELS or not self._worker.submit(
            "decode", self._decoded, tag=(meta, pixels), codec_id=frame.codec_id, received=frame.received
        ):
            self._queued_pixels -= pixels
            self._on_failure({**meta, "error": "refused: the decoder's queue is full"})

    def _decoded(self, result: JobResult) -> None:
        """Takes the worker's answer, on the worker's thread."""
        meta, pixels = result.tag
        self._queued_pixels -= pixels
        if result.error_code == WorkerClosedError.code:
            return  # the receiver ends: the frame was neither decoded nor did its decoder fail
        if result.error is not None:
            code = result.error_code or DecoderError.code
            self._on_failure({**meta, "error": result.error, "error_code": code})
            return
        answer = result.value
        try:
            facts = {**meta, "codec": answer.codec, "decode_ms": answer.decode_ms, "is_lost": answer.is_lost}
            self._on_picture(answer.image, answer.mask, facts)
        except Exception as exc:  # whatever the codec returns, the frame must end as a picture or as a failure
            error = f"the decoder's result cannot be used: {one_line(exc)}"
            self._on_failure({**meta, "error": error, "error_code": DecoderError.code})
