# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train`: trains a codec or the editor from a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import ConfigError

DEFAULT_CONFIG = Path("deepjscc")


def train(
    name: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG",
            help="TOML file, or the name of one that comes with the package; see --list.",
            show_default=str(DEFAULT_CONFIG),
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The same as CONFIG.", show_default=False)] = None,
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
            "--minutes",
            min=0.1,
            help="Stop after this time, which counts from the first step; --resume continues.",
            show_default="when the steps are done",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the state in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in --out.")] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps in all.", show_default="as configured")
    ] = None,
    device: options.Device = "cpu",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="PyTorch threads on a CPU.", show_default="all cores")
    ] = None,
    quiet: options.Quiet = False,
    is_list: Annotated[bool, typer.Option("--list", help="Print the configurations of the package, and end.")] = False,
) -> None:
    """Train a codec or the editor; stop and resume as you like. The result is used by its folder: --codec FOLDER."""
    if is_list:
        from gened.models.training.overview import overview

        print(overview())
        return
    from gened.models.training.schedule import config_file

    if name is not None and config is not None:
        raise ConfigError(f"two configurations, {name} and {config}; give one")
    path = config_file(name or config or DEFAULT_CONFIG)
    folder = data or options.data_folder("train")
    if folder is None or not folder.is_dir():
        raise ConfigError(f"no folder of training pictures{f' {folder}' if folder else ''}; name one with --data")
    from gened.models.training.progress import Progress
    from gened.models.training.trainings import train as run_training

    target = out or Path("runs") / path.stem
    weights = run_training(
        path, data=folder, out=target, saliency=saliency, minutes=minutes, device=device, threads=threads,
        resume=resume, overwrite=overwrite, steps=steps, progress=Progress(is_quiet=quiet),
    )  # fmt: skip
    print(f"weights in {weights}")
