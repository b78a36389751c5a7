# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened plot`: figures from results of `gened evaluate`, and sheets of pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.commands.evaluate import (
    Limit,
    Mask,
    MaskSource,
    Over,
    OverOption,
    Resize,
    pictures_progress,
    say_left_out,
)
from gened.commands.generated import Given, from_records
from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link.config import EditConfig
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.evaluation.plots.style import PlotStyle
from gened.option_fields import Options


@from_records
def plot(
    style: Given[PlotStyle],
    encode: Annotated[Given[EncodeOptions], Options(without=("snr_db", "seed"))],
    channel: Annotated[
        Given[ChannelConfig], Options(without=("snr_db", "freq_offset_hz", "sfo_ppm", "erasure", "seed"))
    ],
    edit: Annotated[Given[EditConfig], Options(without=("device", "strength"), defaults={"editor": ""})],
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULT.json...", help="Files of gened evaluate --out.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Picture file to write.")] = Path("plot.png"),
    x: Annotated[
        str, typer.Option("--x", metavar="KEY", help="snr_db, payload_symbols or any other number.")
    ] = "snr_db",
    y: Annotated[str, typer.Option("--y", metavar="KEY", help="psnr_db, psnr_fg_db, st_lpips, ...")] = "psnr_db",
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="One line for each value of this key of a row, such as variant.",
            show_default=False,
        ),
    ] = None,  # fmt: skip
    sheet: Annotated[bool, typer.Option("--sheet", help="Instead: originals beside what codecs make of them.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Sheet: folder of pictures, or one with images/ and masks/.")
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option("--codec", metavar="NAME", help="Sheet: a codec or a folder with weights; repeatable."),
    ] = None,
    snr: Annotated[str, typer.Option("--snr", metavar="DB,...", help="Sheet: Es/N0 values, dB.")] = "1,10",
    resize: Resize = None,
    limit: Limit = None,
    over: OverOption = Over.CHANNEL,
    mask: Mask = MaskSource.CODEC,
    draw_mask: Annotated[
        bool, typer.Option("--draw-mask", help="Sheet: outline what the receiver holds for important.")
    ] = False,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
) -> None:
    """Draw results of `gened evaluate`, a line a codec; or, with --sheet, pictures side by side."""
    if sheet:
        if results or data is None:
            raise ConfigError("a sheet takes no results but pictures: gened plot --sheet --data FOLDER --codec NAME")
        from gened.models.codecs.registry import load_codec
        from gened.models.evaluation.plots.sheet import Extras, make_sheet
        from gened.models.evaluation.run.measure import Setting

        say_left_out(data)
        extras = Extras(draws_masks=draw_mask)
        if edit["editor"] not in ("", "none"):
            from gened.models.captioning.registry import load_captioner
            from gened.models.serving.remote_editor import editor_at

            backend = editor_at(
                edit["editor"], device=device, options=edit["options"], keys=edit["keys"], timeout_s=edit["timeout_s"]
            )
            extras = Extras(draw_mask, backend, load_captioner("layout"))

        snrs_db = options.parse_numbers(snr)
        setting = Setting(encode=encode.make(), channel=channel.make(), over=over.value, mask=mask.value)
        with pictures_progress(quiet=quiet) as progress:
            task = progress.add_task(f"{data.name or data}", total=None)
            make_sheet(
                [load_codec(options.default_codec(name), device=device) for name in codec or [""]],
                data,
                out,
                snrs_db=snrs_db,
                setting=setting,
                resize=resize,
                limit=limit,
                extras=extras,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    elif not results:
        raise ConfigError("name the results to draw: gened plot RESULT.json... --out FILE.png; or ask for a --sheet")
    else:
        from gened.models.evaluation.plots.curves import plot as run
        from gened.models.evaluation.plots.lines import read_results

        for remark in run(read_results(results), out, x=x, y=y, by=by, style=style.make()):
            print(f"gened plot: {remark}", file=sys.stderr)
    print(out)
