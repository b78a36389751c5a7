# SPDX-License-Identifier: GPL-3.0-or-later
"""PDUs: what goes in comes out, and what is no PDU is told from one."""

from __future__ import annotations

import gc
import time
from typing import Any

import numpy as np
import pmt
import pytest

from gened.gr_blocks.pdu.frame_pdus import (
    capture_from_pdu,
    encoded_from_pdu,
    encoded_to_pdu,
    picture_from_pdu,
    received_from_pdu,
)
from gened.gr_blocks.pdu.pdus import (
    PduError,
    from_pdu,
    from_vector,
    meta_from_pdu,
    to_pdu,
    to_vector,
    with_entries,
)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.complex64])
@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_vectors_come_back_as_gnuradio_sees_them(dtype: Any, n: int, rng: np.random.Generator) -> None:
    values = rng.integers(0, 256, n).astype(dtype) * (dtype(1) if dtype != np.complex64 else np.complex64(1 - 2j))
    message = to_pdu({}, values)
    assert pmt.is_dict(pmt.car(message))
    assert np.array_equal(np.array(pmt.to_python(pmt.cdr(message)), dtype), values)
    again = from_pdu(message)[1]
    assert again.dtype == dtype
    assert np.array_equal(again, values)


def test_vectors_made_by_gnuradio_are_read() -> None:
    assert np.array_equal(from_pdu(pmt.cons(pmt.PMT_NIL, pmt.init_c32vector(2, [1 + 2j, -3j])))[1], [1 + 2j, -3j])


def test_values_of_all_plain_types_come_back() -> None:
    meta = {"a": 1, "b": -2, "c": 2**32 - 1, "d": 0.25, "e": "caption – ü", "f": True, "g": False, "h": None}
    assert from_pdu(to_pdu(meta, b""))[0] == meta
    assert from_pdu(to_pdu({"bytes": b"\x00\xff"}, b""))[0]["bytes"].tobytes() == b"\x00\xff"


def test_a_picture_of_twelve_million_pixels_is_packed_in_under_a_second() -> None:
    image = np.zeros(3 * 4096 * 3072, np.uint8)
    begin = time.process_time()
    from_pdu(to_pdu({}, image))
    assert time.process_time() - begin < 1.0


@pytest.mark.parametrize("reader", [picture_from_pdu, encoded_from_pdu, received_from_pdu, capture_from_pdu])
def test_hostile_messages_raise_pdu_errors_alone(reader: Any, hostile: Any) -> None:
    with pytest.raises(PduError):
        reader(hostile)


def test_dictionaries_without_end_are_refused() -> None:
    with pytest.raises(PduError, match="more than 128"):
        from_pdu(to_pdu({f"key {i}": i for i in range(129)}, b""))


@pytest.mark.parametrize("value", [None, True, "4", 3.5, -1, 65536])
def test_entries_are_checked_for_type_and_bounds(frame_of: Any, value: Any) -> None:
    with pytest.raises(PduError, match="the PDU's 'session'"):
        encoded_from_pdu(with_entries(encoded_to_pdu(frame_of()), {"session": value}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_entries_must_be_finite(frame_of: Any, value: float) -> None:
    with pytest.raises(PduError, match="'snr_design_db': must be a finite number"):
        encoded_from_pdu(with_entries(encoded_to_pdu(frame_of()), {"snr_design_db": value}))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.complex64])
def test_an_array_is_a_view_of_its_message_and_cannot_change_it(dtype: Any) -> None:
    vector = to_vector(np.arange(5).astype(dtype))
    array = from_vector(vector)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert np.shares_memory(array, from_vector(vector))
    del vector
    gc.collect()
    assert array.tolist() == [0, 1, 2, 3, 4]


def test_entries_are_added_without_touching_the_vector() -> None:
    message = to_pdu({"a": 1, "b": 2}, np.arange(3).astype(np.float32))
    changed = with_entries(message, {"b": 3, "c": "x"})
    assert from_pdu(changed)[0] == {"a": 1, "b": 3, "c": "x"}
    assert from_pdu(message)[0] == {"a": 1, "b": 2}
    assert np.shares_memory(from_pdu(message)[1], from_pdu(changed)[1])


def test_only_the_entries_that_are_asked_for_are_read() -> None:
    message = to_pdu({"a": 1, "b": np.zeros(3, np.uint8)}, b"")
    assert meta_from_pdu(message, names={"a", "c"}) == {"a": 1}


def test_an_encoded_frame_comes_back_whole(frame_of: Any) -> None:
    frame = frame_of(number=3)
    again, meta = encoded_from_pdu(encoded_to_pdu(frame, {"name": "photo"}))
    assert meta["name"] == "photo"
    assert np.array_equal(again.encoded.symbols, frame.encoded.symbols)
    for name in ("session", "number", "codec_id", "size", "rate", "snr_design_db", "text", "text_mode"):
        assert getattr(again, name) == getattr(frame, name)
    assert again.encoded.side_info == frame.encoded.side_info


def test_symbols_that_are_no_numbers_reach_the_modulator_which_sends_them_as_zero(frame_of: Any) -> None:
    frame = frame_of()
    frame.encoded.symbols[3] = np.nan
    again = encoded_from_pdu(encoded_to_pdu(frame))[0]
    assert np.array_equal(again.encoded.symbols, frame.encoded.symbols, equal_nan=True)
