# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: decodes caption and station identification of received frames."""

from __future__ import annotations

from typing import Any

from gened.gr_blocks.pdu.frame_meta import text_meta
from gened.gr_blocks.pdu.frame_pdus import received_text_from_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.pdu.pdus import to_pdu, with_entries


class caption_decoder(MessageBlock):  # noqa: N801
    """Adds `caption`, `caption_partial`, `station` and `crc_ok` to the dictionary of each received frame.

    Only the dictionary is read and extended; symbols and other vectors are neither read nor copied. `crc_ok` is nil
    when the sender sent no text. `caption_partial` is what is left of a caption whose checksum fails, with U+FFFD where
    something is missing; `caption` is nil then. It is meant for a screen, and not for an editor. Ports: `frames` in and
    out; `text` out: a PDU of UTF-8 bytes per caption that arrived complete. Counters: `n_texts`, `n_lost_texts`,
    `n_partial_texts`.
    """

    def __init__(self) -> None:
        super().__init__("caption_decoder", {"frames": self._decode}, ("frames", "text"))

    def _decode(self, message: Any) -> None:
        text = received_text_from_pdu(message)
        found = text_meta(text.has_text, text.packed, text.partial)
        if text.has_text:
            self.counters.add("n_texts" if found["crc_ok"] else "n_lost_texts")
        if found["caption_partial"] is not None:
            self.counters.add("n_partial_texts")
        self.publish("frames", with_entries(message, found))
        if found["caption"] is not None:
            facts = {"frame": text.frame, "session": text.session, "station": found["station"]}
            self.publish("text", to_pdu(facts, found["caption"].encode()))
