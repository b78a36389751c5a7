# SPDX-License-Identifier: GPL-3.0-or-later
"""caption_decoder: texts out of received frames."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gened.gr_blocks.caption_decoder import caption_decoder
from gened.gr_blocks.pdu import edit_queue
from gened.gr_blocks.pdu.frame_pdus import received_from_pdu, received_to_pdu
from gened.gr_blocks.pdu.pdus import from_pdu
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import ImageSize, PartialBytes, Received, ReceivedFrame


def received(text: bytes | None, has_text: bool = True) -> ReceivedFrame:
    symbols = np.arange(256).astype(np.complex64)
    return ReceivedFrame(
        session=1, number=2, codec_id=3, text=text, has_text=has_text, n_bursts=1, n_bursts_received=1, snr_est_db=10.0,
        cfo_est_norm=0.0, sfo_est_ppm=0.0, on_air_samples=1000, text_symbols=100, side_symbols=0,
        received=Received(symbols, np.ones(256, np.float32), None, ImageSize(64, 64), Fraction(1, 24), 10.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "has_text", "expected"),
    [
        (pack_records(Records("two dogs – große", "N0CALL")), True, ("two dogs – große", "N0CALL", True)),
        (pack_records(Records(station="N0CALL")), True, (None, "N0CALL", True)),
        (None, True, (None, None, False)),
        (b"", False, (None, None, None)),
        (b"\x01\xff\xffshort", True, (None, None, True)),  # the CRC held, the records make no sense
    ],
    ids=["caption and station", "station alone", "lost", "none sent", "broken records"],
)
def test_caption_station_and_crc_are_told(
    bench: Any, text: bytes | None, has_text: bool, expected: tuple[Any, ...]
) -> None:
    block = caption_decoder()
    source, frames, texts = (
        bench.source_of(block, "frames"),
        bench.sink_of(block, "frames"),
        bench.sink_of(block, "text"),
    )
    bench.start()
    sent = received(text, has_text)
    source.send(received_to_pdu(sent))
    again, meta = received_from_pdu(frames.wait(1)[0])
    assert (meta["caption"], meta["station"], meta["crc_ok"]) == expected
    assert np.array_equal(again.received.symbols, sent.received.symbols)
    assert dataclasses.replace(again.received, symbols=0, noise_var=0) == dataclasses.replace(
        sent.received, symbols=0, noise_var=0
    )
    if expected[0] is not None:
        assert from_pdu(texts.wait(1)[0])[1].tobytes().decode() == expected[0]
    else:
        assert texts.wait(1, 0.05) == []


def test_a_damaged_caption_is_told_as_such_and_is_no_caption(bench: Any) -> None:
    packed = b"\x01\x00\x0aa red fox!"
    left = PartialBytes(packed, np.arange(len(packed)) != 6)
    block = caption_decoder()
    source, frames, texts = (
        bench.source_of(block, "frames"),
        bench.sink_of(block, "frames"),
        bench.sink_of(block, "text"),
    )
    bench.start()
    source.send(received_to_pdu(dataclasses.replace(received(None), partial_text=left)))
    again, meta = received_from_pdu(frames.wait(1)[0])
    assert (meta["caption"], meta["caption_partial"], meta["crc_ok"]) == (None, "a r\ufffdd fox!", False)
    assert again.partial_text is not None and again.partial_text.data == packed
    assert np.array_equal(again.partial_text.is_sure, left.is_sure)
    assert edit_queue._text(meta) == ""  # what an editor would be told
    assert texts.wait(1, 0.05) == []
    assert block.stats()["n_partial_texts"] == 1


def test_hostile_messages_are_counted_and_the_next_frame_passes(bench: Any, hostile: Any) -> None:
    block = caption_decoder()
    source, frames = bench.source_of(block, "frames"), bench.sink_of(block, "frames")
    bench.start()
    source.send(hostile)
    source.send(received_to_pdu(received(None)))
    assert len(frames.wait(1)) == 1
    assert block.stats()["n_bad_pdus"] == 1
