# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `gened`: its subcommands, one file each, and the one place that prints errors and chooses exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from gened import __version__
from gened.commands.exit_codes import epilog, exit_code
from gened.commands.signals import Interrupted, raise_on_signals
from gened.errors import GenedError
from gened.paths import use_a_home
from gened.threads import wait_passively

FILE_ERRORS = (
    errno.EACCES, errno.EDQUOT, errno.EISDIR, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""Errors of the system that a user's files or disk cause. Those of sockets are faults of this program."""
LINK = "The link"
CODECS = "Codecs"
TOOLS = "Tools"


class Entry(NamedTuple):
    """A subcommand in the list of `gened --help`."""

    name: str
    panel: str

    @property
    def word(self) -> str:
        """Its module in `gened.commands`, and the function or group there."""
        return self.name.replace("-", "_")

    @property
    def summary(self) -> str:
        """First paragraph of its help, read from the source: an import of all commands would take longer."""
        source = (Path(__file__).parent / "commands" / f"{self.word}.py").read_text(encoding="utf-8")
        function, group = source.find(f"\ndef {self.word}("), source.find(f"\n{self.word} = typer.Typer(")
        opening, closing = ('"""', '"""') if function >= 0 else ('help="', '"')
        begin = source.find(opening, max(function, group)) + len(opening)
        return " ".join(source[begin : source.find(closing, begin)].split("\n\n")[0].split())


COMMANDS = (
    Entry("loopback", LINK),
    Entry("transmit", LINK),
    Entry("air", LINK),
    Entry("receive", LINK),
    Entry("record", LINK),
    Entry("replay", LINK),
    Entry("inspect", LINK),
    Entry("evaluate", CODECS),
    Entry("compare", CODECS),
    Entry("plot", CODECS),
    Entry("train", CODECS),
    Entry("virtual-pluto", TOOLS),
    Entry("doctor", TOOLS),
    Entry("calibrate", TOOLS),
    Entry("survey", TOOLS),
    Entry("companion", TOOLS),
    Entry("check", TOOLS),
    Entry("editor", LINK),
    Entry("data", CODECS),
    Entry("bench", TOOLS),
)


class LazyCommands(dict[str, Any]):
    """The subcommands by name; a module is imported when its command is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self._entries = {entry.name: entry for entry in COMMANDS}

    def __missing__(self, name: str) -> Any:
        entry = self._entries[name]
        target = getattr(importlib.import_module(f"gened.commands.{entry.word}"), entry.word)
        holder = typer.Typer(add_completion=False)
        if isinstance(target, typer.Typer):
            holder.add_typer(target, name=name, epilog=epilog())
            command: Any = typer.main.get_group(holder).commands[name]
        else:
            holder.command(name, epilog=epilog())(target)
            command = typer.main.get_command(holder)
        self[name] = command
        return command

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, default: Any = None) -> Any:
        """The command; the default for an unknown name."""
        return self[name] if name in self._entries else default


class LazyGroup(TyperGroup):
    """`gened` itself: its help lists the subcommands without importing one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands()
        self._is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand; while the help is printed, only its name and summary."""
        if not self._is_listing:
            return self.commands.get(cmd_name)
        entry = next(entry for entry in COMMANDS if entry.name == cmd_name)
        return TyperCommand(entry.name, help=entry.summary, rich_help_panel=entry.panel)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


app = typer.Typer(
    name="gened",
    cls=LazyGroup,
    help="Photographs over GNU Radio, by analogue joint source-channel coding, with a caption beside them.",
    epilog=epilog(),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    wait_passively()
    use_a_home()
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
        if (error.name or "").partition(".")[0] in ("gnuradio", "pmt"):
            from gened.commands.gnuradio_options import REMEDY  # here, so that the help loads no command

            return _told(f"this command needs GNU Radio, which is not installed here; {REMEDY}", exit_code(error))
        return _told(
            f"{error.name} is not installed; `gened check` says what is missing and how to get it", exit_code(error)
        )
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the reader has gone; the interpreter flushes once more at its end
        return 0
    except OSError as error:
        if os.environ.get("GENED_DEBUG") == "1" or error.errno not in FILE_ERRORS:
            raise
        return _told(f"{error.filename or 'a file'} cannot be used: {error.strerror}", 1)


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
