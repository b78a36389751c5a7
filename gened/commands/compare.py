# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened compare`: results of `gened evaluate`, picture by picture."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import ConfigError


class Abscissa(StrEnum):
    """Abscissa of the curves."""

    SNR_DB = "snr_db"
    PAYLOAD_SYMBOLS = "payload_symbols"


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT.json...", help="Files of gened evaluate --per-picture; the first is the reference."
        ),
    ],
    metric: Annotated[
        str, typer.Option("--metric", metavar="KEY,...", help="Figures: psnr_db, ms_ssim, st_lpips, ...")
    ] = "psnr_db",
    x: Annotated[
        Abscissa,
        typer.Option("--x", help="Abscissa of the Bjontegaard deltas: SNRs at one rate, or rates at one SNR."),
    ] = Abscissa.SNR_DB,
    out: options.ResultFile = None,
    json_only: options.Json = False,
) -> None:
    """Compare results picture by picture: paired differences with intervals, BD-PSNR and BD-rate.

    Every system (codec, with or without editor) is compared with the first one, on the same pictures under the same
    channel, rate and SNR. Unequal data or metrics are refused.
    """
    from rich.console import Console

    from gened.models.evaluation.comparison.compare import compare as run
    from gened.models.evaluation.comparison.compare import report
    from gened.models.evaluation.run.files import require_writable
    from gened.provenance import run_meta

    metrics = tuple(dict.fromkeys(name.strip() for name in metric.split(",") if name.strip()))
    if not metrics:
        raise ConfigError("--metric names no figure; write it like psnr_db,ms_ssim")
    if out is not None:
        require_writable(out)
    result = run(results, metrics=metrics, axis=x.value)
    text = json.dumps({"meta": run_meta(sys.argv, seed=0), **result}, indent=1, allow_nan=False)
    if out is not None:
        out.write_text(text + "\n")
    if json_only:
        print(text)
        return
    console = Console()
    for part in report(result):
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))
