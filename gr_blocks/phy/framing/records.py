# SPDX-License-Identifier: GPL-3.0-or-later
"""Type-length-value records of the text of a frame: caption and station identification.

A record is a type byte, a length of two bytes (big-endian) and the value. Bit 7 of the type marks a value in raw
DEFLATE, bit 6 one that was compressed with the dictionary of `caption_words`: captions by a machine shrink to a
quarter, captions by people to a little more than a half. Unknown types are kept.
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
"""Flag beside DEFLATED: compressed with dictionary 1."""
MAX_TEXT_BYTES = 2047
"""Largest length that the header's 11 bits express."""
DAMAGED = "\N{REPLACEMENT CHARACTER}"
"""Mark in place of a run of missing or doubtful characters of any length."""
MAX_VALUE_BYTES = 16384
"""Longest text that is sent or inflated; bounds the memory that a receiver spends on a record."""


@dataclass(frozen=True)
class Records:
    """Records of a text."""

    caption: str | None = None
    """Caption of the picture."""
    station: str | None = None
    """Station identification of the sender."""
    others: tuple[tuple[int, bytes], ...] = ()
    """Type and value of each record of an unknown type, unchanged."""


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
    """Flags and value of each way to write a text, the plainest first."""
    yield 0, value
    yield DEFLATED, _deflate(zlib.compressobj(9, zlib.DEFLATED, -15), value)
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED):  # Z_FIXED spends no bits on the description of its code
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy, caption_words())
        yield DEFLATED | WITH_WORDS, _deflate(packer, value)


def _deflate(packer: zlib._Compress, value: bytes) -> bytes:
    return packer.compress(value) + packer.flush()


def packed_len(text: str) -> int:
    """Number of bytes that a caption takes in a frame, including the three of its record.

    Raises:
        FrameError: The text is too long.
    """
    return len(_text(CAPTION, text))


def pack_records(records: Records) -> bytes:
    """Pack records into bytes.

    Raises:
        FrameError: The records are longer than a frame carries, or a type is not a byte.
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
    """Unpack bytes into records; never raises.

    Truncated and damaged records are left out. Of several records of one type the first counts.
    """
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
    """Recover the certain part of a caption from damaged records; never raises.

    A compressed caption ends at its first doubtful byte, since all that follows depends on it.

    Args:
        packed: Packed records, of which some bytes are doubtful or missing.

    Returns:
        The caption with `DAMAGED` in place of each gap, at least once. None when no character is left, or when the type
        or the length of the caption's record or of one before it is doubtful.
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
        if len(value) < length or is_sure.all():  # truncated, or the damage is elsewhere: not to be shown as whole
            text = text.removesuffix(DAMAGED) + DAMAGED
        return text if text.strip(DAMAGED) else None
    return None


def _plain_part(value: bytes, is_sure: npt.NDArray[np.bool_]) -> str:
    """Replace doubtful bytes by 0xFF, which occurs in no UTF-8, and decode."""
    known = bytes(byte if sure else 0xFF for byte, sure in zip(value, is_sure, strict=True))
    return _marked(known)


def _inflated_part(value: bytes, is_sure: npt.NDArray[np.bool_], *, with_words: bool) -> str:
    n_sure = len(value) if is_sure.all() else int(np.argmin(is_sure))
    unpacker = zlib.decompressobj(-15, caption_words()) if with_words else zlib.decompressobj(-15)
    found = b""
    try:
        for byte in value[:n_sure]:  # one by one, so that the text before an error is kept
            found += unpacker.decompress(bytes([byte]), MAX_VALUE_BYTES - len(found) + 1)
            if len(found) > MAX_VALUE_BYTES:
                return DAMAGED
    except zlib.error:
        return _marked(found + b"\xff")
    return _marked(found if unpacker.eof else found + b"\xff")


def _marked(text: bytes) -> str:
    """Decode UTF-8 with one mark per run of invalid bytes."""
    return re.sub(f"{DAMAGED}+", DAMAGED, text.decode("utf-8", "replace"))
