# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened evaluate`: a codec over a folder of pictures."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options
from gened.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress


class Over(StrEnum):
    """How the symbols travel."""

    CHANNEL = "channel"
    LOOPBACK = "loopback"


class Words(StrEnum):
    """What the editor is told."""

    RIGHT = "right"
    NONE = "none"
    OTHER = "other"


class MaskSource(StrEnum):
    """What the encoder is told of importance."""

    NONE = "none"
    TRUTH = "truth"
    CODEC = "codec"


Data = Annotated[
    Path, typer.Option("--data", help="Folder of pictures, or one with images/, masks/ and captions.jsonl.")
]
Resize = Annotated[
    int | None,
    typer.Option(
        "--resize", min=64, max=4096, help="Stretch each picture to a square of this side.", show_default="as they are"
    ),
]
Snrs = Annotated[str, typer.Option("--snr", metavar="DB,...", help="Es/N0 values, dB, also told to the encoder.")]
EvaluationChannel = Annotated[
    str,
    typer.Option("--channel", metavar="KIND", help=f"One of {options.CHANNELS}, rayleigh-fast (not over loopback)."),
]
OverOption = Annotated[
    Over, typer.Option("--over", help="Straight through the channel model, or as samples through the whole waveform.")
]
Mask = Annotated[
    MaskSource,
    typer.Option(
        "--mask", help="What the encoder knows: nothing is important; the mask in masks/; what it finds itself."
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="The first so many pictures only.", show_default="all")
]


def pictures_progress(*, quiet: bool) -> Progress:
    """A bar of pictures done, on stderr."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)


def peak_memory_mib() -> float:
    """Of this process, or of the largest that it has ended."""
    return round(
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024, 1
    )


def evaluate(
    data: Data,
    codec: options.CodecName = "",
    resize: Resize = None,
    rate: options.Rate = Fraction(1, 24),
    snr: Snrs = "1,4,7,10",
    channel: EvaluationChannel = "awgn",
    over: OverOption = Over.CHANNEL,
    freq_offset: options.FreqOffset = 0.0,
    sfo_ppm: options.SfoPpm = 0.0,
    drop: options.Drop = 0.0,
    erasure: Annotated[float, typer.Option("--erasure", help="Share of symbols lost at random.")] = 0.0,
    impair: options.Impair = None,
    snr_error: Annotated[
        float, typer.Option("--snr-error", help="The encoder is told so much more than there is, dB.")
    ] = 0.0,
    mask: Mask = MaskSource.CODEC,
    focus: options.Focus = None,
    refine: options.Refine = 0,
    side_margin: options.SideMargin = 0.0,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            help="Of psnr, ms_ssim, masks, st_lpips, brisque, kid, recognition, clip_score; all: the first five.",
        ),
    ] = "psnr,ms_ssim,masks",
    clip: Annotated[
        str | None,
        typer.Option("--clip", metavar="NAME_OR_FOLDER", help="CLIP model for clip_score.", show_default=False),
    ] = None,
    editor: options.EditorName = "",
    editor_device: options.EditorDevice = "",
    editor_option: options.EditorOption = None,
    edit_strength: options.EditStrength = 1.0,
    edit_words: Annotated[
        Words, typer.Option("--edit-words", help="What the editor is told: its caption, nothing, or another picture's.")
    ] = Words.RIGHT,
    captioner: Annotated[
        str, typer.Option("--captioner", metavar="NAME", help="Describes pictures without captions, for the editor.")
    ] = "layout",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Noise drawings a picture.")] = 1,
    limit: Limit = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes that share the pictures and the cores.")
    ] = 1,
    batch: Annotated[
        int,
        typer.Option("--batch", min=1, max=1024, help="Pictures of one size that go through the codec together."),
    ] = 1,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Keep what is measured here; a run that was cut off goes on where it stopped.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "cpu",
    out: options.ResultFile = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a codec: PSNR, MS-SSIM and more at each SNR over a folder of pictures, without radio or sockets."""
    from rich.console import Console

    from gened.models.codecs.registry import load_codec
    from gened.models.evaluation.metrics.metric_set import parse_metrics
    from gened.models.evaluation.run.evaluate import describe, table
    from gened.models.evaluation.run.evaluate import evaluate as run
    from gened.models.evaluation.run.files import require_writable
    from gened.models.evaluation.run.workers import EditorPlan
    from gened.provenance import run_meta

    snrs_db = options.parse_numbers(snr)
    config = options.channel_config(
        channel, snr_db=0.0, freq_offset_hz=freq_offset, sfo_ppm=sfo_ppm, drop=drop, seed=0, impair=impair
    )
    config = replace(config, erasure=erasure)
    if out is not None:
        require_writable(out)
    names = parse_metrics(metrics)
    codec_name = options.default_codec(codec)
    chosen = load_codec(codec_name, device=device)
    plan = None
    if editor and editor != "none":
        if "://" in editor:
            raise ConfigError("evaluation loads its editor itself: name a backend, not a service")
        plan = EditorPlan(
            editor, device=editor_device or options.default_device(editor),
            options=options.parse_options(editor_option),
            strength=edit_strength, words=edit_words.value, captioner=captioner,
        )  # fmt: skip
    about = describe(
        data,
        limit=limit,
        metrics=names,
        clip=clip,
        codec_id=f"{chosen.codec_id:08x}",
        resize=resize,
        over=over.value,
        mask=mask.value,
        focus=focus,
        refine=refine,
        side_margin_db=side_margin,
        erasure=erasure,
        snr_error_db=snr_error,
        seeds=seeds,
        workers=workers,
        batch=batch,
        editor=None if plan is None else asdict(plan),
    )
    with pictures_progress(quiet=quiet) as progress:
        task = progress.add_task(f"{chosen.name} over {data.name or data}", total=None)
        rows = run(
            chosen,
            data,
            rate=rate,
            snrs_db=snrs_db,
            channel=config,
            resize=resize,
            over=over.value,
            mask=mask.value,
            focus=focus,
            snr_error_db=snr_error,
            options={k: v for k, v in {"refine_steps": refine, "side_margin_db": side_margin}.items() if v},
            metrics=names,
            clip=clip,
            seeds=seeds,
            limit=limit,
            cache=cache,
            workers=workers,
            batch=batch,
            codec_name=codec_name,
            device=device,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            editor=plan,
        )
    about["peak_memory_mib"] = peak_memory_mib()
    text = json.dumps({"meta": {**run_meta(sys.argv, seed=0), **about}, "rows": rows}, indent=1, allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if json_only:
        print(text)
    else:
        Console().print(table(rows))
