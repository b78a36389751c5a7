# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened virtual-pluto`: a Pluto, or two, for any client of libiio, without the hardware."""

from __future__ import annotations

from typing import Annotated

import typer

from gened.commands import options
from gened.commands.generated import Given, from_records
from gened.commands.signals import stop_on_signals
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.option_fields import Options


@from_records
def virtual_pluto(
    channel: Annotated[Given[ChannelConfig], Options(without=("freq_offset_hz", "erasure"), defaults={"snr_db": 30.0})],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of the first Pluto.")] = 30431,
    pair: Annotated[
        bool, typer.Option("--pair", help="A second Pluto at the next port; each hears the other and not itself.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="Listen here; 0.0.0.0 is all the network.")] = "127.0.0.1",
    freq_offset_ppm: Annotated[
        float, typer.Option("--freq-offset-ppm", help="By which a receiver hears its sender's carrier too high, ppm.")
    ] = 0.0,
    impair: options.Impair = None,
    quiet: options.Quiet = False,
) -> None:
    """A Pluto that is not there: iio_info, adi.Pluto and GNU Radio find it as ip:127.0.0.1. Ends with Ctrl-C."""
    from rich.console import Console

    from gened.virtual_pluto.air import AirConfig
    from gened.virtual_pluto.server import ServerConfig, serve

    simulated = options.channel_config(channel, impair)
    config = ServerConfig(
        host=host,
        port=port,
        is_pair=pair,
        air=AirConfig(
            channel=simulated,
            freq_offset_ppm=freq_offset_ppm,
        ),
    )
    console = Console(stderr=True, quiet=quiet, highlight=False)

    def tell(uris: list[str]) -> None:
        console.print(
            f"virtual Pluto: {' and '.join(uris)}; {simulated.kind}, {simulated.snr_db:g} dB SNR; Ctrl-C ends it"
        )

    with stop_on_signals() as stop:
        serve(config, stop=stop, on_ready=tell)
