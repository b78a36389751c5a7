# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened check`: does everything that this machine needs for the link work? With a codec: does it keep the contract?"""

from __future__ import annotations

import json
import platform
import sys
from fractions import Fraction
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import CodecError, GenedError
from gened.gr_blocks.phy.framing.rate import parse_rate
from gened.option_fields import parse_name_values


def check(
    codec: Annotated[
        str,
        typer.Option(
            "--codec",
            metavar="NAME",
            help="Try the contract of codecs on this one instead: a known codec or a folder with weights.",
            show_default=False,
        ),
    ] = "",
    codec_option: options.CodecOption = None,
    rate: Annotated[
        str, typer.Option("--rate", metavar="FRACTION", help="With --codec: complex symbols per source value.")
    ] = "1/24",
    device: options.Device = "cpu",
    json_only: options.Json = False,
    snr: Annotated[float, typer.Option("--snr", help="Es/N0 of the trial burst, dB.")] = 4.0,
    quiet: options.Quiet = False,
) -> None:
    """Look whether all parts are there and work, and say how to get what is missing; or try a codec."""
    if codec:
        _check_codec(codec, codec_option or [], parse_rate(rate), device, json_only=json_only, quiet=quiet)
    elif codec_option:
        raise GenedError("--codec-option belongs to a codec: name it with --codec")
    else:
        _check_parts(snr, json_only=json_only)


def _check_parts(snr_db: float, *, json_only: bool) -> None:
    """Print whether the parts of the link work.

    Raises:
        GenedError: A part that the link needs does not.
    """
    from rich.console import Console
    from rich.markup import escape

    from gened.doctor.self_check import Item, run_checks

    items = run_checks(snr_db)
    if json_only:
        print(json.dumps({"machine": platform.platform(), "items": [item._asdict() for item in items]}, indent=1))
    else:
        console = Console()
        for item in items:
            mark = "[green]ok[/]     " if item.is_ok else "[red]missing[/]" if item.is_needed else "[yellow]without[/]"
            console.print(f"{mark} [bold]{escape(item.name)}[/]  {escape(item.text)}", soft_wrap=True)
    missing: list[Item] = [item for item in items if item.is_needed and not item.is_ok]
    if missing:
        raise GenedError(
            f"{', '.join(item.name for item in missing)}: see above; scripts/demo.sh installs what is missing"
        )


def _check_codec(
    name: str, codec_option: list[str], rate: Fraction, device: str, *, json_only: bool, quiet: bool
) -> None:
    """Print a table of the contract's rules.

    Raises:
        CodecError: There is no such codec, or it breaks a rule.
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from gened.models.evaluation.run.check_codec import check_codec
    from gened.provenance import run_meta

    errors = Console(stderr=True, quiet=quiet)
    with errors.status(f"{name}: loads") as status:
        verdicts = check_codec(
            name, device=device, options=parse_name_values(codec_option), rate=rate,
            progress=lambda rule: status.update(f"{name}: {rule}"),
        )  # fmt: skip
    if json_only:
        result = {"meta": run_meta(sys.argv, seed=0), "codec": name, "rate": f"{rate}"}
        print(json.dumps({**result, "rules": [asdict(verdict) for verdict in verdicts]}, indent=1))
    else:
        table = Table(title=f"codec {escape(name)}, rate {rate}", show_lines=False)
        table.add_column("rule", no_wrap=True)
        table.add_column("")
        table.add_column("measured")
        for verdict in verdicts:
            mark = "[green]kept[/]" if verdict.is_kept else "[red]broken[/]"
            table.add_row(verdict.rule, mark, escape(verdict.text))
        Console().print(table)
    broken = [verdict.rule for verdict in verdicts if not verdict.is_kept]
    if broken:
        raise CodecError(f"codec {name} breaks the contract: {', '.join(broken)}; docs/architecture.md has its rules")
