# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: encodes pictures into analogue symbols; the network runs in the worker process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from gened.gr_blocks.pdu.frame_pdus import (
    Meta,
    encoded_to_pdu,
    picture_from_pdu,
    picture_number,
    plain,
    report_to_pdu,
    take_options,
)
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.framing.rate import parse_rate
from gened.gr_blocks.phy.types import Frame, ImageSize
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.serving.worker import CODEC_SERVICE, DEFAULT_QUEUE_LEN, JobResult, Worker, encode_limit_s


class semantic_encoder(MessageBlock):  # noqa: N801
    """Encodes pictures into analogue symbols and side information.

    Ports: `pictures` in; `encoded` and `reports` out. A picture may have a `mask` of its important regions, and its own
    settings (`encode_options`, see `EncodeOptions.to_text`). A report is sent for a picture that was refused or could
    not be encoded, with `error`. A picture that meets a full queue is refused. The worker starts with the flowgraph; a
    worker of its own ends with it. Counters: `n_encoded`, `n_refused`, `n_failed`.

    Args:
        codec: A name of the registry or a folder of weights.
        rate: Complex symbols per source value, such as "1/24".
        snr_db: Es/N0 that the encoder designs for.
        options: Settings of the encoder, in place of `rate`, `snr_db` and the further settings.
        session: 16-bit number of this transmitter's run; None or negative: random.
        codec_options: Options of the codec's constructor; see `load_codec`.
        device: Device of its own worker's codecs: a PyTorch device, or "numpy" to encode without PyTorch.
        worker: Worker to share with other blocks; None: one of its own.
        queue_len: Most pictures that wait for its own worker.
        n_threads: Threads of its own worker; None or 0: half of the cores.
        **encoding: Further settings by the names of `EncodeOptions`, such as `refine_steps`; a focus of 0 is the
            codec's own. Frame n uses `seed` + n.

    Raises:
        FrameError: The rate cannot be sent.
        ConfigError: A setting is out of range.
    """

    def __init__(
        self,
        codec: str = "softcast",
        rate: Fraction | str = "1/24",
        snr_db: float = 10.0,
        *,
        options: EncodeOptions | None = None,
        session: int | None = None,
        codec_options: Mapping[str, Any] | None = None,
        device: str = "cpu",
        worker: Worker | None = None,
        queue_len: int = DEFAULT_QUEUE_LEN,
        n_threads: int | None = None,
        **encoding: Any,
    ) -> None:
        super().__init__("semantic_encoder", {"pictures": self._encode}, ("encoded", "reports"))
        self._codec = codec
        if options is None:
            encoding["focus"] = encoding.get("focus") or None
            options = EncodeOptions(rate=parse_rate(rate), snr_db=float(snr_db), **encoding)
        self._options = options
        self._n_taken = 0
        self.session = secrets.randbelow(2**16) if session is None or session < 0 else session % 2**16
        self._is_owner = worker is None
        self.worker = worker or Worker(
            CODEC_SERVICE, {"codecs": (codec,), "device": device, "options": {codec: dict(codec_options or {})}},
            queue_len=queue_len, n_threads=n_threads or None, timeout_s=encode_limit_s(options.refine_steps),
        )  # fmt: skip

    def start(self) -> bool:
        """Called by the flowgraph; starts the worker, so that its imports are done when the first picture arrives."""
        self.worker.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; ends a worker of its own."""
        if self._is_owner:
            self.worker.close()
        return True

    def set_snr_db(self, snr_db: float) -> None:
        """Sets the design SNR from the next picture on."""
        self._options = replace(self._options, snr_db=float(snr_db))

    def set_rate(self, rate: Fraction | str) -> None:
        """Sets the rate from the next picture on."""
        self._options = replace(self._options, rate=parse_rate(rate))

    def set_focus(self, focus: float | None) -> None:
        """Sets the weight of important regions from the next picture on; None or 0: the codec's own."""
        self._options = replace(self._options, focus=float(focus) if focus else None)

    def _encode(self, message: Any) -> None:
        image, meta = picture_from_pdu(message)
        number = picture_number(meta, self._n_taken)[1] % 2**16
        self._n_taken = number + 1
        options = take_options(meta, type(self._options)) or self._options
        # The SNR as the header carries it, so that both ends plan alike.
        options = options.for_frame(number, quantize_snr_db(options.snr_db))
        mask = meta.pop("mask", None)
        tag = {**meta, "session": self.session, "frame": number, "snr_design_db": options.snr_db}
        tag |= {"rate_num": options.rate.numerator, "rate_den": options.rate.denominator}
        accepted = self.worker.submit(
            "encode", self._encoded, tag=tag, codec=self._codec, image=image, options=options, mask=mask
        )
        if not accepted:
            self.counters.report("n_refused", f"frame {number}: the encoder is still busy with earlier pictures")
            self.publish(
                "reports", report_to_pdu(tag, error="refused: the encoder's queue is full; send pictures more slowly")
            )

    def _encoded(self, result: JobResult) -> None:
        """Publishes the worker's answer; called on the worker's thread."""
        meta: Meta = result.tag
        if result.error is not None:
            self.counters.report("n_failed", f"frame {meta['frame']}: {result.error}")
            self.publish("reports", report_to_pdu(meta, error=result.error, error_code=result.error_code))
            return
        answer = result.value
        frame = Frame(
            session=meta["session"], number=meta["frame"], codec_id=answer.codec_id,
            size=ImageSize(meta["height"], meta["width"]), rate=Fraction(meta["rate_num"], meta["rate_den"]),
            snr_design_db=meta["snr_design_db"], encoded=answer.encoded,
        )  # fmt: skip
        self.counters.add("n_encoded")
        self.publish("encoded", encoded_to_pdu(frame, {**plain(meta), "encode_ms": answer.encode_ms}))
