# SPDX-License-Identifier: GPL-3.0-or-later
"""Untrusted maps become typed records, or one short printable line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from gened.errors import GenedError, LinkError
from gened.hostile import (
    UNTRUSTED,
    Count,
    Finite,
    Flag,
    HostileError,
    Measured,
    Share,
    Text,
    UInt16,
    checked,
    prepare,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    number: Annotated[Count, Le(10)]
    is_last: Flag = False
    note: Annotated[str, Field(strict=True, max_length=4)] = ""
    power: Finite | None = None
    share: Share = 0.0
    snr_db: Measured = None
    session: UInt16 = 0
    text: Text = ""


class Hello(BaseModel):
    model_config = UNTRUSTED
    type: Literal["hello"] = "hello"
    rate: float


class Bye(BaseModel):
    model_config = UNTRUSTED
    type: Literal["bye"] = "bye"


Either = Annotated[Hello | Bye, Field(discriminator="type")]


def test_a_map_becomes_its_record_and_unknown_entries_are_ignored() -> None:
    assert checked(Ping, {"number": 3, "power": 2, "else": [1]}) == Ping(number=3, power=2.0)
    assert checked(Either, {"type": "hello", "rate": 2.0}) == Hello(rate=2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "'number': field required"),
        ({"number": True}, "'number': must be a valid integer"),
        ({"number": 1.0}, "'number': must be a valid integer"),
        ({"number": "1"}, "'number': must be a valid integer"),
        ({"number": -1}, "'number': must be greater than or equal to 0"),
        ({"number": 11}, "'number': must be less than or equal to 10"),
        ({"number": 1, "is_last": 1}, "'is_last': must be a valid boolean"),
        ({"number": 1, "note": "12345"}, "'note': string should have at most 4 characters"),
        ({"number": 1, "note": b"1"}, "'note': must be a valid string"),
        ({"number": 1, "power": float("inf")}, "'power': must be a finite number"),
        ({"number": 1, "power": True}, "'power': must be a valid number"),
        ({"number": 1, "share": float("nan")}, "'share': must be a finite number"),
        ({"number": 1, "session": 65536}, "'session': must be less than or equal to 65535"),
        ({"number": 1, 7: 8}, "'7': keys should be strings"),
        (None, "must be a dictionary or an instance of Ping"),
        ([1], "must be a dictionary or an instance of Ping"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(values: Any, reason: str) -> None:
    with pytest.raises(HostileError) as caught:
        checked(Ping, values, where="a ping, ")
    assert str(caught.value) == f"a ping, {reason}"


def test_a_figure_that_could_not_be_measured_is_none() -> None:
    assert checked(Ping, {"number": 1, "snr_db": float("nan")}).snr_db is None
    assert checked(Ping, {"number": 1, "snr_db": float("-inf")}).snr_db is None
    assert checked(Ping, {"number": 1, "snr_db": 3.5}).snr_db == 3.5


def test_the_error_is_of_the_callers_class() -> None:
    with pytest.raises(LinkError):
        checked(Ping, {}, error=LinkError)


def test_what_a_sender_writes_reaches_a_reason_short_and_printable() -> None:
    with pytest.raises(HostileError) as caught:
        checked(Either, {"type": "\x1b[2J\n" + "x" * 10_000})  # type: ignore[arg-type]
    reason = str(caught.value)
    assert len(reason) <= 200
    assert reason.isprintable()


def test_a_map_that_contains_itself_is_refused() -> None:
    values: dict[Any, Any] = {}
    values["number"] = values
    with pytest.raises(HostileError):
        checked(Ping, values)


def test_a_description_that_is_none_fails_when_it_is_prepared() -> None:
    prepare(Ping, Either)
    with pytest.raises(Exception, match="schema"):
        prepare(object())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(Ping.__dataclass_fields__, JSON)))
def test_any_value_of_an_entry_is_a_record_or_an_error_of_ours(values: Any) -> None:
    try:
        record = checked(Ping, values)
        assert isinstance(record.is_last, bool)
        assert len(record.note) <= 4
    except GenedError as exc:
        assert str(exc).isprintable()
