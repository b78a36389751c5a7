# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened calibrate`: a level sweep between the two sides of a radio, and how much their crystals differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.signals import stop_on_signals
from gened.fieldwork.config import CalibrateConfig

if TYPE_CHECKING:
    from rich.console import Console

    from gened.fieldwork.calibrate import Calibration


@from_records
def calibrate(
    config: Given[CalibrateConfig],
    radio: Annotated[
        str, typer.Option("--radio", metavar="NAME_OR_FILE", help="A profile from hw_config, or a .yaml file.")
    ],
    set_: radio_options.Set = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FILE", help="Write a copy of the profile with correction and recommended level.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="The file of --write may be there already.")] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for calibrate.json and calibrate.png; made if absent.")
    ] = Path("out/calibrate"),
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Sweep the transmit level, weakest first: SNR, clipping, noise floor, carrier and clock offset; what to set."""
    from rich.console import Console

    from gened.fieldwork.calibrate import run_calibrate
    from gened.fieldwork.calibrate_report import line_of, write_calibrated, write_calibration
    from gened.hw_config.profile import load_profile, parse_overrides
    from gened.hw_config.writing import require_new_file
    from gened.link.link_errors import NoFrameError

    if write is not None:
        require_new_file(write, may_overwrite=overwrite)
    settings = parse_overrides(set_ or ())
    hardware = load_profile(radio, settings)
    chosen = config.make(hardware=hardware)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    console.print(f"{hardware.name}: {hardware.law.strip()}", soft_wrap=True)
    with stop_on_signals() as stop:
        with console.status(f"calibrate: sweeps {hardware.name}; Ctrl-C ends it and mutes the transmitter"):
            result = run_calibrate(
                chosen, stop=stop, on_level=lambda told: console.print(line_of(told), soft_wrap=True)
            )
        told = write_calibration(out, result, sys.argv, seed=chosen.seed)
        if write is not None and result.offset is not None:
            write_calibrated(write, radio, settings, result, may_overwrite=overwrite)
        if json_only:
            print(json.dumps(told, indent=1))
        else:
            files = [out / "calibrate.png", out / "calibrate.json", *([] if write is None else [write])]
            _print_result(Console(), result, [path for path in files if path.is_file()])
    if result.offset is None:
        raise NoFrameError(f"{hardware.name}: no burst was found at any level; {result.advice[-1]}")


def _print_result(console: Console, result: Calibration, files: list[Path]) -> None:
    from rich.table import Table

    from gened.fieldwork.calibrate_report import COLUMNS, conclusions, row

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for level in result.levels:
        table.add_row(*row(level), style="green" if level is result.recommendation.level else None)
    console.print(table)
    for line in conclusions(result):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for path in files:
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)
