# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `gened`: its subcommands, one file each, and the one place that prints errors and chooses exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gened import __version__
from gened.commands.air import air
from gened.commands.bench import bench
from gened.commands.calibrate import calibrate
from gened.commands.check import check
from gened.commands.companion import companion
from gened.commands.data import data
from gened.commands.doctor import doctor
from gened.commands.editor import editor
from gened.commands.evaluate import evaluate
from gened.commands.exit_codes import epilog, exit_code
from gened.commands.inspect import inspect
from gened.commands.loopback import loopback
from gened.commands.plot import plot
from gened.commands.receive import receive
from gened.commands.record import record
from gened.commands.replay import replay
from gened.commands.signals import Interrupted, raise_on_signals
from gened.commands.survey import survey
from gened.commands.train import train
from gened.commands.transmit import transmit
from gened.commands.virtual_pluto import virtual_pluto
from gened.errors import GenedError

app = typer.Typer(
    name="gened",
    help="Photographs over GNU Radio, by analogue joint source-channel coding, with a caption beside them.",
    epilog=epilog(),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LINK = "The link"
CODECS = "Codecs"
TOOLS = "Tools"
for command, panel in (
    (loopback, LINK),
    (transmit, LINK),
    (air, LINK),
    (receive, LINK),
    (record, LINK),
    (replay, LINK),
    (inspect, LINK),
    (evaluate, CODECS),
    (plot, CODECS),
    (train, CODECS),
    (virtual_pluto, TOOLS),
    (doctor, TOOLS),
    (calibrate, TOOLS),
    (survey, TOOLS),
    (companion, TOOLS),
    (check, TOOLS),
):
    app.command(rich_help_panel=panel, epilog=epilog())(command)
app.add_typer(editor, name="editor", rich_help_panel=LINK, epilog=epilog())
app.add_typer(data, name="data", rich_help_panel=CODECS, epilog=epilog())
app.add_typer(bench, name="bench", rich_help_panel=TOOLS, epilog=epilog())


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"gened {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Photographs over GNU Radio, by analogue joint source-channel coding, with a caption beside them."""


_ClickError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The base of wrong usage; typer has it, but no public name for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; errors become one line on stderr.

    Args:
        arguments: Without the program's name; those of this process when None.

    Returns:
        The exit code; see `exit_codes`.
    """
    raise_on_signals()
    try:
        status = app(args=None if arguments is None else list(arguments), prog_name="gened", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except _ClickError as error:
        return _wrong_usage(error)
    except Interrupted as interrupted:
        return _told(str(interrupted), interrupted.exit_code)
    except GenedError as error:
        if os.environ.get("GENED_DEBUG") == "1":
            raise
        return _told(str(error), exit_code(error))
    except ModuleNotFoundError as error:
        if os.environ.get("GENED_DEBUG") == "1" or (error.name or "").startswith("gened"):
            raise
        return _told(
            f"{error.name} is not installed; `gened check` says what is missing and how to get it", exit_code(error)
        )
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the reader has gone; the interpreter flushes once more at its end
        return 0


def _wrong_usage(error: Exception) -> int:
    """Help where nothing was asked, else what was wrong and where to read more."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message)
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "gened"
    return _told(f"{message.rstrip('.')}; see {path} --help", 2)


def _told(message: str, code: int) -> int:
    print(f"gened: {' '.join(message.split())}", file=sys.stderr)
    return code
