# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened record`: samples into a file, in SigMF, with a note of each burst."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.commands import options, radio_options
from gened.commands.signals import stop_on_signals

if TYPE_CHECKING:
    from gened.link.record import Recorded


def record(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.sigmf-meta", help="The recording; its samples are FILE.sigmf-data.")
    ],
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.001, help="Keep so much, s.", show_default="go on")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="End after so many.", show_default="go on")
    ] = None,
    datatype: Annotated[str, typer.Option("--datatype", help="cf32_le, or ci16_le for half the size.")] = "cf32_le",
    description: Annotated[str, typer.Option("--description", help="What it is a recording of.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="An older recording of that name goes.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Give up when no sample came for so long, s.")
    ] = 10.0,
    sample_rate: options.SampleRate = 1e6,
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

    from gened.link.record import KeepConfig, RecordConfig, run_record
    from gened.monitor.driver_output import drivers_to_stderr

    profile = radio_options.listening(context, radio, set_, sample_rate, address, tap)
    config = RecordConfig(
        keep=KeepConfig(path=out, seconds=seconds, datatype=datatype, description=description, overwrites=overwrite),
        profile=profile,
        control=None if profile.is_clocked else control,
        n_frames=frames,
        timeout_s=timeout,
    )
    console = Console(stderr=True, quiet=quiet, highlight=False)
    place = profile.address if profile.hardware is None else profile.hardware.name
    with (
        drivers_to_stderr(),
        stop_on_signals() as stop,
        console.status(f"recorder: listens to {place}; Ctrl-C ends it") as line,
    ):
        recorded = run_record(config, stop=stop, on_state=lambda state: line.update(told(state)))
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
