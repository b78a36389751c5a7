# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of `transmit` and `receive` that choose a radio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gened.errors import ConfigError

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.gr_blocks.phy.channel.config import ChannelConfig
    from gened.hw_config.profile import HardwareProfile
    from gened.link.radio_link import RadioLink

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
SampleRate = Annotated[float, typer.Option("--sample-rate", min=1e3, max=1e9, help="Samples per second.")]
AirSamples = Annotated[
    str, typer.Option("--address", help="Where the air's samples are; nobody else receives them then.")
]
AirControl = Annotated[str, typer.Option("--control", help="Where the air tells its state.")]
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
    from gened.hw_config.profile import load_profile

    hardware = load_profile(name, _overrides(context, settings, sample_rate))
    given = [option for option in ("address", "control") if was_given(context, option)]
    if given and hardware.driver != "zeromq":
        raise ConfigError(f"--{given[0]} is for the air; with {hardware.name} write --set address=...")
    return hardware


def _overrides(context: typer.Context, settings: Sequence[str] | None, sample_rate: float) -> dict[str, str]:
    from gened.hw_config.profile import parse_overrides

    overrides = parse_overrides(settings or ())
    if was_given(context, "sample_rate"):
        overrides["sample_rate"] = repr(sample_rate)
    return overrides


def clocked(hardware: HardwareProfile | None, side: Literal["tx", "rx"], may_transmit: bool) -> RadioProfile | None:
    """The flowgraph's profile of a radio with a clock of its own; None where the link is ZeroMQ."""
    from gened.flowgraphs.radios.profiles import radio_profile

    if hardware is None:
        return None
    profile = radio_profile(hardware, side, may_transmit=may_transmit)
    return profile if profile.is_clocked else None


NOT_WITH_A_RADIO = ("port", "tap", "speed", "drop_burst")
"""Options of the loopback's air."""
NOT_WITH_HARDWARE = ("channel", "freq_offset", "sfo_ppm", "drop", "impair")
"""What nobody can tell a real radio's way."""


def loopback_link(
    context: typer.Context,
    name: str,
    settings: Sequence[str] | None,
    sample_rate: float,
    channel: ChannelConfig,
    may_transmit: bool,
) -> RadioLink | None:
    """What stands in the place of the loopback's air; None where no radio was named.

    Args:
        context: Of the command; it knows which options were given.
        name: Of --radio; empty for none.
        settings: Of --set.
        sample_rate: Of --sample-rate.
        channel: What the channel's options say.
        may_transmit: Of --transmit.

    Raises:
        ConfigError: No such profile, a wrong key or value, or options that say nothing with this radio.
    """
    hardware = chosen_radio(context, name, settings, sample_rate)
    if hardware is None:
        return None
    if hardware.driver == "zeromq":
        raise ConfigError(f"{hardware.name} is no radio: without --radio the loopback has its own air")
    for option in NOT_WITH_A_RADIO + (NOT_WITH_HARDWARE if hardware.is_hardware else ()):
        if was_given(context, option):
            raise ConfigError(f"--{option.replace('_', '-')} sets the simulated air; {hardware.name} has none")
    from gened.link.control import free_ports_in_a_row
    from gened.link.radio_link import radio_link, virtual_link

    if hardware.is_hardware:
        return radio_link(hardware, may_transmit=may_transmit)
    return virtual_link(name, _overrides(context, settings, sample_rate), channel, free_ports_in_a_row(2))


def require_no_air(context: typer.Context, name: str) -> None:
    """Whether no option was given that says nothing where a radio is used as it is.

    Raises:
        ConfigError: One was.
    """
    for option in NOT_WITH_HARDWARE:
        if was_given(context, option):
            raise ConfigError(f"--{option.replace('_', '-')} sets the simulated air; {name} has none")


def recorded(context: typer.Context, path: Path) -> RadioProfile:
    """The flowgraph's profile of a recording, in place of a radio.

    Raises:
        ConfigError: Another source was named too.
        RecordingError: It cannot be read.
    """
    from gened.flowgraphs.radios.profiles import recording_profile

    for option in ("radio", "address", "control", "sample_rate", "until_end"):
        if was_given(context, option):
            raise ConfigError(f"--from reads a recording, so --{option.replace('_', '-')} says nothing; leave it out")
    return recording_profile(path)


def address_of(
    context: typer.Context, hardware: HardwareProfile | None, side: Literal["tx", "rx"], address: str
) -> str:
    """Where samples go: as a ZeroMQ profile says unless the option was given."""
    if hardware is None or hardware.driver != "zeromq" or was_given(context, "address"):
        return address
    return hardware.tx_address if side == "tx" else hardware.rx_address


def listening(
    context: typer.Context,
    name: str,
    settings: Sequence[str] | None,
    sample_rate: float,
    address: str,
    tap: str | None,
) -> RadioProfile:
    """Where a command that only listens has its samples from: a radio, the air, or air's tap.

    Args:
        context: Of the command; it knows which options were given.
        name: Of --radio; empty for none.
        settings: Of --set.
        sample_rate: Of --sample-rate.
        address: Of --address.
        tap: Of --tap.

    Raises:
        ConfigError: No such profile, or options that go with another link.
    """
    from gened.flowgraphs.radios.profiles import RadioProfile

    hardware = chosen_radio(context, name, settings, sample_rate)
    if tap is not None and hardware is not None:
        raise ConfigError("--tap is air's and --radio is another source; leave one of them out")
    return clocked(hardware, "rx", False) or RadioProfile(
        kind="zeromq" if tap is None else "tap",
        address=tap or address_of(context, hardware, "rx", address),
        sample_rate=sample_rate if hardware is None else hardware.sample_rate,
    )


def was_given(context: typer.Context, option: str) -> bool:
    """Whether an option stands on the command line, by its parameter's name."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
