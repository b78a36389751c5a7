# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of the text part: what is packed comes back, and no bytes from the air do harm."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gened.errors import FrameError
from gened.gr_blocks.phy.coding.crc import crc32
from gened.gr_blocks.phy.framing.caption_words import caption_words
from gened.gr_blocks.phy.framing.records import (
    MAX_TEXT_BYTES,
    MAX_VALUE_BYTES,
    Records,
    pack_records,
    packed_len,
    partial_caption,
    unpack_records,
)
from gened.gr_blocks.phy.types import PartialBytes

DICTIONARY_CRC, DOG = 0xF8EF31FE, "c1000a4b44ecafcf473a740e00"
"""Neither may change while format version 1 lives."""
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
unknown = st.tuples(st.integers(3, 127), st.binary(max_size=40))


@given(texts, texts, st.lists(unknown, max_size=4).map(tuple))
@settings(max_examples=200, deadline=None)
def test_what_is_packed_comes_back(caption: str | None, station: str | None, others: tuple) -> None:
    records = Records(caption, station, others)
    assert unpack_records(pack_records(records)) == records


def test_bytes_on_the_wire() -> None:
    assert pack_records(Records("ab", "DL0X")) == b"\x01\x00\x02ab\x02\x00\x04DL0X"
    assert pack_records(Records()) == b""


def test_plain_deflate_is_read_too() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"QRV 145.500? " * 12) + packer.flush()
    assert unpack_records(b"\x81" + len(packed).to_bytes(2, "big") + packed) == Records("QRV 145.500? " * 12)


@pytest.mark.parametrize(
    ("caption", "share"),
    [
        ("a cup, centre, orange; vivid scene; orange above", 0.4),
        ("Two dogs are playing with a ball on the beach.", 0.5),
        ("a red fox walks over a snowy field, and another red fox walks over another snowy field", 0.7),
    ],
)
def test_captions_shrink_by_the_words_that_are_known_beforehand(caption: str, share: float) -> None:
    packed = pack_records(Records(caption))
    assert packed[0] == 0xC1
    assert len(packed) == packed_len(caption) <= share * len(caption)
    assert unpack_records(packed).caption == caption


@pytest.mark.parametrize("caption", ["", "ü", "für Prüfzwecke — 水", "Ein Hund läuft über eine grüne Wiese.", "\0\1\2"])
def test_any_language_survives_and_never_grows(caption: str) -> None:
    assert unpack_records(pack_records(Records(caption))).caption == caption
    assert packed_len(caption) <= len(caption.encode()) + 3


def test_the_dictionary_is_the_one_on_the_wire() -> None:
    assert len(caption_words()) == 32000
    assert crc32(caption_words()) == DICTIONARY_CRC
    assert pack_records(Records("a dog runs on the grass")).hex() == DOG


def test_words_without_deflate_are_a_type_of_somebody_elses() -> None:
    assert unpack_records(b"\x41\x00\x01a").others == ((0x41, b"a"),)


def test_a_bomb_that_uses_the_dictionary_is_dropped() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, caption_words())
    bomb = packer.compress(caption_words() * 4) + packer.flush()
    assert len(bomb) < MAX_TEXT_BYTES
    assert unpack_records(b"\xc1" + len(bomb).to_bytes(2, "big") + bomb) == Records()


@given(st.binary(max_size=2047))
@settings(max_examples=300, deadline=None)
def test_random_bytes_never_raise_and_never_grow_without_bound(packed: bytes) -> None:
    records = unpack_records(packed)
    assert len((records.caption or "").encode()) <= 3 * MAX_VALUE_BYTES  # a broken byte becomes three of U+FFFD
    assert sum(len(value) for _, value in records.others) <= len(packed)


def test_decompression_bomb_is_dropped_and_the_rest_kept() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\0" * 1_000_000) + packer.flush()
    assert len(bomb) < MAX_TEXT_BYTES
    packed = b"\x81" + len(bomb).to_bytes(2, "big") + bomb + b"\x02\x00\x02ok"
    assert unpack_records(packed) == Records(None, "ok")


@pytest.mark.parametrize("cut", range(1, 9))
def test_truncated_records_are_left_out(cut: int) -> None:
    packed = pack_records(Records("ab", "DL0XYZ"))
    assert unpack_records(packed[:-cut]) == Records("ab", None)


def test_unknown_types_are_kept_as_they_came() -> None:
    assert unpack_records(b"\x30\x00\x01!\x01\x00\x01a").others == ((0x30, b"!"),)


def test_first_record_of_a_kind_counts() -> None:
    assert unpack_records(b"\x01\x00\x01a\x01\x00\x01b").caption == "a"


def test_longest_caption_survives_and_a_longer_one_is_refused_with_the_limit() -> None:
    longest = "ab" * (MAX_VALUE_BYTES // 2)
    assert unpack_records(pack_records(Records(longest))).caption == longest
    with pytest.raises(FrameError, match=str(MAX_VALUE_BYTES)):
        pack_records(Records(longest + "a"))


def test_text_that_does_not_fit_the_header_is_refused_with_the_limit() -> None:
    hard_to_pack = "".join(chr(0x4E00 + (i * i * 7919 + i) % 20000) for i in range(1000))
    with pytest.raises(FrameError, match="2047"):
        pack_records(Records(hard_to_pack))


@pytest.mark.parametrize("other", [(256, b""), (-1, b""), (5, b"\0" * 70000)])
def test_records_that_no_type_or_length_can_tell_are_refused(other: tuple[int, bytes]) -> None:
    with pytest.raises(FrameError):
        pack_records(Records(others=(other,)))


def test_lone_surrogates_are_replaced() -> None:
    assert unpack_records(pack_records(Records("a\ud800b"))).caption == "a?b"


def damaged(packed: bytes, *doubtful: int) -> PartialBytes:
    """With other bytes in these places, known to be doubtful."""
    data = bytearray(packed)
    for place in doubtful:
        data[place] ^= 0x5A
    return PartialBytes(bytes(data), ~np.isin(np.arange(len(packed)), doubtful))


def plain(caption: str) -> bytes:
    value = caption.encode()
    return b"\x01" + len(value).to_bytes(2, "big") + value


def test_a_plain_text_shows_where_it_is_damaged_and_how_often_not_how_much() -> None:
    packed = plain("a red bus on a road")
    assert partial_caption(damaged(packed, 5, 6, 7, 14)) == "a \ufffd bus o\ufffd a road"
    assert partial_caption(damaged(packed, *range(3, 9))) == "\ufffdbus on a road"
    assert partial_caption(damaged(plain("für"), 5)) == "f\ufffdr"  # half of a letter is no letter


def test_a_packed_text_ends_at_its_first_doubtful_byte() -> None:
    caption = "a cup, centre, orange; vivid scene; orange above"
    packed = pack_records(Records(caption))
    assert packed[0] == 0xC1
    found = [partial_caption(damaged(packed, place)) for place in range(3, len(packed))]
    assert found[0] is None
    for text in filter(None, found):
        assert text.endswith("\ufffd") and caption.startswith(text[:-1])
    lengths = [len(text or "") for text in found]
    assert lengths == sorted(lengths) and lengths[-1] > len(caption) // 2


@pytest.mark.parametrize("packed", [plain("a dog"), pack_records(Records("two dogs on the beach", "DL0X"))])
def test_no_partial_text_looks_whole_wherever_the_damage_is(packed: bytes) -> None:
    for place in range(len(packed)):
        text = partial_caption(damaged(packed, place))
        assert text is None or "\ufffd" in text
    for length in range(len(packed) + 1):  # cut short, and said to be sure
        text = partial_caption(damaged(packed[:length]))
        assert text is None or "\ufffd" in text


def test_a_station_before_the_caption_may_be_damaged_but_not_its_length() -> None:
    packed = b"\x02\x00\x04DL0X" + plain("a dog")
    assert partial_caption(damaged(packed, 4)) == "a dog\ufffd"
    assert partial_caption(damaged(packed, 2)) is None
    assert partial_caption(damaged(packed, 8)) is None
    assert partial_caption(damaged(b"\x02\x00\x04DL0X", 4)) is None


def test_a_bomb_cut_short_is_dropped() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\0" * 1_000_000) + packer.flush()
    assert partial_caption(damaged(b"\x81" + len(bomb).to_bytes(2, "big") + bomb, len(bomb) + 2)) is None


@given(st.binary(max_size=300), st.data())
@settings(max_examples=200, deadline=None)
def test_random_bytes_of_any_sureness_never_raise(packed: bytes, data: st.DataObject) -> None:
    is_sure = np.array(data.draw(st.lists(st.booleans(), min_size=len(packed), max_size=len(packed))), bool)
    text = partial_caption(PartialBytes(packed, is_sure))
    assert text is None or len(text.encode()) <= 3 * MAX_VALUE_BYTES + 3
