# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened data`: training pictures, from what people download to what `gened train` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gened.commands import options
from gened.errors import ConfigError

data = typer.Typer(help="Make training data: shards of pictures, and soft masks for them.", no_args_is_help=True)

Threads = Annotated[int, typer.Option("--threads", min=1, help="Of the CPU.")]


class Kind(StrEnum):
    """Data sets that can be imported."""

    DUTS = "duts"
    VOC = "voc"
    COCO = "coco"
    FOLDER = "folder"


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


@data.command("import")
def import_(
    kind: Annotated[
        Kind,
        typer.Argument(help="DUTS-TR, Pascal VOC 2012, COCO 2017, or a folder of pictures.", show_default=False),
    ],
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder with the data set as downloaded.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the shards.", show_default=False)],
    max_side: Annotated[
        int, typer.Option("--max-side", min=64, max=4096, help="Make larger pictures smaller, pixels.")
    ] = 360,
    shard_mib: Annotated[int, typer.Option("--shard-mib", min=1, max=1024, help="Largest shard, MiB.")] = 19,
    quiet: options.Quiet = False,
) -> None:
    """Tar shards for training from a data set as people download it: pictures, masks and captions."""
    from gened.models.data.importing.make import import_data

    with _progress(f"importing {kind.value}", quiet=quiet) as progress:
        done = import_data(kind.value, source, out, max_side=max_side, shard_mib=shard_mib, progress=progress)
    print(
        f"{done.pictures} pictures, {done.masks} with masks, {done.captioned} with captions, "
        f"in {done.shards} shards in {out}"
    )
    for reason in done.left_out:
        print(f"left out: {reason}")
