# SPDX-License-Identifier: GPL-3.0-or-later
"""The caption of an evaluated picture, as the link sends it: records, erasure code, and the mode for the design SNR."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from gened.errors import FrameError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.modes import digital_decode, digital_encode, mode_for_snr
from gened.gr_blocks.phy.framing.budget import n_bursts, text_symbols
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import ImageSize

PAPER_BYTES = 106
"""Length of a caption whose 16-QAM symbols are those that the GenED-SC paper counts (arXiv:2606.04015)."""
PAPER_SYMBOLS = PAPER_BYTES * 8 * 2 // 4 + 2
"""106 bytes at code rate 1/2 in 16-QAM, and one padding symbol on either side: the paper's 426."""

Captions = Literal["sent", "none", "paper"]
"""Captions of an evaluation. `sent`: each picture's caption goes through the channel; without one it costs no symbols.
`none`: no caption is sent. `paper`: 426 symbols are counted for every picture, and captions arrive whole."""


@dataclass(frozen=True)
class CaptionPacket:
    """A caption as it is sent with a frame."""

    text: bytes
    """Packed records; empty if no caption is sent."""
    mode: str
    """Digital mode, a key of `modes.MODES`."""
    n_bursts: int
    """Number of bursts of the frame."""
    n_symbols: int
    """Symbols that are counted for it, over all bursts."""


def caption_packet(
    caption: str | None, size: ImageSize, rate: Fraction, snr_design_db: float, captions: Captions
) -> CaptionPacket:
    """The caption of a picture as `gened transmit` sends it.

    Args:
        caption: The caption; None or empty if the picture has none. One that is too long for a frame is left out.
        size: Size of the picture, pixels.
        rate: Rate of the frame, which sets its number of bursts.
        snr_design_db: Design SNR, which chooses the mode, dB.
        captions: Whether captions are sent, and how they are counted.
    """
    bursts, mode = n_bursts(size, rate), mode_for_snr(snr_design_db)
    if captions == "paper":
        return CaptionPacket(b"", mode, bursts, PAPER_SYMBOLS)
    try:
        text = pack_records(Records(caption=caption)) if caption and captions == "sent" else b""
    except FrameError:
        text = b""
    return CaptionPacket(text, mode, bursts, text_symbols(len(text), mode, bursts))


def arrives(packet: CaptionPacket, channel: ChannelConfig, rng: np.random.Generator) -> bool:
    """Send a caption through the symbol channel; whether it is recovered. Each burst has gains of its own.

    Args:
        packet: The caption; an empty one arrives.
        channel: Parameters of the channel.
        rng: Source of noise and gains.
    """
    received: dict[int, bytes] = {}
    for number, data in enumerate(erasure_code.encode(packet.text, packet.n_bursts)):
        symbols, noise_var = apply_symbols(digital_encode(data, packet.mode), channel, rng)
        found = digital_decode(symbols, noise_var, len(data), packet.mode)
        if found is not None:
            received[number] = found
    return erasure_code.decode(received, len(packet.text), packet.n_bursts) == packet.text
