# SPDX-License-Identifier: GPL-3.0-or-later
"""Check untrusted maps: values from a socket, a message port or a pipe become a typed record, or an error of one line.

Describe what is expected as a class and call `checked`. A description is a frozen dataclass, a pydantic model or a
union of models; its annotations give type, range and length of each entry:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Ping:
        number: Annotated[Count, Le(100)]
        note: Text = ""
        noise_var: Finite | None = None

    try:
        ping = checked(Ping, msgpack.unpackb(data), error=MessageError)
    except MessageError as exc:
        counters.report("n_bad_messages", str(exc))

The rules are the same everywhere: no conversion between types (`1` is no bool and "1" no int; an int is accepted as a
float), entries that the description does not name are ignored, and the reason that an error carries is short, printable
and names the entry, whatever the sender wrote. The caller bounds the size of the bytes before it unpacks them.

A dataclass uses the names below (`Count`, `Finite`, `Text`, ...), which carry these rules. A pydantic model gets them
for all of its entries by `model_config = UNTRUSTED`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from typing import Annotated, Any, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from gened.errors import GenedError

T = TypeVar("T")

MAX_TEXT = 65536
MAX_COUNT = 2**62
MAX_REASON = 200
"""Characters of a reason: the values that it is about come from the sender."""

UNTRUSTED = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)
"""Configuration of pydantic models that describe untrusted maps."""


def _none_if_not_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, max_length=MAX_TEXT)]
Blob = Annotated[bytes, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
UInt16 = Annotated[int, Field(strict=True, ge=0, le=2**16 - 1)]
UInt32 = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Measured = Annotated[Finite | None, BeforeValidator(_none_if_not_finite)]
"""A measured figure: NaN and infinity, which mean that nothing could be measured, become None."""


class HostileError(GenedError):
    """Untrusted values do not fit their description."""


@functools.cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def prepare(*kinds: Hashable) -> None:
    """Build the checks of some descriptions now rather than with the first message.

    Args:
        *kinds: As `checked` takes them.
    """
    for kind in kinds:
        _adapter(kind)


def checked(kind: type[T], values: object, *, where: str = "", error: type[GenedError] = HostileError) -> T:
    """The record that untrusted values describe.

    Args:
        kind: A dataclass, a pydantic model or a union of models.
        values: Anything; a mapping with the entries of `kind` is accepted.
        where: Start of an error's text, such as "the PDU's ".
        error: Class of the error.

    Returns:
        An instance of `kind`.

    Raises:
        GenedError: `error`, with one line: an entry is missing, of another type, out of range or too long.
    """
    try:
        record: T = _adapter(cast(Hashable, kind)).validate_python(values)
    except (ValidationError, RecursionError) as exc:
        raise error(f"{where}{_reason(exc)}") from exc
    return record


def _reason(exc: ValidationError | RecursionError) -> str:
    if isinstance(exc, RecursionError):
        return "too deeply nested"
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = f"'{_printable(where, 60)}': {message[:1].lower()}{message[1:]}" if where else message
    return _printable(text, MAX_REASON)


def _printable(text: str, limit: int) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:limit])
