# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: reads caption and station identification out of received frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pmt

from gened.gr_blocks.pdu.frame_pdus import partial_from_meta
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.pdu.pdus import from_pdu, take, to_pdu, to_value
from gened.gr_blocks.phy.framing.records import partial_caption, unpack_records


class caption_decoder(MessageBlock):  # noqa: N801
    """Adds `caption`, `caption_partial`, `station` and `crc_ok` to the dictionary of each received frame.

    `crc_ok` is nil when the sender sent no text. `caption_partial` is what is left of a caption whose checksum fails,
    with a mark where something is missing; `caption` is nil then, and nothing but a screen should take the one for the
    other. Ports: `frames` in and out; `text` out: a PDU of UTF-8 bytes for each
    caption that arrived.
    """

    def __init__(self) -> None:
        super().__init__("caption_decoder", {"frames": self._decode}, ("frames", "text"))

    def _decode(self, message: Any) -> None:
        meta, _ = from_pdu(message, np.complex64)
        has_text = take(meta, "has_text", bool)
        packed = meta.get("text")
        is_there = isinstance(packed, np.ndarray) and packed.dtype == np.uint8
        records = unpack_records(packed.tobytes() if isinstance(packed, np.ndarray) and is_there else b"")
        crc_ok = is_there if has_text else None
        partial = None if is_there else partial_from_meta(meta)
        left = None if partial is None else partial_caption(partial)
        found = {"caption": records.caption, "caption_partial": left, "station": records.station, "crc_ok": crc_ok}
        head = pmt.car(message)
        for key, value in found.items():
            head = pmt.dict_add(head, pmt.intern(key), to_value(value))
        if has_text:
            self.counters.add("n_texts" if is_there else "n_lost_texts")
        if left is not None:
            self.counters.add("n_partial_texts")
        self.publish("frames", pmt.cons(head, pmt.cdr(message)))
        if records.caption is not None:
            facts = {"frame": meta.get("frame"), "session": meta.get("session"), "station": records.station}
            self.publish("text", to_pdu(facts, records.caption.encode()))
