# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: decodes received frames into pictures; the network runs in the worker process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gened.errors import DecoderError
from gened.gr_blocks.pdu.frame_meta import noise_var_mean
from gened.gr_blocks.pdu.frame_pdus import Meta, picture_to_pdu, plain, received_from_pdu, report_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.phy.types import ReceivedFrame
from gened.models.serving.worker import CODEC_SERVICE, JobResult, Worker, WorkerClosedError
from gened.processes import one_line

QUEUE_LEN = 32
"""Most frames that wait for the worker."""
MAX_QUEUED_PIXELS = 4 * 4096 * 4096
"""Most pixels of waiting frames: a forged stream of the largest pictures must not fill the memory."""


class semantic_decoder(MessageBlock):  # noqa: N801
    """Decodes received frames into pictures with the codec that the header names.

    Ports: `frames` in; `pictures` and `reports` out. A picture has a `mask` if the codec knows the importance. A report
    is sent for a frame that was refused or could not be decoded, with `error` and, for some errors, `error_code`. A
    frame that meets a full queue is refused. Frames that wait when the flowgraph ends have neither. The worker starts
    with the flowgraph; a worker of its own ends with it. Counters: `n_decoded`, `n_refused`, `n_failed`.

    Args:
        codecs: Names or folders of codecs to try besides those of the registry.
        codec_options: Options of those codecs' constructors; see `load_codec`.
        worker: Worker to share with other blocks; None: one of its own.
        queue_len: Most frames that wait for its own worker.
        n_threads: Threads of its own worker; None or 0: half of the cores.
    """

    def __init__(
        self,
        codecs: Sequence[str] = (),
        *,
        codec_options: Mapping[str, Any] | None = None,
        worker: Worker | None = None,
        queue_len: int = QUEUE_LEN,
        n_threads: int | None = None,
    ) -> None:
        super().__init__("semantic_decoder", {"frames": self._decode}, ("pictures", "reports"))
        self._is_owner = worker is None
        self._queued_pixels = 0
        names = tuple(name for name in codecs if name)
        options = {"codecs": names, "options": {name: dict(codec_options or {}) for name in names}}
        self.worker = worker or Worker(CODEC_SERVICE, options, queue_len=queue_len, n_threads=n_threads or None)

    def start(self) -> bool:
        """Called by the flowgraph; starts the worker, so that its imports are done when the first frame arrives."""
        self.worker.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; ends a worker of its own."""
        if self._is_owner:
            self.worker.close()
        return True

    def _decode(self, message: Any) -> None:
        frame, meta = received_from_pdu(message)
        meta["noise_var_mean"] = noise_var_mean(frame)
        pixels = frame.received.size.height * frame.received.size.width
        tag = (plain(meta), pixels)
        if self._queued_pixels + pixels > MAX_QUEUED_PIXELS or not self._submit(frame, tag):
            self.counters.report("n_refused", f"frame {frame.number}: the decoder is still busy with earlier frames")
            self.publish("reports", report_to_pdu(meta, error="refused: the decoder's queue is full"))

    def _submit(self, frame: ReceivedFrame, tag: tuple[Meta, int]) -> bool:
        self._queued_pixels += tag[1]
        accepted = self.worker.submit(
            "decode", self._decoded, tag=tag, codec_id=frame.codec_id, received=frame.received
        )
        if not accepted:
            self._queued_pixels -= tag[1]
        return accepted

    def _decoded(self, result: JobResult) -> None:
        """Publishes the worker's answer; called on the worker's thread."""
        meta, pixels = result.tag
        self._queued_pixels -= pixels
        if result.error_code == WorkerClosedError.code:
            return  # the flowgraph ends: the frame was neither decoded nor did its decoder fail
        if result.error is not None:
            self._fail(meta, result.error, result.error_code)
            return
        try:
            answer = result.value
            facts = {**meta, "codec": answer.codec, "decode_ms": answer.decode_ms, "is_lost": answer.is_lost}
            picture = picture_to_pdu(answer.image, facts, answer.mask)
        except Exception as exc:  # whatever the worker returns, the frame must end as a picture or as a report
            self._fail(meta, f"the decoder's result is no picture: {one_line(exc)}", None)
            return
        self.counters.add("n_decoded")
        self.publish("pictures", picture)

    def _fail(self, meta: Meta, error: str, code: str | None) -> None:
        """Reports a frame that was not decoded; without a code of its own the error is the decoder's."""
        self.counters.report("n_failed", f"frame {meta['frame']}: {error}")
        self.publish("reports", report_to_pdu(meta, error=error, error_code=code or DecoderError.code))
