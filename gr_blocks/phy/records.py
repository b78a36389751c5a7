# SPDX-License-Identifier: GPL-3.0-or-later
"""Type-length-value records of the text part: caption, station identification, and whatever comes later.

A record is a type byte, a length of two bytes (big-endian) and the value. The top bit of a text's type says that the
value is raw deflate, the one below it that the packer knew the words of captions beforehand (`caption_words.py`): a
caption by a machine shrinks to a quarter, one by a person to little more than a half.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gened.gr_blocks.phy.caption_words import caption_words
from gened.gr_blocks.phy.errors import FrameError

CAPTION = 1
STATION = 2
DEFLATED = 0x80
WITH_WORDS = 0x40
"""Beside DEFLATED: with dictionary 1."""
MAX_TEXT_BYTES = 2047
"""What the header's 11-bit length can tell."""
MAX_VALUE_BYTES = 16384
"""A text longer than this is neither sent nor inflated: what a receiver gives a record is bounded."""


@dataclass(frozen=True)
class Records:
    """What the text part says."""

    caption: str | None = None
    station: str | None = None
    others: tuple[tuple[int, bytes], ...] = ()
    """Records of types that this version does not know, as they came."""


def _raw(kind: int, value: bytes) -> bytes:
    if not 0 <= kind <= 255 or len(value) > MAX_TEXT_BYTES - 3:
        raise FrameError(
            f"a record of type {kind} takes {len(value) + 3} bytes when packed; "
            f"types are 0 to 255, and a frame carries {MAX_TEXT_BYTES} bytes of text: shorten it"
        )
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def _text(kind: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")
    if len(value) > MAX_VALUE_BYTES:
        raise FrameError(
            f"a text of {len(value)} bytes; at most {MAX_VALUE_BYTES}, and {MAX_TEXT_BYTES} when packed: shorten it"
        )
    flags, value = min(_packings(value), key=lambda packing: len(packing[1]))
    return _raw(kind | flags, value)


def _packings(value: bytes) -> Iterator[tuple[int, bytes]]:
    """The ways to write a text, the plainest first."""
    yield 0, value
    yield DEFLATED, _deflate(zlib.compressobj(9, zlib.DEFLATED, -15), value)
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED):  # the latter spends no bits on describing its code
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy, caption_words())
        yield DEFLATED | WITH_WORDS, _deflate(packer, value)


def _deflate(packer: zlib._Compress, value: bytes) -> bytes:
    return packer.compress(value) + packer.flush()


def packed_len(text: str) -> int:
    """Bytes that a text takes in a frame, the three of its record included.

    Raises:
        FrameError: It is too long.
    """
    return len(_text(CAPTION, text))


def pack_records(records: Records) -> bytes:
    """Records to bytes.

    Raises:
        FrameError: More than a frame carries, or no such type.
    """
    parts = []
    if records.caption is not None:
        parts.append(_text(CAPTION, records.caption))
    if records.station is not None:
        parts.append(_text(STATION, records.station))
    parts += [_raw(kind, value) for kind, value in records.others]
    packed = b"".join(parts)
    if len(packed) > MAX_TEXT_BYTES:
        raise FrameError(
            f"the text takes {len(packed)} bytes when packed; a frame carries {MAX_TEXT_BYTES}: shorten it"
        )
    return packed


def _inflate(value: bytes, *, with_words: bool) -> bytes | None:
    unpacker = zlib.decompressobj(-15, caption_words()) if with_words else zlib.decompressobj(-15)
    try:
        result = unpacker.decompress(value, MAX_VALUE_BYTES)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail or not unpacker.eof else result


def unpack_records(packed: bytes) -> Records:
    """Bytes to records; never raises. What is cut short or broken is left out, the first record of a kind counts."""
    texts: dict[int, str] = {}
    others: list[tuple[int, bytes]] = []
    position = 0
    while position + 3 <= len(packed):
        kind, length = packed[position], int.from_bytes(packed[position + 1 : position + 3], "big")
        value = packed[position + 3 : position + 3 + length]
        position += 3 + length
        if len(value) < length:
            break
        flags = kind & (DEFLATED | WITH_WORDS)
        known = kind - flags
        if known not in (CAPTION, STATION) or flags == WITH_WORDS:
            others.append((kind, value))
            continue
        plain = _inflate(value, with_words=flags != DEFLATED) if flags else value
        if plain is not None:
            texts.setdefault(known, plain.decode("utf-8", "replace"))
    return Records(texts.get(CAPTION), texts.get(STATION), tuple(others))
