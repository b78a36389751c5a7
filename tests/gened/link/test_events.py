# SPDX-License-Identifier: GPL-3.0-or-later
"""Events survive the way from a process to its supervisor; what is none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gened.errors import CodecError, GenedError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.link.events import BurstsDropped, Done, Ended, LinkEvent, Notice, Ready, from_wire, to_wire
from gened.monitor.live_figures import LiveFigures
from gened.processes import Failure


@pytest.mark.parametrize(
    "event",
    [
        Ready(), Notice("receiver: overflow"), Ended({"overflow": 3}), Ended(), BurstsDropped((0, 7)), Done(),
        LiveFigures().figures(), SentFacts(frame=3, sent="sent.png", analog_symbols=8000, error="no"),
        FrameFacts(frame=65535, session=7, caption="größe", crc_ok=True, snr_est_db=-1.5, cfo_est_norm=0.01),
    ],
    ids=lambda event: type(event).__name__,
)  # fmt: skip
def test_an_event_arrives_as_it_was_sent(event: LinkEvent | Done) -> None:
    assert from_wire(json.loads(json.dumps(to_wire(event)))) == event


def test_an_error_is_an_event_too() -> None:
    failure = Failure.of(CodecError("no such codec"))
    assert from_wire(failure.to_message()) == failure


@pytest.mark.parametrize(
    "message",
    [
        {}, {"event": "unheard of"}, {"event": 3}, {"event": ["ready"]}, {"event": "notice"}, {"event": "received"},
        {"event": "notice", "line": 3}, {"event": "received", "facts": {"frame": -1}}, {"event": "sent", "facts": []},
        {"event": "dropped", "bursts": ["x"]}, {"event": "ended", "causes": {"overflow": -1}}, {"event": "figures"},
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(GenedError):
        from_wire(message)
