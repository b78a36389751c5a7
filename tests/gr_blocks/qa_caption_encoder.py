# SPDX-License-Identifier: GPL-3.0-or-later
"""caption_encoder: texts into the frames that pass."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pmt
import pytest

from gened.errors import ConfigError
from gened.gr_blocks.caption_encoder import caption_encoder
from gened.gr_blocks.pdu.frame_pdus import encoded_from_pdu, encoded_to_pdu
from gened.gr_blocks.pdu.pdus import to_pdu
from gened.gr_blocks.phy.coding.modes import mode_for_snr
from gened.gr_blocks.phy.framing.records import Records, unpack_records


def passed(bench: Any, block: Any, *messages: Any, texts: tuple[Any, ...] = ()) -> list[Any]:
    source, text, sink = (
        bench.source_of(block, "encoded"),
        bench.source_of(block, "text"),
        bench.sink_of(block, "encoded"),
    )
    bench.start()
    for message in texts:
        text.send(message)
    for message in messages:
        source.send(message)
    return [encoded_from_pdu(message)[0] for message in sink.wait(len(messages))]


def test_caption_and_station_are_packed_and_the_symbols_stay(bench: Any, frame_of: Any) -> None:
    frame = dataclasses.replace(frame_of(), text=b"")
    again = passed(bench, caption_encoder("a house", "N0CALL", "qpsk-1/2"), encoded_to_pdu(frame))[0]
    assert unpack_records(again.text) == Records("a house", "N0CALL")
    assert again.text_mode == "qpsk-1/2"
    assert np.array_equal(again.encoded.symbols, frame.encoded.symbols)


@pytest.mark.parametrize("snr_db", [-5.0, 1.0, 5.0, 12.0])
def test_auto_takes_the_mode_that_holds_at_the_design_snr(bench: Any, frame_of: Any, snr_db: float) -> None:
    frame = dataclasses.replace(frame_of(), snr_design_db=snr_db)
    assert passed(bench, caption_encoder("x"), encoded_to_pdu(frame))[0].text_mode == mode_for_snr(snr_db)


def test_a_frames_own_caption_goes_before_the_blocks(bench: Any, frame_of: Any) -> None:
    again = passed(bench, caption_encoder("the block's"), encoded_to_pdu(frame_of(), {"caption": "its own"}))[0]
    assert unpack_records(again.text).caption == "its own"


@pytest.mark.parametrize("text", [pmt.intern("grün"), to_pdu({}, "grün".encode())])
def test_a_text_becomes_the_caption_of_the_frames_that_follow(bench: Any, frame_of: Any, until: Any, text: Any) -> None:
    block = caption_encoder("old")
    source, texts, sink = (
        bench.source_of(block, "encoded"),
        bench.source_of(block, "text"),
        bench.sink_of(block, "encoded"),
    )
    bench.start()
    texts.send(text)
    assert until(lambda: block._caption == "grün")
    source.send(encoded_to_pdu(frame_of()))
    assert unpack_records(encoded_from_pdu(sink.wait(1)[0])[0].text).caption == "grün"


def test_no_caption_and_no_station_cost_nothing(bench: Any, frame_of: Any) -> None:
    assert passed(bench, caption_encoder(), encoded_to_pdu(frame_of()))[0].text == b""


def test_a_caption_too_long_is_left_out_and_counted(bench: Any, frame_of: Any, rng: Any) -> None:
    block = caption_encoder("".join(map(chr, rng.integers(33, 0x7FF, 3000))))
    assert passed(bench, block, encoded_to_pdu(frame_of()))[0].text == b""
    assert block.stats()["n_too_long"] == 1


def test_hostile_messages_are_counted_and_the_next_frame_passes(bench: Any, frame_of: Any, hostile: Any) -> None:
    block = caption_encoder("x")
    sink = bench.sink_of(block, "encoded")
    source = bench.source_of(block, "encoded")
    bench.start()
    source.send(hostile)
    source.send(encoded_to_pdu(frame_of(number=9)))
    assert encoded_from_pdu(sink.wait(1)[-1])[0].number == 9
    assert block.stats() == {"n_bad_pdus": 1, "n_frames": 1}


def test_an_unknown_mode_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="qpsk-1/2"):
        caption_encoder(mode_name="morse")


def test_the_mode_of_the_side_information_is_kept(bench: Any, frame_of: Any) -> None:
    frame = frame_of()
    safe = dataclasses.replace(frame, encoded=dataclasses.replace(frame.encoded, side_mode="bpsk-1/2x2"))
    assert passed(bench, caption_encoder("a house"), encoded_to_pdu(safe))[0].encoded.side_mode == "bpsk-1/2x2"
