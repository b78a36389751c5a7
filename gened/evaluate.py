# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened evaluate`: a codec over a folder of pictures."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from gened import options


class Over(StrEnum):
    """How the symbols travel."""

    CHANNEL = "channel"
    LOOPBACK = "loopback"


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Folder of pictures, or one with images/.")],
    codec: options.CodecName = "",
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            min=64,
            max=4096,
            help="Stretch each picture to a square of this side.",
            show_default="as they are",
        ),
    ] = None,
    rate: options.Rate = Fraction(1, 24),
    snr: Annotated[
        str, typer.Option("--snr", metavar="DB,...", help="Es/N0 values, dB, also told to the encoder.")
    ] = "1,4,7,10",
    channel: Annotated[
        str,
        typer.Option(
            "--channel", metavar="KIND", help=f"One of {options.CHANNELS}, rayleigh-fast (not over loopback)."
        ),
    ] = "awgn",
    over: Annotated[
        Over,
        typer.Option("--over", help="Straight through the channel model, or as samples through the whole waveform."),
    ] = Over.CHANNEL,
    freq_offset: options.FreqOffset = 0.0,
    sfo_ppm: options.SfoPpm = 0.0,
    drop: options.Drop = 0.0,
    impair: options.Impair = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Noise drawings a picture.")] = 1,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="The first so many pictures only.", show_default="all")
    ] = None,
    device: options.Device = "cpu",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the JSON to this file too.", show_default=False)
    ] = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a codec: PSNR and MS-SSIM at each SNR over a folder of pictures, without radio or sockets."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from gened.flowgraphs.report import run_meta
    from gened.models.codecs.registry import load_codec
    from gened.models.evaluation.evaluate import evaluate as run
    from gened.models.evaluation.evaluate import table
    from gened.models.evaluation.metrics import library_versions

    snrs_db = options.parse_numbers(snr)
    config = options.channel_config(
        channel, snr_db=0.0, freq_offset_hz=freq_offset, sfo_ppm=sfo_ppm, drop=drop, seed=0, impair=impair
    )
    chosen = load_codec(options.default_codec(codec), device=device)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task(f"{chosen.name} over {data.name or data}", total=None)
        rows = run(
            chosen,
            data,
            rate=rate,
            snrs_db=snrs_db,
            channel=config,
            resize=resize,
            over=over.value,
            seeds=seeds,
            limit=limit,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    result = {"meta": {**run_meta(sys.argv, seed=0), "metrics": library_versions(), "resize": resize}, "rows": rows}
    text = json.dumps(result, indent=1, allow_nan=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
    if json_only:
        print(text)
    else:
        Console().print(table(rows))
