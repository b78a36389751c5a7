# SPDX-License-Identifier: GPL-3.0-or-later
"""Type-length-value records of the text part: caption, station identification, and whatever comes later.

A record is a type byte, a length of two bytes (big-endian) and the value. The top bit of the type says that the value is raw deflate.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from gened.gr_blocks.phy.errors import FrameError

CAPTION = 1
STATION = 2
DEFLATED = 0x80
MAX_TEXT_BYTES = 2047
"""What the header's 11-bit length can tell."""
MAX_VALUE_BYTES = 16384
"""A deflated value that would grow beyond this is dropped."""


@dataclass(frozen=True)
class Records:
    """What the text part says."""

    caption: str | None = None
    station: str | None = None
    others: tuple[tuple[int, bytes], ...] = ()
    """Records of types that this version does not know, as they came."""


def _record(kind: int, value: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(value) + packer.flush()
    if len(packed) < len(value):
        kind, value = kind | DEFLATED, packed
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def pack_records(records: Records) -> bytes:
    """Records to bytes.

    Raises:
        FrameError: More than a frame carries.
    """
    parts = []
    if records.caption is not None:
        parts.append(_record(CAPTION, records.caption.encode("utf-8", "replace")))
    if records.station is not None:
        parts.append(_record(STATION, records.station.encode("utf-8", "replace")))
    parts += [bytes([kind]) + len(value).to_bytes(2, "big") + value for kind, value in records.others]
    packed = b"".join(parts)
    if len(packed) > MAX_TEXT_BYTES:
        raise FrameError(f"the text takes {len(packed)} bytes when packed; a frame carries {MAX_TEXT_BYTES}: shorten it")
    return packed


def _inflate(value: bytes) -> bytes | None:
    unpacker = zlib.decompressobj(-15)
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
        known = kind & ~DEFLATED
        if known not in (CAPTION, STATION):
            others.append((kind, value))
            continue
        plain = _inflate(value) if kind & DEFLATED else value
        if plain is not None:
            texts.setdefault(known, plain.decode("utf-8", "replace"))
    return Records(texts.get(CAPTION), texts.get(STATION), tuple(others))
