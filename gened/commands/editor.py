# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened editor`: the editing service, its keys, its figures, and a picture edited by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.commands import options
from gened.commands.signals import stop_on_signals
from gened.errors import EditorError
from gened.option_fields import parse_name_values

if TYPE_CHECKING:
    from gened.models.editing.base import EditResult, EditTask

editor = typer.Typer(
    help="The generative half: what restores received pictures, told their words.", no_args_is_help=True
)

DEFAULT_ADDRESS = "tcp://127.0.0.1:5560"

Backend = Annotated[
    str,
    typer.Option("--backend", metavar="NAME", help="embedded, realesrgan, diffusers, none, or one that is installed."),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Of the backend, such as model=FOLDER; repeatable.", show_default=False
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", metavar="DIR", help="CURVE keys that `gened editor keys` made.", show_default="no encryption"
    ),
]
Address = Annotated[str, typer.Option("--address", help="Where the service is.")]


@editor.command()
def serve(
    backend: Backend = "embedded",
    device: Annotated[
        list[str] | None,
        typer.Option("--device", help="PyTorch device, one worker each; repeatable.", show_default="cuda, or cpu"),
    ] = None,
    bind: Annotated[
        str, typer.Option("--bind", help="Where clients connect to; other addresses than loopback need --keys.")
    ] = DEFAULT_ADDRESS,
    keys: Keys = None,
    queue: Annotated[int, typer.Option("--queue", min=1, max=1000, help="Pictures that may wait.")] = 16,
    option: Option = None,
    quiet: options.Quiet = False,
) -> None:
    """Edit pictures for receivers, here or on other machines, until Ctrl-C."""
    from rich.console import Console

    from gened.models.editing.registry import load_editor
    from gened.models.serving.editor_server import EditorServer

    chosen = parse_name_values(option or ())
    devices = tuple(device) if device else (options.default_device(backend),)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    server = EditorServer(
        lambda name: load_editor(backend, device=name, **chosen), backend, devices=devices, address=bind, keys=keys,
        queue_len=queue,
    )  # fmt: skip
    with stop_on_signals() as stop:
        console.print(f"editor: loads {backend} on {', '.join(devices)}", soft_wrap=True)
        server.serve(stop, lambda address: console.print(f"editor: ready at {address}; Ctrl-C ends it", soft_wrap=True))


@editor.command()
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="For the keys; made if absent.")],
    client: Annotated[str, typer.Option("--client", help="Name of the client.")] = "client",
) -> None:
    """Make CURVE keys: DIR/server stays on the editor's machine, DIR/CLIENT goes to the receiver's."""
    from gened.models.serving.editor_keys import make_keys

    make_keys(folder, client)
    print(f"{folder / 'server'} is for gened editor serve --keys, {folder / client} for gened receive --editor-keys")


@editor.command()
def status(
    address: Address = DEFAULT_ADDRESS,
    keys: Keys = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Give up after so long, s.")] = 5.0,
) -> None:
    """Show what a running service tells of itself: queue, latencies, memory, as JSON."""
    from gened.models.serving.editor_client import EditorClient

    with EditorClient(address, keys=keys) as client:
        print(json.dumps(client.figures(timeout), indent=1))


@editor.command()
def edit(
    picture: Annotated[Path, typer.Argument(help="A received picture.")],
    out: Annotated[Path, typer.Option("--out", help="File for the edited picture.")] = Path("edited.png"),
    caption: Annotated[str, typer.Option("--caption", help="The words that came with it.")] = "",
    snr: Annotated[float | None, typer.Option("--snr", help="Es/N0 at which it was received, dB.")] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help="A picture, white where it is important.")] = None,
    strength: options.EditStrength = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of what the editor draws.")] = 0,
    address: Annotated[
        str | None, typer.Option("--address", help="Ask this service.", show_default="edit in this process")
    ] = None,
    keys: Keys = None,
    backend: Backend = "embedded",
    device: Annotated[str, typer.Option("--device", help="PyTorch device.", show_default="cuda, or cpu")] = "",
    option: Option = None,
) -> None:
    """Edit one picture."""
    from gened.models.data.images import load_image, load_mask
    from gened.models.data.writing import write_png
    from gened.models.editing.base import EditTask

    pixels = load_image(picture)
    task = EditTask(
        pixels, text=caption, mask=None if mask is None else load_mask(mask, *pixels.shape[:2]), snr_est_db=snr,
        strength=strength, seed=seed,
    )  # fmt: skip
    edited = _asked(task, address, keys) if address else _made(task, backend, device, parse_name_values(option or ()))
    if not edited.edited:
        raise EditorError(f"not edited: {edited.reason}")
    write_png(edited.pixels, out)
    print(f"{out}: {edited.backend}, {edited.seconds:.2f} s")


def _asked(task: EditTask, address: str, keys: Path | None) -> EditResult:
    from gened.models.serving.editor_client import EditorClient

    with EditorClient(address, keys=keys, timeout_s=600) as client:
        return client.edit(task)


def _made(task: EditTask, backend: str, device: str, chosen: dict[str, Any]) -> EditResult:
    from gened.models.editing.base import EditResult
    from gened.models.editing.registry import load_editor

    editor = load_editor(backend, device=device or options.default_device(backend), **chosen)
    return EditResult.of(editor.edit(task.request()))
