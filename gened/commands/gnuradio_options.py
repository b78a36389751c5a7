# SPDX-License-Identifier: GPL-3.0-or-later
"""The option --no-gnuradio, and what commands say where GNU Radio is not installed."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from gened.commands.radio_options import was_given
from gened.errors import ConfigError, NoGnuRadioError

NEEDS_GNURADIO = ("radio", "set_", "may_transmit", "record")
"""Options of the link's commands that need the drivers or the blocks of GNU Radio."""

NoGnuRadio = Annotated[
    bool,
    typer.Option("--no-gnuradio", help="NumPy alone in place of GNU Radio's flowgraphs; without a radio."),
]


def is_without_gnuradio(context: typer.Context, no_gnuradio: bool, *, falls_back: bool = False) -> bool:
    """Whether the NumPy chain takes the place of the flowgraphs.

    Args:
        context: Of the command; it knows its name and which options were given.
        no_gnuradio: Of --no-gnuradio.
        falls_back: Whether the NumPy chain is used without the option, too, where GNU Radio is not installed.

    Raises:
        ConfigError: --no-gnuradio, and an option that needs GNU Radio.
        NoGnuRadioError: GNU Radio is not installed, and the command needs it as it was given.
    """
    needing = [f"--{_FLAGS.get(name, name)}" for name in NEEDS_GNURADIO if was_given(context, name)]
    if no_gnuradio and needing:
        raise ConfigError(f"{needing[0]} needs GNU Radio; leave it or --no-gnuradio out")
    if no_gnuradio or has_gnuradio():
        return no_gnuradio
    if needing:
        raise NoGnuRadioError(f"{needing[0]} needs GNU Radio, which is not installed here; {REMEDY}")
    if falls_back:
        return True
    raise NoGnuRadioError(
        f"GNU Radio is not installed here; add --no-gnuradio to `{context.command_path}`, which then does the same "
        "with NumPy alone"
    )


_FLAGS = {"set_": "set", "may_transmit": "transmit"}
REMEDY = "scripts/demo.sh of the repository installs it on Debian 12 and Ubuntu 24.04"


def has_gnuradio() -> bool:
    """Whether GNU Radio's Python modules are there; nothing is loaded."""
    return importlib.util.find_spec("gnuradio") is not None and importlib.util.find_spec("pmt") is not None
