# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened record`: samples into a file, in SigMF, with a note of each burst."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.signals import stop_on_signals
from gened.link.config import RecordConfig

if TYPE_CHECKING:
    from gened.link.record import Recorded


@from_records
def record(
    context: typer.Context,
    config: Given[RecordConfig],
    sample_rate: radio_options.SampleRate = 1e6,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    address: radio_options.AirSamples = "tcp://127.0.0.1:5551",
    control: radio_options.AirControl = "tcp://127.0.0.1:5553",
    tap: Annotated[
        str | None,
        typer.Option(
            "--tap", metavar="ADDRESS", help="Record beside a receiver, from air's --tap.", show_default=False
        ),
    ] = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Record samples in SigMF, and note where bursts are and what they say. Ends with Ctrl-C; nothing is lost then."""
    from rich.console import Console

    from gened.link.record import run_record
    from gened.monitor.driver_output import drivers_to_stderr

    profile = radio_options.listening(context, radio, set_, sample_rate, address, tap)
    chosen = config.make(profile=profile, control=None if profile.is_clocked else control)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    place = profile.address if profile.hardware is None else profile.hardware.name
    with (
        drivers_to_stderr(),
        stop_on_signals() as stop,
        console.status(f"recorder: listens to {place}; Ctrl-C ends it") as line,
    ):
        recorded = run_record(chosen, stop=stop, on_state=lambda state: line.update(told(state)))
        console.print(summary(recorded), soft_wrap=True, markup=False)
    if json_only:
        print(json.dumps(dataclasses.asdict(recorded), indent=1, default=str))


def told(state: dict[str, Any]) -> str:
    """One line that changes, on a terminal."""
    return (
        f"recorder: {state['n_samples'] / 1e6:.1f} Msamples, {state['n_bursts']} bursts, {state['n_frames']} frames; "
        "Ctrl-C ends it"
    )


def summary(recorded: Recorded) -> str:
    """One line about a recording that is made."""
    if not recorded.n_samples:
        return f"{recorded.path}: nothing was recorded"
    clipped = f", {recorded.n_clipped} samples clipped" if recorded.n_clipped else ""
    return (
        f"{recorded.path}: {recorded.seconds:.2f} s, {recorded.n_samples} samples, {recorded.n_bursts} bursts of "
        f"{recorded.n_frames} frames{clipped}"
    )
