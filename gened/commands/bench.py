# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened bench`: what the link is worth, measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gened.commands import options
from gened.commands.evaluate import pictures_progress
from gened.errors import ConfigError


def _words(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


bench = typer.Typer(help="Measure the link itself, without pictures.", no_args_is_help=True)


@bench.callback()
def about() -> None:
    """Measure the link itself, without pictures."""


@bench.command()
def link(
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames a row of the table.")] = 50,
    snr: Annotated[str, typer.Option("--snr", metavar="DB,...", help="Es/N0 values, dB.")] = "-2,0,1,4,10,20",
    conditions: Annotated[
        str, typer.Option("--conditions", metavar="NAME,...", help="Rows of the table, or none.", show_default="all")
    ] = "",
    noise_samples: Annotated[
        int, typer.Option("--noise-samples", min=0, help="Of noise, tone, chirp, OFDM and silence each: false frames.")
    ] = 2_000_000,
    signals: Annotated[
        str, typer.Option("--signals", metavar="NAME,...", help="Which of these.")
    ] = "noise,tone,chirp,ofdm,silence",
    costs: Annotated[bool, typer.Option(help="Speed, memory, overhead and peaks.")] = True,
    gnuradio: Annotated[
        bool | None,
        typer.Option("--gnuradio/--no-gnuradio", help="Its OFDM on the same air.", show_default="if it is installed"),
    ] = None,
    packets: Annotated[int, typer.Option("--packets", min=1, help="Of both links at each point of that.")] = 40,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the rows.")] = 1,
    out: options.ResultFile = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure SNR lost, detection, errors, false frames, speed and peaks of the waveform under every condition."""
    from gened.bench.link import CONDITIONS, Plan, run
    from gened.bench.link_conditions import chosen
    from gened.bench.link_table import tables

    has_gnuradio = _has_gnuradio(gnuradio)
    names = _words(conditions)
    plan = Plan(
        conditions=tuple(chosen(names)) if names else CONDITIONS, snrs_db=options.parse_numbers(snr), n_frames=frames,
        seed=seed, noise_samples=noise_samples, signals=_words(signals), has_costs=costs, workers=workers,
        n_gnuradio=packets if has_gnuradio else 0,
    )  # fmt: skip
    about_run = {"frames": frames, "workers": workers, "packets": plan.n_gnuradio}
    _report(partial(run, plan), tables, about_run, seed=seed, out=out, json_only=json_only, quiet=quiet)


@bench.command()
def ldpc(
    frames: Annotated[int, typer.Option("--frames", min=1, help="Most frames at each point of a curve.")] = 1000,
    modes: Annotated[
        str, typer.Option("--modes", metavar="MODE,...", help="Digital modes, or none.", show_default="all")
    ] = "",
    analog: Annotated[int, typer.Option("--analog", min=0, help="A picture's symbols in each burst.")] = 8192,
    blocks: Annotated[int, typer.Option("--blocks", min=0, help="For the speed at each code; 0 leaves it out.")] = 256,
    broken: Annotated[
        int, typer.Option("--broken", min=0, help="Lost texts of each length, for what is left of them; 0 for none.")
    ] = 100,
    gnuradio: Annotated[
        bool | None,
        typer.Option("--gnuradio/--no-gnuradio", help="Its decoder too.", show_default="if it is installed"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the curves.")] = 1,
    out: options.ResultFile = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure frame error rates of the digital modes over Es/N0, and the speed of LDPC decoders."""
    from gened.bench.ldpc import LdpcPlan, run
    from gened.bench.ldpc_table import tables
    from gened.gr_blocks.phy.coding.modes import MODES

    has_gnuradio = _has_gnuradio(gnuradio)
    names = tuple(name for name in _words(modes) if name != "none") if modes else tuple(MODES)
    plan = LdpcPlan(
        modes=names, n_frames=frames, n_analog=analog, n_blocks=blocks, n_broken=broken, seed=seed,
        workers=workers, has_gnuradio=has_gnuradio,
    )  # fmt: skip
    about_run = {"frames": frames, "analog": analog, "blocks": blocks, "broken": broken, "workers": workers}
    _report(partial(run, plan), tables, about_run, seed=seed, out=out, json_only=json_only, quiet=quiet)


def _has_gnuradio(asked: bool | None) -> bool:
    """Whether its side is measured: as asked, or where it is installed."""
    from gened.bench.link_gnuradio import is_available

    if asked and not is_available():
        raise ConfigError("GNU Radio is not installed; `gened check` says how to get it, --no-gnuradio leaves it out")
    return is_available() if asked is None else asked


def _report(
    measure: Callable[[Callable[[int, int], object]], dict[str, Any]],
    tables: Callable[[Mapping[str, Any]], list[Any]],
    about_run: Mapping[str, int],
    *,
    seed: int,
    out: Path | None,
    json_only: bool,
    quiet: bool,
) -> None:
    """Measure with a bar for how far it is, then write and print what came out."""
    from rich.console import Console

    from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
    from gened.models.evaluation.run.files import require_writable
    from gened.provenance import run_meta

    if out is not None:
        require_writable(out)
    with pictures_progress(quiet=quiet) as progress:
        task = progress.add_task("measuring", total=None)
        result = measure(lambda done, total: progress.update(task, completed=done, total=total))
    meta = {**run_meta(sys.argv, seed=seed), **about_run, "fingerprint": waveform_fingerprint()}
    text = json.dumps({"meta": meta, **result}, indent=1, allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if json_only:
        print(text)
    else:
        Console().print(*tables(result))
