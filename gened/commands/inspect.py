# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened inspect`: one burst's anatomy in one figure. No `inspect.py`: in this folder that would hide Python's own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.signals import Interrupted, stop_on_signals
from gened.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from gened.inspect.anatomy_records import Anatomy
    from gened.inspect.inspection import LiveConfig


def inspect(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A recording in SigMF, or raw complex64 with --sample-rate.", show_default=False
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Instead of a file: the next burst off the air.")] = False,
    burst: Annotated[
        int, typer.Option("--burst", min=0, help="Which one, from 0; those whose header fails count.")
    ] = 0,
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            metavar="SAMPLE",
            min=0,
            help="The burst at this sample of the file, or why there is none.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The figure: .png, .svg or .pdf.")] = Path("out/inspect.png"),
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Give up when no sample has come for so long, s.")
    ] = 10.0,
    sample_rate: Annotated[
        float,
        typer.Option(
            "--sample-rate",
            min=1e3,
            max=1e9,
            help="Of a raw file, or of the air.",
            show_default="what the recording says; 1e6 for the air",
        ),
    ] = 1e6,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    address: radio_options.AirSamples = "tcp://127.0.0.1:5551",
    control: radio_options.AirControl = "tcp://127.0.0.1:5553",
    tap: Annotated[
        str | None,
        typer.Option("--tap", metavar="ADDRESS", help="Look beside a receiver, at air's --tap.", show_default=False),
    ] = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw one burst's anatomy: envelope, detection, spectrum, channel, pilots, constellations, noise."""
    from rich.console import Console

    from gened.inspect.inspection_report import as_json, title_lines

    require_format(out)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    if file is not None and not live:
        found, place = _of_file(context, file, burst, at, sample_rate), file.name
    elif live and file is None:
        if at is not None:
            raise ConfigError("--at is a place in a file, and --live has none; leave it out, or say --burst")
        config = _live_config(context, radio, set_, sample_rate, address, control, tap, burst, timeout)
        place = tap or radio or config.profile.address
        found = _of_air(config, console, place)
    else:
        raise ConfigError("name a recording, or say --live: one of them")
    write_figure(out, found, place)
    for line in title_lines(found, place):
        console.print(line, soft_wrap=True, markup=False)
    if json_only:
        print(json.dumps({"figure": str(out), **as_json(found)}, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print(out)


FORMATS = (".png", ".svg", ".pdf")
"""What a figure can be."""


def require_format(out: Path) -> None:
    """Whether the figure's name ends as a figure's.

    Raises:
        ConfigError: It does not.
    """
    if out.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {out}; a figure ends in {', '.join(FORMATS)}")


def write_figure(out: Path, found: Anatomy, place: str) -> None:
    """Writes the figure; its folder is made if absent.

    Raises:
        ConfigError: It cannot be written there.
    """
    from gened.inspect.inspection_figure import draw

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(out, found, place)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error


def _of_file(context: typer.Context, file: Path, burst: int, at: int | None, sample_rate: float) -> Anatomy:
    from gened.gr_blocks.recording.reader import is_sigmf, read_raw, read_recording
    from gened.inspect.inspection import inspect_recording

    for option in ("radio", "set_", "address", "control", "tap", "timeout"):
        if radio_options.was_given(context, option):
            raise ConfigError(f"--{option.strip('_')} is for --live; a file needs none of it")
    has_rate = radio_options.was_given(context, "sample_rate")
    if is_sigmf(file) and has_rate:
        raise ConfigError("a recording in SigMF tells its sample rate; leave --sample-rate out")
    if file.is_file() and not is_sigmf(file) and not has_rate:
        raise ConfigError(f"{file.name} is raw and tells no sample rate; add --sample-rate, in samples a second")
    recording = read_raw(file, sample_rate) if has_rate else read_recording(file, is_verified=False)
    return inspect_recording(recording, number=burst, at=at)


def _live_config(
    context: typer.Context,
    radio: str,
    settings: list[str] | None,
    sample_rate: float,
    address: str,
    control: str,
    tap: str | None,
    burst: int,
    timeout: float,
) -> LiveConfig:
    from gened.inspect.inspection import LiveConfig

    profile = radio_options.listening(context, radio, settings, sample_rate, address, tap)
    return LiveConfig(profile=profile, control=None if profile.is_clocked else control, number=burst, timeout_s=timeout)


def _of_air(config: LiveConfig, console: Console, place: str) -> Anatomy:
    from gened.inspect.inspection import inspect_live
    from gened.monitor.driver_output import drivers_to_stderr

    with (
        drivers_to_stderr(),
        stop_on_signals() as stop,
        console.status(f"inspect: waits for a burst from {place}; Ctrl-C ends it") as line,
    ):
        found = inspect_live(
            config,
            stop=stop,
            on_state=lambda state: line.update(
                f"inspect: {state['n_samples'] / 1e6:.1f} Msamples from {place}, no burst yet; Ctrl-C ends it"
            ),
        )
    if found is None:
        raise Interrupted(signal.SIGINT)
    return found
