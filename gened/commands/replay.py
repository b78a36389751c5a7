# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened replay`: a recording in the air's place, for receivers and flowgraphs that listen to a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.commands.signals import stop_on_signals


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE.sigmf-meta", help="The recording.", show_default=False)],
    address: Annotated[str, typer.Option("--address", help="Listen here for one receiver.")] = "tcp://127.0.0.1:5551",
    speed: options.Speed = 1.0,
    repeat: Annotated[int, typer.Option("--repeat", min=0, help="Play it so often; 0: until Ctrl-C.")] = 1,
    quiet: options.Quiet = False,
) -> None:
    """Play a recording to whoever receives from the air's address, at its own pace; waits for the receiver."""
    from rich.console import Console

    from gened.gr_blocks.recording.reader import read_recording
    from gened.link.replay import ReplayConfig, run_replay

    config = ReplayConfig(address=address, speed=speed, repeats=repeat or None)
    recording = read_recording(file)
    rate = recording.info.sample_rate
    console = Console(stderr=True, quiet=quiet, highlight=False)
    console.print(
        f"{file}: {len(recording.samples) / rate:.2f} s at {rate:g} samples/s; receive it with "
        f"--address {address} --sample-rate {rate:g}",
        soft_wrap=True,
        markup=False,
    )
    with stop_on_signals() as stop, console.status(f"replay: waits for a receiver at {address}") as line:
        run_replay(
            recording,
            config,
            stop=stop,
            on_state=lambda n_sent: line.update(f"replay: {n_sent / rate:.1f} s sent; Ctrl-C ends it"),
        )
