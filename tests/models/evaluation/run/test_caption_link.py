# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions in an evaluation cost what they cost in the link, and are lost as they are there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.coding.modes import mode_for_snr
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize
from gened.models.evaluation.run.caption_link import PAPER_SYMBOLS, CaptionPacket, arrives, caption_packet

RATE = Fraction(1, 24)
SMALL, LARGE = ImageSize(256, 256), ImageSize(768, 512)
CAPTION = "a woman in an orange suit in front of a flag and a model of a shuttle"


def packet(caption: str | None = CAPTION, size: ImageSize = SMALL, snr_db: float = 10.0) -> CaptionPacket:
    return caption_packet(caption, size, RATE, snr_db, "sent")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("snr_db", [-3.0, 4.0, 20.0])
def test_a_caption_takes_the_symbols_that_the_waveform_spends_on_it(size: ImageSize, snr_db: float) -> None:
    found = packet(size=size, snr_db=snr_db)
    text = pack_records(Records(caption=CAPTION))
    encoded = Encoded(np.zeros(0, np.complex64))
    frame = Frame(1, 0, 7, size, RATE, snr_db, encoded, text, mode_for_snr(snr_db))
    assert found.n_symbols == sum(content.header.n_text for content in plan_bursts(frame)) > 0


def test_what_is_not_sent_is_not_counted() -> None:
    assert packet(None).n_symbols == packet("").n_symbols == 0
    assert caption_packet(CAPTION, SMALL, RATE, 10.0, "none").n_symbols == 0
    unpackable = "".join(map(chr, np.random.default_rng(0).integers(0x4E00, 0x9FFF, 4000)))
    assert packet(unpackable).n_symbols == 0  # too long for a frame: the link leaves it out


def test_the_papers_convention_counts_426_for_every_picture() -> None:
    for caption in (None, CAPTION):
        assert caption_packet(caption, SMALL, RATE, 10.0, "paper").n_symbols == PAPER_SYMBOLS == 426


def arrived(sent: CaptionPacket, channel: ChannelConfig, n: int = 40) -> int:
    return sum(arrives(sent, channel, np.random.default_rng(seed)) for seed in range(n))


def test_a_caption_arrives_at_its_design_snr_and_not_far_below() -> None:
    assert arrived(packet(), ChannelConfig(snr_db=10.0)) == 40
    assert arrived(packet(), ChannelConfig(snr_db=-5.0)) == 0
    assert arrived(packet(None), ChannelConfig(snr_db=-20.0)) == 40  # nothing was sent, nothing is lost


def test_a_lost_burst_takes_a_caption_with_it_only_where_there_is_one_burst() -> None:
    channel = ChannelConfig(snr_db=20.0, drop=0.2)
    assert 20 <= arrived(packet(), channel) < 40
    assert arrived(packet(size=LARGE), channel) > arrived(packet(), channel)
