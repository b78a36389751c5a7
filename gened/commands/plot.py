# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened plot`: figures from results of `gened evaluate`, and sheets of pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.commands.evaluate import (
    EvaluationChannel,
    Limit,
    Mask,
    MaskSource,
    Over,
    OverOption,
    Resize,
    pictures_progress,
)
from gened.errors import ConfigError


def plot(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULT.json...", help="Files of gened evaluate --out.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Picture file to write.")] = Path("plot.png"),
    x: Annotated[
        str, typer.Option("--x", metavar="KEY", help="snr_db, payload_symbols or any other number.")
    ] = "snr_db",
    y: Annotated[str, typer.Option("--y", metavar="KEY", help="psnr_db, psnr_fg_db, st_lpips, ...")] = "psnr_db",
    sheet: Annotated[bool, typer.Option("--sheet", help="Instead: originals beside what codecs make of them.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Sheet: folder of pictures, or one with images/ and masks/.")
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option("--codec", metavar="NAME", help="Sheet: a codec or a folder with weights; repeatable."),
    ] = None,
    snr: Annotated[str, typer.Option("--snr", metavar="DB,...", help="Sheet: Es/N0 values, dB.")] = "1,10",
    rate: options.Rate = Fraction(1, 24),
    resize: Resize = None,
    limit: Limit = None,
    channel: EvaluationChannel = "awgn",
    over: OverOption = Over.CHANNEL,
    drop: options.Drop = 0.0,
    mask: Mask = MaskSource.CODEC,
    focus: options.Focus = None,
    draw_mask: Annotated[
        bool, typer.Option("--draw-mask", help="Sheet: outline what the receiver holds for important.")
    ] = False,
    editor: options.EditorName = "",
    editor_option: options.EditorOption = None,
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

        extras = Extras(draws_masks=draw_mask)
        if editor and editor != "none":
            from gened.models.captioning.registry import load_captioner
            from gened.models.editing.registry import load_editor

            chosen = options.parse_options(editor_option)
            extras = Extras(draw_mask, load_editor(editor, device=device, **chosen), load_captioner("layout"))

        snrs_db = options.parse_numbers(snr)
        config = options.channel_config(
            channel, snr_db=0.0, freq_offset_hz=0.0, sfo_ppm=0.0, drop=drop, seed=0, impair=None
        )
        with pictures_progress(quiet=quiet) as progress:
            task = progress.add_task(f"{data.name or data}", total=None)
            make_sheet(
                [load_codec(options.default_codec(name), device=device) for name in codec or [""]],
                data,
                out,
                snrs_db=snrs_db,
                setting=Setting(rate=rate, channel=config, over=over.value, mask=mask.value, focus=focus),
                resize=resize,
                limit=limit,
                extras=extras,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    elif not results:
        raise ConfigError("name the results to draw: gened plot RESULT.json... --out FILE.png; or ask for a --sheet")
    else:
        from gened.models.evaluation.plots.curves import plot as run
        from gened.models.evaluation.plots.curves import read_result

        run([(path.stem, read_result(path)) for path in results], out, x=x, y=y)
    print(out)
