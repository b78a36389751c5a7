# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a running link: from its ends to commands, and from processes to their supervisor.

    process     event  --`to_wire`-->  JSON object  --`from_wire`-->  event     supervisor

Beside the records below, a frame that was sent is a `SentFacts`, a frame that was received a `FrameFacts`, and the live
figures are a `Figures`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gened.errors import GenedError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.hostile import Count, HostileError, Text, checked, prepare
from gened.monitor.live_figures import Figures
from gened.processes import Failure


@dataclass(frozen=True, slots=True)
class Ready:
    """One side of the link is ready: the transmitter's peer has answered, the receiver's first samples have come."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A fault of the link, named."""

    line: Text
    """One line for the user, which says at which side it was seen."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One side of the link has ended."""

    causes: dict[Text, Count] = field(default_factory=dict)
    """Faults that were seen there, by name, and how often."""


@dataclass(frozen=True, slots=True)
class BurstsDropped:
    """Bursts that the channel emulator has dropped."""

    bursts: tuple[Count, ...]
    """Their numbers, counted from 0 over the whole run."""


@dataclass(frozen=True, slots=True)
class Done:
    """The function of a process has returned."""


LinkEvent = Ready | Notice | Ended | BurstsDropped | Figures | SentFacts | FrameFacts
"""Event of one side of a link."""
ProcessEvent = LinkEvent | Done | Failure
"""Event of a process: those of its side, and its end."""
OnEvent = Callable[[LinkEvent], None]

_KINDS: dict[str, Any] = {
    "ready": Ready, "notice": Notice, "ended": Ended, "dropped": BurstsDropped, "figures": Figures, "done": Done,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FACTS: dict[str, type[SentFacts] | type[FrameFacts]] = {"sent": SentFacts, "received": FrameFacts}


def to_wire(event: LinkEvent | Done) -> dict[str, Any]:
    """The JSON object of an event."""
    if isinstance(event, SentFacts | FrameFacts):
        return {"event": "sent" if isinstance(event, SentFacts) else "received", "facts": event.to_wire()}
    return {"event": _NAMES[type(event)], **dataclasses.asdict(event)}


def from_wire(message: Mapping[str, Any]) -> ProcessEvent:
    """The event in a JSON object.

    Raises:
        GenedError: It is none.
    """
    failure = Failure.from_message(message)
    if failure is not None:
        return failure
    name = message.get("event")
    if isinstance(name, str) and name in _FACTS:
        return _FACTS[name].from_wire(message.get("facts"))
    if not isinstance(name, str) or name not in _KINDS:
        raise HostileError("a message that is no event")
    event: ProcessEvent = checked(_KINDS[name], message, where=f"the event {name}, ", error=GenedError)
    return event


def send(on_event: OnEvent | None, event: LinkEvent) -> None:
    """Calls a listener where there is one."""
    if on_event is not None:
        on_event(event)


prepare(*_KINDS.values())
