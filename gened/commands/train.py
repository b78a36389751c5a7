# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train`: trains a codec or the editor from a configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import ConfigError


def train(
    config: Annotated[
        Path, typer.Option("--config", help="TOML file, or the name of one that comes with the package.")
    ] = Path("deepjscc"),
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of tar shards or of pictures.",
            show_default="train in $GENED_DATA",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for weights, state, log and sample pictures.", show_default="runs/CONFIG"),
    ] = None,
    saliency: Annotated[
        Path | None,
        typer.Option("--saliency", help="Folder of maps that gened data saliency made.", show_default="none"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0.1, help="Stop after so long; --resume goes on.", show_default="when the steps are done"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the state in --out.")] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps in all.", show_default="as configured")
    ] = None,
    device: options.Device = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="PyTorch threads on a CPU.")] = max(
        1, os.cpu_count() or 1
    ),
) -> None:
    """Train a codec or the editor; stop and resume as you like. The result is used by its folder: --codec FOLDER."""
    from gened.models.training.schedule import config_file

    path = config_file(config)
    folder = data or options.data_folder("train")
    if folder is None or not folder.is_dir():
        raise ConfigError(f"no folder of training pictures{f' {folder}' if folder else ''}; name one with --data")
    from gened.models.training.trainings import train as run_training

    target = out or Path("runs") / path.stem
    weights = run_training(
        path, data=folder, out=target, saliency=saliency, minutes=minutes, device=device, threads=threads,
        resume=resume, steps=steps,
    )  # fmt: skip
    print(f"weights in {weights}")
