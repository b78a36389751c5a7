# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened evaluate`: a codec over a folder of pictures."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options
from gened.commands.generated import Given, from_records
from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link.config import EditConfig
from gened.models.codecs.encode_options import MAX_SEED, EncodeOptions
from gened.models.evaluation.metrics.registry import DEFAULT, metrics_help
from gened.option_fields import Options, parse_name_values
from gened.threads import limit_threads

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


class Captions(StrEnum):
    """Captions that are sent with the pictures."""

    SENT = "sent"
    NONE = "none"
    PAPER = "paper"


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
OverOption = Annotated[
    Over, typer.Option("--over", help="Straight through the channel model, or as samples through the whole waveform.")
]
Mask = Annotated[
    MaskSource,
    typer.Option("--mask", help="Importance that the encoder receives: none; the mask in masks/; its own estimate."),
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


def say_left_out(data: Path) -> None:
    """Says on stderr which files of a folder are not evaluated."""
    from gened.models.data.folders import left_out

    for reason in left_out(data, is_nested=False):
        print(f"left out: {reason}", file=sys.stderr)


@from_records
def evaluate(
    data: Data,
    encode: Annotated[Given[EncodeOptions], Options(without=("snr_db", "seed"))],
    channel: Annotated[Given[ChannelConfig], Options(without=("snr_db", "seed"))],
    edit: Annotated[Given[EditConfig], Options(defaults={"editor": "", "device": ""})],
    codec: options.CodecName = "",
    codec_option: options.CodecOption = None,
    resize: Resize = None,
    snr: Snrs = "1,4,7,10",
    over: OverOption = Over.CHANNEL,
    impair: options.Impair = None,
    snr_error: Annotated[
        float, typer.Option("--snr-error", help="SNR mismatch: added to the SNR that the encoder receives, dB.")
    ] = 0.0,
    mask: Mask = MaskSource.CODEC,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            help=metrics_help(),
        ),
    ] = ",".join(DEFAULT),
    clip: Annotated[
        str | None,
        typer.Option("--clip", metavar="NAME_OR_FOLDER", help="CLIP model for clip_score.", show_default=False),
    ] = None,
    edit_words: Annotated[
        Words, typer.Option("--edit-words", help="What the editor is told: its caption, nothing, or another picture's.")
    ] = Words.RIGHT,
    captioner: Annotated[
        str, typer.Option("--captioner", metavar="NAME", help="Describes pictures without captions, for the editor.")
    ] = "layout",
    captioner_option: Annotated[
        list[str] | None,
        typer.Option(
            "--captioner-option",
            metavar="NAME=VALUE",
            help="Option of the captioner, such as model=FOLDER; repeatable.",
            show_default=False,
        ),
    ] = None,
    captions: Annotated[
        Captions,
        typer.Option(
            "--captions",
            help="Send each picture's caption; send none; or count the paper's 426 symbols per picture.",
        ),
    ] = Captions.SENT,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Noise seeds per picture.")] = 1,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="Base seed: another one gives other noise throughout.")
    ] = 0,
    per_picture: Annotated[
        bool,
        typer.Option(
            "--per-picture", help="Add the values of each picture and noise seed to the JSON, and as .csv beside --out."
        ),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out pictures that fail, and list them, instead of ending.")
    ] = False,
    limit: Limit = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes that share the pictures and the cores.")
    ] = 1,
    threads: options.Threads = None,
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
    if threads is not None:
        limit_threads(threads)  # before PyTorch is loaded
    from rich.console import Console

    from gened.models.codecs.registry import load_codec
    from gened.models.evaluation.metrics.metric_set import parse_metrics
    from gened.models.evaluation.run.evaluate import describe, missing_values, run_evaluation, table
    from gened.models.evaluation.run.files import require_writable
    from gened.models.evaluation.run.fingerprint import evaluation_fingerprint
    from gened.models.evaluation.run.per_picture import write_csv
    from gened.models.evaluation.run.settings import settings_used
    from gened.models.evaluation.run.workers import EditorPlan
    from gened.provenance import machine_load, peak_memory_mib, run_meta

    load_at_start = machine_load()
    snrs_db = options.parse_numbers(snr)
    settings = encode.make()
    config = options.channel_config(channel, impair)
    if per_picture and out is None and not json_only:
        raise ConfigError("--per-picture writes into the JSON: name a file with --out, or print it with --json")
    table_file = out.with_suffix(".csv") if per_picture and out is not None else None
    for path in (out, table_file):
        if path is not None:
            require_writable(path)
    names = parse_metrics(metrics)
    say_left_out(data)
    codec_name = options.default_codec(codec)
    codec_options = parse_name_values(codec_option or ())
    chosen = load_codec(codec_name, device=device, **codec_options)
    plan = None
    editor = edit["editor"]
    if editor and editor != "none":
        if cache is not None and "://" in editor:
            raise ConfigError("--cache cannot know the weights of a service; leave it out, or name a backend")
        plan = EditorPlan(
            editor, device=edit["device"] or options.default_device(editor), options=dict(edit["options"]),
            strength=edit["strength"], words=edit_words.value, captioner=captioner,
            captioner_options=parse_name_values(captioner_option or ()), timeout_s=edit["timeout_s"],
            keys=None if edit["keys"] is None else str(edit["keys"]),
        )  # fmt: skip
    is_kept = out is not None or json_only
    fingerprint = evaluation_fingerprint(chosen, settings.rate, over.value) if is_kept else None
    with pictures_progress(quiet=quiet) as progress:
        task = progress.add_task(f"{chosen.name} over {data.name or data}", total=None)
        found = run_evaluation(
            chosen,
            data,
            encode=settings,
            snrs_db=snrs_db,
            channel=config,
            resize=resize,
            over=over.value,
            mask=mask.value,
            snr_error_db=snr_error,
            captions=captions.value,
            codec_options=codec_options,
            metrics=names,
            clip=clip,
            seeds=seeds,
            base_seed=seed,
            limit=limit,
            cache=cache,
            workers=workers,
            threads=threads,
            batch=batch,
            codec_name=codec_name,
            device=device,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            editor=plan,
            skip_bad=skip_bad,
        )
    for one in found.left_out:
        print(f"left out: {one.reason}", file=sys.stderr)
    for line in missing_values(found.rows):
        print(f"note: {line}", file=sys.stderr)
    about = describe(
        data,
        limit=limit,
        paths=found.paths,
        metrics=names,
        clip=clip,
        codec_id=f"{chosen.codec_id:08x}",
        fingerprint=fingerprint,
        resize=resize,
        over=over.value,
        mask=mask.value,
        focus=settings.focus,
        refine=settings.refine_steps,
        side_margin_db=settings.side_margin_db,
        encode_options=settings.chosen(),
        codec_options=codec_options,
        erasure=config.erasure,
        snr_error_db=snr_error,
        captions=captions.value,
        seeds=seeds,
        workers=workers,
        threads=threads,
        batch=batch,
        editor=None if plan is None else asdict(plan),
        settings=settings_used(
            chosen, codec_options, settings, config, snrs_db=snrs_db, metrics=names, mask=mask.value, limit=limit,
            device=device,
        ),
        load_at_start=load_at_start,
        left_out=[asdict(one) for one in found.left_out],
        peak_memory_mib=peak_memory_mib(with_children=True),
    )  # fmt: skip
    result = {"meta": {**run_meta(sys.argv, seed=seed), **about}, "rows": found.rows}
    text = json.dumps(result | ({"pictures": found.pictures} if per_picture else {}), indent=1, allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if table_file is not None:
        write_csv(table_file, found.pictures)
    if json_only:
        print(text)
    else:
        Console().print(table(found.rows))
