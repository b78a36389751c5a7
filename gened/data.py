# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened data`: training pictures, from what people download to what `gened train` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gened import options
from gened.gr_blocks.phy.errors import ConfigError

data = typer.Typer(help="Make training data: shards of pictures, and soft masks for them.", no_args_is_help=True)

Threads = Annotated[int, typer.Option("--threads", min=1, help="Of the CPU.")]


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr; told how many are done, of how many."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@data.command()
def saliency(
    source: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of tar shards.", show_default=False)],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Folder for the maps, a tar a shard.", show_default=False)
    ] = None,
    check: Annotated[
        int | None,
        typer.Option(
            "--check",
            metavar="N",
            min=1,
            help="Write nothing; compare the maps with the masks of so many pictures that have one.",
            show_default=False,
        ),
    ] = None,
    threads: Threads = 1,
    quiet: options.Quiet = False,
) -> None:
    """Soft masks by U2-Net-P for all pictures that have no mask; a second run goes on where the first stopped."""
    from gened.models.training import saliency as teacher

    if check is not None:
        with _progress("comparing", quiet=quiet) as progress:
            agreement = teacher.check(source, check, threads=threads, progress=progress)
        print(f"mean IoU {agreement.mean_iou:.3f} at half height, {agreement.pictures} pictures with masks")
        return
    if out is None:
        raise ConfigError("name a folder for the maps: gened data saliency DATA OUT")
    with _progress("saliency", quiet=quiet) as progress:
        n = teacher.annotate(source, out, threads=threads, progress=progress)
    print(f"{n} maps made, in {out}")
