# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: adds a caption and the station identification to encoded frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pmt

from gened.errors import FrameError
from gened.gr_blocks.pdu.frame_pdus import design_from_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.pdu.pdus import PduError, from_pdu, with_entries
from gened.gr_blocks.phy.coding.modes import mode, mode_for_snr
from gened.gr_blocks.phy.framing.records import Records, pack_records

AUTO = "auto"
MAX_TEXT_PDU_BYTES = 4096


class caption_encoder(MessageBlock):  # noqa: N801
    """Adds the packed text, caption and station identification, and its digital mode to each encoded PDU.

    Ports: `encoded` in and out; `text` in: a PDU of UTF-8 bytes, or a symbol, becomes the caption of the following
    frames. A frame keeps the `caption` of its own dictionary if it has one. A caption too long for a frame is left out
    and counted (`n_too_long`); the picture is still sent. Counters: `n_frames`, `n_too_long`.

    Args:
        caption: Caption until a text arrives; empty for none.
        station: Station identification in every frame; empty for none.
        mode_name: A key of `modes.MODES`, or "auto": the fastest mode that is reliable at the design SNR of the frame.

    Raises:
        ConfigError: The mode is unknown.
    """

    def __init__(self, caption: str = "", station: str = "", mode_name: str = AUTO) -> None:
        super().__init__("caption_encoder", {"encoded": self._add_text, "text": self._take_text}, ("encoded",))
        if mode_name != AUTO:
            mode(mode_name)
        self._mode_name = mode_name
        self._caption = caption
        self._station = station

    def set_caption(self, caption: str) -> None:
        """Sets the caption from the next frame on."""
        self._caption = caption

    def set_station(self, station: str) -> None:
        """Sets the station identification from the next frame on."""
        self._station = station

    def _take_text(self, message: Any) -> None:
        if pmt.is_symbol(message):
            self._caption = pmt.symbol_to_string(message)
            return
        data = from_pdu(message, np.uint8)[1]
        if len(data) > MAX_TEXT_PDU_BYTES:
            raise PduError(f"a text of {len(data)} bytes; at most {MAX_TEXT_PDU_BYTES} are accepted")
        self._caption = data.tobytes().decode("utf-8", "replace")

    def _add_text(self, message: Any) -> None:
        """Adds the text to the dictionary; the symbols, up to millions, are neither read nor copied."""
        design = design_from_pdu(message)
        caption = self._caption if design.caption is None else design.caption
        text_mode = mode_for_snr(design.snr_design_db) if self._mode_name == AUTO else self._mode_name
        text = {"caption": caption, "text": self._pack(caption), "text_mode": text_mode}
        self.counters.add("n_frames")
        self.publish("encoded", with_entries(message, text))

    def _pack(self, caption: str) -> bytes:
        try:
            return pack_records(Records(caption=caption or None, station=self._station or None))
        except FrameError as exc:
            self.counters.report("n_too_long", str(exc))
            return b""
