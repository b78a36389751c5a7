# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of `transmit` and `receive` that choose a radio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gened.gr_blocks.phy.errors import ConfigError

if TYPE_CHECKING:
    from gened.flowgraphs.profiles import RadioProfile
    from gened.hw_config.profile import HardwareProfile

Radio = Annotated[
    str,
    typer.Option(
        "--radio",
        metavar="NAME_OR_FILE",
        help="A profile from hw_config (pluto, usrp-b200, ...) or a .yaml file; see docs/radios.md.",
        show_default="the air at --address",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the radio's profile; repeatable.", show_default=False
    ),
]
Transmit = Annotated[
    bool,
    typer.Option(
        "--transmit", help="A hardware radio may transmit: attenuators or a load are connected, the law allows it."
    ),
]


def chosen_radio(
    context: typer.Context, name: str, settings: Sequence[str] | None, sample_rate: float
) -> HardwareProfile | None:
    """The radio that the command line names, with what it sets.

    Args:
        context: Of the command; it knows which options were given.
        name: Of --radio; empty for none.
        settings: Of --set.
        sample_rate: Of --sample-rate, which counts as --set sample_rate where it was given.

    Raises:
        ConfigError: No such profile, a wrong key or value, or options that go with another link.
    """
    if not name:
        if settings:
            raise ConfigError("--set changes a radio's profile; add --radio NAME_OR_FILE")
        return None
    from gened.hw_config.profile import load_profile, parse_overrides

    overrides = parse_overrides(settings or ())
    if _was_given(context, "sample_rate"):
        overrides["sample_rate"] = repr(sample_rate)
    hardware = load_profile(name, overrides)
    given = [option for option in ("address", "control") if _was_given(context, option)]
    if given and hardware.driver != "zeromq":
        raise ConfigError(f"--{given[0]} is for the air; with {hardware.name} write --set address=...")
    return hardware


def clocked(hardware: HardwareProfile | None, side: Literal["tx", "rx"], may_transmit: bool) -> RadioProfile | None:
    """The flowgraph's profile of a radio with a clock of its own; None where the link is ZeroMQ."""
    from gened.flowgraphs.profiles import radio_profile

    if hardware is None:
        return None
    profile = radio_profile(hardware, side, may_transmit=may_transmit)
    return profile if profile.is_clocked else None


def address_of(
    context: typer.Context, hardware: HardwareProfile | None, side: Literal["tx", "rx"], address: str
) -> str:
    """Where samples go: as a ZeroMQ profile says unless the option was given."""
    if hardware is None or hardware.driver != "zeromq" or _was_given(context, "address"):
        return address
    return hardware.tx_address if side == "tx" else hardware.rx_address


def _was_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
