# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a client of iiod 0.24 sends, read with bounds, and the pieces of what it is answered.

What a client sends is hostile until it is parsed: a line is at most `MAX_LINE` bytes of printable ASCII, its numbers
have at most 18 digits, and what does not fit is an `IioError` that becomes one negative number on the wire.
"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_LINE = 1024
"""Bytes of a line; the longest that a client of libiio makes has about 200."""
MAX_VALUE = 65536
"""Bytes of a value that is written; the longest that a client makes, a filter of 128 taps, has about 1200."""
MAX_SKIPPED = 2**20
"""Bytes of a value too long that are read over, so that the connection stays usable; more ends it."""
MAX_TRANSFER = 2**40
"""Bytes that one READBUF or WRITEBUF may ask for; they pass in pieces and are never held together."""
VERSION = "0.24.v0.24  "
"""Major, minor and a tag of exactly seven characters."""
HELP = (
    "Available commands:\n\n"
    "\tHELP\n\tEXIT\n\tPRINT\n\tVERSION\n\tTIMEOUT <milliseconds>\n"
    "\tOPEN <device> <samples> <mask> [CYCLIC]\n\tCLOSE <device>\n"
    "\tREAD <device> [DEBUG|BUFFER] [<attribute>]\n\tREAD <device> INPUT|OUTPUT <channel> [<attribute>]\n"
    "\tWRITE <device> [DEBUG|BUFFER] [<attribute>] <bytes>\n"
    "\tWRITE <device> INPUT|OUTPUT <channel> [<attribute>] <bytes>\n"
    "\tREADBUF <device> <bytes>\n\tWRITEBUF <device> <bytes>\n"
    "\tGETTRIG <device>\n\tSETTRIG <device> [<trigger>]\n\tSET <device> BUFFERS_COUNT <count>\n"
)

Place = Literal["device", "channel", "debug", "buffer"]
Direction = Literal["input", "output"]

_NUMBER = re.compile(r"[0-9]{1,18}")
_MASK = re.compile(r"(?:[0-9a-fA-F]{8}){1,8}")
_WORD = re.compile(r"[\x21-\x7e]+")


class IioError(Exception):
    """A request that a device or the protocol refuses, with the error number of Linux.

    Args:
        number: Positive, such as `errno.EINVAL`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"{errno.errorcode.get(number, number)}")
        self.code = -number


class LineTooLongError(IioError):
    """A line with no end in sight; the connection cannot go on."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL)


@dataclass(frozen=True)
class Command:
    """One line, understood. Which fields mean something depends on the verb."""

    verb: str
    """In capitals."""
    device: str = ""
    """Id or name."""
    place: Place = "device"
    """Where the attribute stands."""
    direction: Direction = "input"
    channel: str = ""
    """Id or name."""
    attribute: str | None = None
    """None: all attributes of that place."""
    number: int = 0
    """Bytes, samples, milliseconds or buffers."""
    mask: str = ""
    """Hexadecimal words of OPEN, in lower case."""
    is_cyclic: bool = False


def parse(line: bytes) -> Command | None:
    """A line without or with its end.

    Returns:
        The command, None for an empty line.

    Raises:
        IioError: EINVAL, whatever is wrong.
    """
    if len(line) > MAX_LINE:
        raise LineTooLongError
    try:
        words = line.rstrip(b"\r\n").decode("ascii").split(" ")
    except UnicodeDecodeError as exc:
        raise IioError(errno.EINVAL) from exc
    words = [word for word in words if word]
    if not words:
        return None
    if not all(_WORD.fullmatch(word) for word in words):
        raise IioError(errno.EINVAL)
    verb, rest = _keyword(words[0]), words[1:]
    if verb in ("PRINT", "ZPRINT", "VERSION", "HELP", "EXIT", "QUIT") and not rest:
        return Command("EXIT" if verb == "QUIT" else verb)
    if verb == "TIMEOUT" and len(rest) == 1:
        return Command(verb, number=int(rest[0]) if _NUMBER.fullmatch(rest[0]) else 0)
    if verb in ("CLOSE", "GETTRIG") and len(rest) == 1:
        return Command(verb, rest[0])
    if verb == "SETTRIG" and len(rest) in (1, 2):
        return Command(verb, rest[0])
    if verb == "SET" and len(rest) == 3 and _keyword(rest[1]) == "BUFFERS_COUNT":
        return Command(verb, rest[0], number=_number(rest[2], 2**31))
    if verb in ("READBUF", "WRITEBUF") and len(rest) == 2:
        return Command(verb, rest[0], number=_number(rest[1], MAX_TRANSFER))
    if verb == "OPEN":
        return _open(rest)
    if verb in ("READ", "WRITE"):
        return _attribute(verb, rest)
    raise IioError(errno.EINVAL)


def _keyword(word: str) -> str:
    """In capitals; words of mixed case are none."""
    return word.upper() if word.isupper() or word.islower() else ""


def _number(word: str, limit: int) -> int:
    if not _NUMBER.fullmatch(word) or int(word) > limit:
        raise IioError(errno.EINVAL)
    return int(word)


def _open(words: Sequence[str]) -> Command:
    is_cyclic = len(words) == 4 and _keyword(words[3]) == "CYCLIC"
    if len(words) != 3 + is_cyclic or not _MASK.fullmatch(words[2]):
        raise IioError(errno.EINVAL)
    return Command(
        "OPEN", words[0], number=_number(words[1], 2**62), mask=words[2].lower(), is_cyclic=is_cyclic
    )  # fmt: skip


def _attribute(verb: str, words: Sequence[str]) -> Command:
    """READ and WRITE: `dev [DEBUG|BUFFER] [attr] [n]` or `dev INPUT|OUTPUT chn [attr] [n]`; n with WRITE only."""
    rest = list(words)
    number = 0
    if verb == "WRITE":
        if not rest:
            raise IioError(errno.EINVAL)
        number = _number(rest.pop(), 2**62)
    if not rest:
        raise IioError(errno.EINVAL)
    device, rest = rest[0], rest[1:]
    place: Place = "device"
    direction: Direction = "input"
    channel = ""
    keyword = _keyword(rest[0]) if rest else ""
    if keyword in ("INPUT", "OUTPUT"):
        if len(rest) < 2:
            raise IioError(errno.EINVAL)
        place, direction, channel, rest = "channel", "input" if keyword == "INPUT" else "output", rest[1], rest[2:]
    elif keyword in ("DEBUG", "BUFFER"):
        place, rest = "debug" if keyword == "DEBUG" else "buffer", rest[1:]
    if len(rest) > 1:
        raise IioError(errno.EINVAL)
    return Command(
        verb,
        device,
        place=place,
        direction=direction,
        channel=channel,
        attribute=rest[0] if rest else None,
        number=number,
    )


def value_of(payload: bytes) -> str:
    """The text that a client writes: without trailing NULs and line ends.

    Raises:
        IioError: EINVAL: no ASCII, or a NUL within.
    """
    try:
        text = payload.rstrip(b"\0\r\n").decode("ascii")
    except UnicodeDecodeError as exc:
        raise IioError(errno.EINVAL) from exc
    if "\0" in text:
        raise IioError(errno.EINVAL)
    return text


def pack_all(values: Sequence[str | IioError]) -> bytes:
    """All values of a place in one block: for each a big-endian length, the text with its NUL, zeros up to 4 bytes.

    An error takes the place of a length; nothing follows it.
    """
    parts = []
    for value in values:
        if isinstance(value, IioError):
            parts.append(struct.pack(">i", value.code))
        else:
            data = value.encode("ascii") + b"\0"
            parts.append(struct.pack(">i", len(data)) + data + bytes(-len(data) % 4))
    return b"".join(parts)


def unpack_all(block: bytes, count: int) -> list[str | None]:
    """The inverse, for writing: `count` values, None where one is to stay as it is.

    Raises:
        IioError: EINVAL: the block does not add up.
    """
    values: list[str | None] = []
    at = 0
    for _ in range(count):
        if len(block) - at < 4:
            raise IioError(errno.EINVAL)
        (length,) = struct.unpack_from(">i", block, at)
        at += 4
        if length <= 0:
            values.append(None)
            continue
        if length > len(block) - at:
            raise IioError(errno.EINVAL)
        values.append(value_of(block[at : at + length]))
        at += length + (-length % 4)
    if at != len(block):
        raise IioError(errno.EINVAL)
    return values
