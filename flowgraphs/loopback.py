# SPDX-License-Identifier: GPL-3.0-or-later
"""Transmitter, air and receiver as three processes: started, watched, ended, and their facts made into one report.

    transmit ---samples, control---> air ---samples, status---> receive
        ^ permits                                                  |
        `----------------------- supervisor <---- frames ----------'

A frame may leave when fewer than `WINDOW` are on their way, so that no queue overflows however slow a decoder is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gened.flowgraphs.air import AirConfig
from gened.flowgraphs.children import Child, end_all
from gened.flowgraphs.link_errors import ChildDiedError, NoFrameError, rebuild
from gened.flowgraphs.loopback_report import make_report
from gened.flowgraphs.receive import ASSEMBLY_S, ReceiveConfig
from gened.flowgraphs.report import Report
from gened.flowgraphs.transmit import TransmitConfig
from gened.gr_blocks.phy.errors import LinkError
from gened.models.worker import encode_limit_s

Facts = dict[str, Any]
OnProgress = Callable[[str, Facts], None]
WINDOW = 4
"""Frames on their way: sent, not yet decoded."""
LOST_S = ASSEMBLY_S + 2.0
"""A frame of which nothing was heard for so long, while others neither, makes room for the next."""
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


@dataclass(frozen=True, kw_only=True)
class LoopbackConfig:
    """The three processes, with addresses that fit each other, and the folder for what they leave."""

    transmit: TransmitConfig
    air: AirConfig
    receive: ReceiveConfig
    out: Path
    argv: tuple[str, ...] = ()
    """Command line, for the report."""
    seed: int = 0


def run_loopback(config: LoopbackConfig, *, stop: threading.Event, on_progress: OnProgress | None = None) -> Report:
    """Sends the photographs through the three processes and leaves pictures and report in `config.out`.

    Args:
        config: See there. The folder's earlier pictures and report are removed.
        stop: Ends everything early; the report then has what was received until then.
        on_progress: Called with "air", "transmit" or "receive" and what that side tells.

    Returns:
        The report.

    Raises:
        NoFrameError: No frame arrived; the report was written all the same.
        ChildDiedError: A process ended when it should not have.
        GenedError: What a process could not do: a picture, a codec, a port.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    for pattern in OLD_FILES:
        for path in config.out.glob(pattern):
            path.unlink()
    n_frames = config.transmit.n_frames_in_all
    roles = {
        "air": config.air,
        "receive": replace(
            config.receive,
            out=config.out,
            is_numbered=n_frames > 1,
            has_report=False,
            until_end=True,
            timeout_s=_patience_s(config),
        ),  # fmt: skip
        "transmit": replace(config.transmit, out=config.out),
    }
    run = _Run(config, on_progress)
    children = {}
    try:
        for role, part in roles.items():
            children[role] = Child(role, part)
        run.watch(children, stop)
    finally:
        end_all(children.values())
    report = make_report(config.out, sent=run.sent, received=run.received, config=config)
    if not run.received and not stop.is_set():
        raise NoFrameError(
            run.no_frame or f"none of {n_frames} frames arrived; the report in {config.out} says what was sent"
        )
    return report


def _patience_s(config: LoopbackConfig) -> float:
    """How long the receiver waits for a frame: a sender that refines its pictures may send none for a long time."""
    n_steps = config.transmit.refine_steps
    return config.receive.timeout_s + (encode_limit_s(n_steps) if n_steps else 0.0)


class _Run:
    """What the supervisor knows of a run."""

    def __init__(self, config: LoopbackConfig, on_progress: OnProgress | None) -> None:
        self.sent: dict[int, Facts] = {}
        self.received: dict[int, Facts] = {}
        self.no_frame: str | None = None
        self._config = config
        self._on_progress = on_progress
        self._n_permits = 0
        self._given_up: set[int] = set()
        self._done: set[str] = set()
        self._is_receiver_ready = False
        self._moved_s = time.monotonic()
        self._begin_s = time.monotonic()

    def watch(self, children: dict[str, Child], stop: threading.Event) -> None:
        """Until transmitter and receiver are done, or `stop`, or something breaks."""
        while not stop.is_set() and not {"transmit", "receive"} <= self._done:
            for role, child in children.items():
                for facts in child.events():
                    self._take(role, facts)
                if role not in self._done and child.has_ended() and not child.has_events():
                    raise ChildDiedError(f"the process of '{role}' died ({child.exit_text()})")
            self._permit(children["transmit"])
            self._check_start()
            children["receive"].wait_for_event(POLL_S)

    def _take(self, role: str, facts: Facts) -> None:
        if "failed" in facts:
            error = rebuild(facts["failed"], facts.get("message", ""))
            if not isinstance(error, NoFrameError):
                raise error
            self.no_frame = str(error)  # the report tells it too
            self._done |= {"receive", "transmit"}
            return
        state = facts.get("state")
        if state == "done":
            self._done.add(role)
        elif state == "ready" and role == "receive":
            self._is_receiver_ready = True
        elif "frame" in facts:
            (self.sent if role == "transmit" else self.received)[int(facts["frame"])] = facts
            self._moved_s = time.monotonic()
        if self._on_progress is not None:
            self._on_progress(role, facts)

    def _permit(self, transmitter: Child) -> None:
        """Lets as many frames go as have room."""
        if not self._is_receiver_ready:
            return
        newest = max(self.received, default=-1)
        for number, facts in self.sent.items():
            if number < newest or facts.get("error"):  # decoded in their order: what was passed over will not come
                self._given_up.add(number)
        if time.monotonic() - self._moved_s > LOST_S + self._airtime_s():
            self._given_up |= set(self.sent)
        n_over = len(self._given_up | set(self.received))
        n_new = min(n_over + WINDOW, self._config.transmit.n_frames_in_all) - self._n_permits
        if n_new > 0:
            transmitter.permit(n_new)
            self._n_permits += n_new

    def _airtime_s(self) -> float:
        """How long the frames that are on their way may need at the clock's speed."""
        longest = max((int(facts.get("on_air_samples") or 0) for facts in self.sent.values()), default=0)
        air = self._config.air
        return WINDOW * longest / (air.sample_rate * (air.speed or 1.0))

    def _check_start(self) -> None:
        limit_s = self._config.receive.timeout_s
        if not self._is_receiver_ready and time.monotonic() - self._begin_s > limit_s:
            raise LinkError(
                f"the receiver got no samples within {limit_s:g} s; is the machine very busy? See --timeout"
            )
