# SPDX-License-Identifier: GPL-3.0-or-later
"""Type-length-value records of the text part: caption, station identification, and whatever comes later.

A record is a type byte, a length of two bytes (big-endian) and the value. The top bit of a text's type says that the
value is raw deflate, the one below it that the packer knew the words of captions beforehand (`caption_words.py`): a
caption by a machine shrinks to a quarter, one by a person to little more than a half.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gened.errors import FrameError
from gened.gr_blocks.phy.framing.caption_words import caption_words
from gened.gr_blocks.phy.types import PartialBytes

CAPTION = 1
STATION = 2
DEFLATED = 0x80
WITH_WORDS = 0x40
"""Beside DEFLATED: with dictionary 1."""
MAX_TEXT_BYTES = 2047
"""What the header's 11-bit length can tell."""
DAMAGED = "\N{REPLACEMENT CHARACTER}"
"""Stands for whatever is missing or doubtful at one place of a text, however long it was."""
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


def partial_caption(packed: PartialBytes) -> str | None:
    """What is left of the caption in damaged records, `DAMAGED` where something is missing and at least once.

    Never raises. A deflated text ends at its first doubtful byte, for all that follows depends on it. None when not one
    letter is left, and where the type or the length of a record before or of the caption is doubtful.
    """
    position = 0
    while position + 3 <= len(packed.data) and packed.is_sure[position : position + 3].all():
        kind, length = packed.data[position], int.from_bytes(packed.data[position + 1 : position + 3], "big")
        where = slice(position + 3, min(position + 3 + length, len(packed.data)))
        position += 3 + length
        flags = kind & (DEFLATED | WITH_WORDS)
        if kind - flags != CAPTION or flags == WITH_WORDS:
            continue
        value, is_sure = packed.data[where], packed.is_sure[where]
        text = _inflated_part(value, is_sure, with_words=flags != DEFLATED) if flags else _plain_part(value, is_sure)
        if len(value) < length or is_sure.all():  # cut short, or the damage is elsewhere: it is not called whole
            text = text.removesuffix(DAMAGED) + DAMAGED
        return text if text.strip(DAMAGED) else None
    return None


def _plain_part(value: bytes, is_sure: npt.NDArray[np.bool_]) -> str:
    """0xFF, which stands in no UTF-8, for what is doubtful."""
    known = bytes(byte if sure else 0xFF for byte, sure in zip(value, is_sure, strict=True))
    return _marked(known)


def _inflated_part(value: bytes, is_sure: npt.NDArray[np.bool_], *, with_words: bool) -> str:
    n_sure = len(value) if is_sure.all() else int(np.argmin(is_sure))
    unpacker = zlib.decompressobj(-15, caption_words()) if with_words else zlib.decompressobj(-15)
    found = b""
    try:
        for byte in value[:n_sure]:  # one by one: what came before an error is kept
            found += unpacker.decompress(bytes([byte]), MAX_VALUE_BYTES - len(found) + 1)
            if len(found) > MAX_VALUE_BYTES:
                return DAMAGED
    except zlib.error:
        return _marked(found + b"\xff")
    return _marked(found if unpacker.eof else found + b"\xff")


def _marked(text: bytes) -> str:
    """Each run of broken bytes as one mark."""
    return re.sub(f"{DAMAGED}+", DAMAGED, text.decode("utf-8", "replace"))
