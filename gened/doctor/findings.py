# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check gives, what it is given, and the list of checks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gened.doctor.programs import ProbeError, probe

if TYPE_CHECKING:
    from gened.hw_config.profile import HardwareProfile

Level = Literal["ok", "note", "problem"]
SELF_CHECK_S = 25.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Result of one check."""

    subject: str
    level: Level
    """`problem`: an experiment cannot start; `note`: it can, but read this."""
    text: str
    """What was found, one line."""
    next_step: str = ""
    """What to do, one line; never empty where there is a problem."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Figures for `--json`."""


class Visit:
    """Subject of the checks.

    Args:
        hardware: The radio that the user named; None: none.
        rate_s: How long the receiver's rate is measured.
    """

    def __init__(self, hardware: HardwareProfile | None = None, *, rate_s: float = 4.0) -> None:
        self.hardware = hardware
        self.rate_s = rate_s
        self.is_fitting = True
        """Whether the radio can do what its profile says; nothing is measured otherwise."""
        self._lock = threading.Lock()
        self._parts: list[dict[str, Any]] | ProbeError | None = None

    @property
    def driver(self) -> str:
        """Of the named radio; empty where none was named."""
        return "" if self.hardware is None else self.hardware.driver

    @property
    def has_radio(self) -> bool:
        """Whether a radio was named that has samples of its own."""
        return self.driver in ("iio", "uhd", "soapy")

    def parts(self) -> list[dict[str, Any]]:
        """The items of `gened check`, tried once for all who ask.

        Raises:
            ProbeError: That ended badly or took too long.
        """
        with self._lock:
            if self._parts is None:
                try:
                    self._parts = list(probe("parts", {}, SELF_CHECK_S)["items"])
                except ProbeError as error:
                    self._parts = error
        if isinstance(self._parts, ProbeError):
            raise self._parts
        return self._parts


Check = Callable[[Visit], list[Finding]]


class Entry(NamedTuple):
    """A check and when it runs."""

    title: str
    check: Check
    is_alone: bool
    """After the others, when nothing else keeps the machine busy: it measures, or opens the radio."""


CHECKS: list[Entry] = []
"""In the order in which they are shown."""


def check(title: str, *, is_alone: bool = False) -> Callable[[Check], Check]:
    """Registers a check. `examine` limits its time; the check itself should end the programs that it starts."""

    def register(function: Check) -> Check:
        CHECKS.append(Entry(title, function, is_alone))
        return function

    return register
