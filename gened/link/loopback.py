# SPDX-License-Identifier: GPL-3.0-or-later
"""Transmitter, channel emulator and receiver as three processes under a supervisor, and one report of their facts.

    transmit ---samples, control---> air ---samples, status---> receive
        ^ permits                                                  |
        `----------------------- supervisor <---- frames ----------'

A radio, or a virtual Pluto in a process of its own, may replace the channel emulator. It does not report the end of the
transmitter: the supervisor ends the run when every frame that was sent has come or was given up.

A frame may be sent while fewer than `WINDOW` are under way, so that no queue overflows however slow a decoder is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from gened.errors import LinkError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.link.children import Child, Role, end_all
from gened.link.config import LoopbackConfig
from gened.link.events import BurstsDropped, Done, Ended, LinkEvent, ProcessEvent, Ready
from gened.link.link_errors import ChildDiedError, NoFrameError, require_picture
from gened.link.receive import ASSEMBLY_S
from gened.models.serving.worker import DEFAULT_TIMEOUT_S, encode_limit_s
from gened.paths import make_folder
from gened.processes import Failure
from gened.reports.loopback_report import RunSettings, make_report
from gened.reports.report import Report

OnProgress = Callable[[Role, LinkEvent], None]
WINDOW = 4
"""Largest number of frames under way: permitted, not yet decoded."""
LOST_S = ASSEMBLY_S + 2.0
"""Time without any frame after which the frames under way are given up."""
N_HOPELESS = 3
"""Number of frames, none of which could be decoded, after which no more are sent; each may take the time limit of a
decoder that hangs."""
POLL_S = 0.1
OLD_FILES = (
    "sent*.png",
    "received*.png",
    "edited*.png",
    "mask.png",
    "side_by_side*.png",
    "constellation.*",
    "report.json",
)


def run_loopback(config: LoopbackConfig, *, stop: threading.Event, on_progress: OnProgress | None = None) -> Report:
    """Sends the photographs through the three processes and writes pictures and report to `config.out`.

    Args:
        config: The loopback. Earlier pictures and reports in its folder are removed.
        stop: Ends the run early; the report has the frames received until then.
        on_progress: Called with a role and an event of its process.

    Returns:
        The report.

    Raises:
        NoFrameError: No frame arrived; the report was written all the same.
        CodecError: No frame that arrived could be decoded; the report was written all the same.
        ChildDiedError: A process ended when it should not have.
        GenedError: The error of a process: a picture, a codec, a port.
    """
    make_folder(config.out)
    for pattern in OLD_FILES:
        for path in config.out.glob(pattern):
            path.unlink()
    n_frames = config.transmit.n_frames_in_all
    run = _Run(config, on_progress)
    try:
        for role, part in _roles(config).items():
            # A radio must run before a driver opens it, and the receiver before the transmitter sends.
            if config.radio is not None:
                run.watch(stop, until_ready=True)
            run.children[role] = Child(role, part)
        run.watch(stop)
    finally:
        end_all(run.children.values())
    run.take_last_events()
    report = make_report(
        config.out,
        sent=run.sent,
        received=run.received,
        settings=_report_settings(config),
        causes=run.causes,
        dropped=run.dropped,
    )
    if not run.received and not stop.is_set():
        raise NoFrameError(
            run.no_frame or f"none of {n_frames} frames arrived; the report in {config.out} says what was sent"
        )
    if not stop.is_set():
        require_picture(run.received.values())
    return report


def _report_settings(config: LoopbackConfig) -> RunSettings:
    """The settings of the run, for its report."""
    encode, channel = config.transmit.encode, config.channel
    return RunSettings(
        argv=config.argv, seed=config.seed, sample_rate=config.sample_rate, snr_set_db=config.snr_set_db,
        cfo_set_hz=config.cfo_set_hz, is_simulated=config.air is not None, codec=config.transmit.codec,
        rate=str(encode.rate), snr_design_db=encode.snr_db, channel=None if channel is None else asdict(channel),
        photographs=[str(path) for path in config.transmit.photos],
    )  # fmt: skip


def _roles(config: LoopbackConfig) -> dict[Role, Any]:
    """Configuration of each process, in the order in which they start."""
    radio = config.radio
    receive = replace(
        config.receive,
        radio=None if radio is None else radio.rx,
        sample_rate=config.sample_rate,
        out=config.out,
        is_numbered=config.transmit.n_frames_in_all > 1,
        has_report=False,
        until_end=radio is None,
        timeout_s=_patience_s(config),
    )
    transmit = replace(
        config.transmit, radio=None if radio is None else radio.tx, sample_rate=config.sample_rate, out=config.out
    )
    roles: dict[Role, Any] = {"air": config.air} if radio is None else {"pluto": radio.pluto}
    roles |= {"receive": receive, "transmit": transmit}
    return {role: part for role, part in roles.items() if part is not None}


def _patience_s(config: LoopbackConfig) -> float:
    """Time that the receiver waits for a frame: a sender that refines or describes pictures may send none for long."""
    n_steps = config.transmit.encode.refine_steps
    is_described = config.transmit.describe is not None and not config.transmit.captions
    return (
        config.receive.timeout_s
        + (encode_limit_s(n_steps) if n_steps else 0.0)
        + (2 * DEFAULT_TIMEOUT_S if is_described else 0.0)  # the captioner's loading, and its first caption
    )


class _Run:
    """State of a run at its supervisor."""

    def __init__(self, config: LoopbackConfig, on_progress: OnProgress | None) -> None:
        self.sent: dict[int, SentFacts] = {}
        self.received: dict[int, FrameFacts] = {}
        self.no_frame: str | None = None
        self.children: dict[Role, Child] = {}
        self.causes: dict[str, int] = {}
        """Faults seen on either side, by name, and how often."""
        self.dropped: list[int] = []
        """Bursts that the channel emulator has dropped, counted from 0 over the whole run."""
        self._config = config
        self._on_progress = on_progress
        self._n_permits = 0
        self._given_up: set[int] = set()
        self._done: set[str] = set()
        self._ready: set[str] = set()
        self._moved_s = time.monotonic()
        self._begin_s = time.monotonic()

    def watch(self, stop: threading.Event, *, until_ready: bool = False) -> None:
        """Watches the processes until transmitter and receiver are done or `stop` is set.

        Args:
            stop: Ends the run.
            until_ready: Return as soon as every process that was started is ready.

        Raises:
            GenedError: A process died or reported an error.
        """
        while not stop.is_set() and not self._is_over(until_ready):
            for role, child in self.children.items():
                for event in child.events():
                    self._take(role, event)
                if role not in self._done and child.has_ended() and not child.has_events():
                    raise ChildDiedError(f"the process of '{role}' died ({child.exit_text()})")
            self._permit()
            self._check_start()
            (self.children.get("receive") or next(iter(self.children.values()))).wait_for_event(POLL_S)

    def take_last_events(self) -> None:
        """Takes the counts that the processes have sent while they ended."""
        for child in self.children.values():
            for event in child.events():
                self._count(event)

    def _count(self, event: ProcessEvent) -> None:
        if isinstance(event, BurstsDropped):
            self.dropped += event.bursts
        elif isinstance(event, Ended):
            for name, count in event.causes.items():
                self.causes[name] = self.causes.get(name, 0) + count

    def _is_over(self, until_ready: bool) -> bool:
        if until_ready and set(self.children) <= self._ready:
            return True
        if {"transmit", "receive"} <= self._done or self._is_hopeless():
            return True
        has_all = set(self.sent) <= self._given_up | set(self.received)
        return self._config.radio is not None and "transmit" in self._done and has_all

    def _is_hopeless(self) -> bool:
        """Whether decoding has failed often enough, and never worked."""
        frames = self.received.values()
        return len(frames) >= N_HOPELESS and all(facts.error is not None for facts in frames)

    def _take(self, role: Role, event: ProcessEvent) -> None:
        if isinstance(event, Failure):
            error = event.error(ChildDiedError)
            if not isinstance(error, NoFrameError):
                raise error
            self.no_frame = str(error)  # raised at the end, when the report is written
            self._done |= {"receive", "transmit"}
            return
        self._count(event)
        if isinstance(event, Done):
            self._done.add(role)
            return
        if isinstance(event, Ready):
            self._ready.add(role)
        elif isinstance(event, SentFacts):
            self.sent[event.frame] = event
            self._moved_s = time.monotonic()
        elif isinstance(event, FrameFacts):
            self.received[event.frame] = event
            self._moved_s = time.monotonic()
        if self._on_progress is not None:
            self._on_progress(role, event)

    def _permit(self) -> None:
        """Permits as many frames as `WINDOW` has room for."""
        if "receive" not in self._ready or "transmit" not in self.children:
            return
        newest = max(self.received, default=-1)
        for number, facts in self.sent.items():
            # Frames are decoded in order, so one that was passed over will not come.
            if number < newest or facts.error is not None:
                self._given_up.add(number)
        if time.monotonic() - self._moved_s > LOST_S + self._airtime_s():
            self._given_up |= set(self.sent)
        n_over = len(self._given_up | set(self.received))
        n_new = min(n_over + WINDOW, self._config.transmit.n_frames_in_all) - self._n_permits
        if n_new > 0:
            self.children["transmit"].permit(n_new)
            self._n_permits += n_new

    def _airtime_s(self) -> float:
        """Time that the frames under way may need at the speed of the emulator."""
        longest = max((facts.on_air_samples or 0 for facts in self.sent.values()), default=0)
        air = self._config.air
        return WINDOW * longest / (self._config.sample_rate * ((air and air.speed) or 1.0))

    def _check_start(self) -> None:
        limit_s = self._config.receive.timeout_s
        if "receive" not in self._ready and time.monotonic() - self._begin_s > limit_s:
            raise LinkError(
                f"the receiver got no samples within {limit_s:g} s; is the machine very busy? See --timeout"
            )
