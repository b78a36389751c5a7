# SPDX-License-Identifier: GPL-3.0-or-later
"""Letters of radios: explained, counted, and told seldom enough."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pmt
import pytest

from gened.flowgraphs.radios.radio_events import EVENTS, LOG_EVERY_S, MAX_DETAILS, EventReporter
from gened.flowgraphs.radios.uhd import uhd_events

ROOT = Path(__file__).resolve().parents[3]


def async_message(*names: str) -> Any:
    """With the names of gr-uhd in GNU Radio 3.10; the nesting was not seen on a device."""
    codes = pmt.PMT_NIL
    for name in names:
        codes = pmt.list_add(codes, pmt.intern(name))
    body = pmt.dict_add(pmt.make_dict(), pmt.intern("event_code"), codes)
    body = pmt.dict_add(body, pmt.intern("time_spec"), pmt.cons(pmt.from_uint64(3), pmt.from_double(0.25)))
    return pmt.cons(pmt.intern("uhd_async_msg"), body)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("letter", list("ULSOD"))
def test_each_letter_has_a_meaning_and_advice(letter: str) -> None:
    event = EVENTS[letter]
    assert event.meaning and event.advice
    assert str(event).startswith(f"{letter} (")


@pytest.mark.parametrize("letter", list("ULSOD"))
def test_the_documentation_explains_each_letter(letter: str) -> None:
    items = [line for line in (ROOT / "docs/radios.md").read_text().splitlines() if line.startswith(f"- `{letter}`, ")]
    assert len(items) == 1
    assert f"**{EVENTS[letter].name}**: " in items[0]


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        (("underflow",), ["U"]),
        (("underflow_in_packet",), ["U"]),
        (("seq_error",), ["S"]),
        (("seq_error_in_burst",), ["S"]),
        (("time_error",), ["L"]),
        (("burst_ack",), []),
        (("underflow", "time_error"), ["U", "L"]),
        (("event_of_a_later_version",), []),
    ],
)
def test_messages_of_the_driver_become_letters(names: tuple[str, ...], letters: list[str]) -> None:
    assert uhd_events(async_message(*names)) == letters


@pytest.mark.parametrize(
    "message", [pmt.PMT_NIL, pmt.from_long(7), pmt.make_dict(), pmt.cons(pmt.from_long(1), pmt.from_long(2))]
)
def test_what_is_no_such_message_is_nothing(message: Any) -> None:
    assert uhd_events(message) == []


def test_a_deeply_nested_message_ends_the_search() -> None:
    message = pmt.intern("underflow")
    for _ in range(1000):
        message = pmt.cons(message, pmt.PMT_NIL)
    assert uhd_events(message) == []


def test_the_first_event_is_told_at_once_and_the_next_ones_together() -> None:
    lines: list[str] = []
    clock = Clock()
    reporter = EventReporter("b200", lines.append, clock=clock)
    reporter.report("U")
    assert lines == [f"b200: 1 x {EVENTS['U']}"]
    for _ in range(1000):
        reporter.report("U")
    assert len(lines) == 1
    reporter.report("L", detail="burst 7")  # each letter has its own turn
    assert lines[1] == f"b200: 1 x {EVENTS['L']} [burst 7]"
    clock.now_s = LOG_EVERY_S
    reporter.report("U")
    assert lines[2].startswith("b200: 1001 x U")
    assert reporter.counts() == {"U": 1002, "L": 1}


def test_the_summary_counts_all() -> None:
    reporter = EventReporter("n210", lambda _line: None)
    assert reporter.summary() == []
    reporter.report("O", 3)
    reporter.report("O", 4)
    assert reporter.summary() == [f"n210: 7 x {EVENTS['O']}"]


def test_an_unknown_letter_is_told_as_such() -> None:
    lines: list[str] = []
    EventReporter("radio", lines.append).report("X")
    assert lines == ["radio: 1 x X (unknown to this program)"]


def test_without_a_listener_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "gened.radio"):
        EventReporter("x310").report("D")
    assert caplog.messages == [f"x310: 1 x {EVENTS['D']}"]


def test_an_event_of_the_second_kind_has_one_line_per_detail_and_a_bounded_number_of_lines() -> None:
    lines: list[str] = []
    reporter = EventReporter("here", lines.append, once=("fails",))
    for _ in range(5):
        reporter.report("fails", 1, "lack of memory")
    reporter.report("fails", 1, "another reason")
    reporter.tell_rest()
    assert len(lines) == 2 and "lack of memory" in lines[0] and "another reason" in lines[1]
    for number in range(100):
        reporter.report("fails", 1, str(number))
    assert len(lines) == MAX_DETAILS and reporter.counts() == {"fails": 106}
