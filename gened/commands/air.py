# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened air`: the channel between a transmitter and receivers, as a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options
from gened.commands.signals import stop_on_signals

if TYPE_CHECKING:
    from gened.link.control import Status


def air(
    snr: options.Snr = 10.0,
    channel: options.Channel = "awgn",
    freq_offset: options.FreqOffset = 2000.0,
    sfo_ppm: options.SfoPpm = 0.0,
    drop: options.Drop = 0.0,
    drop_burst: options.DropBurst = None,
    impair: options.Impair = None,
    sample_rate: options.SampleRate = 1e6,
    speed: options.Speed = 1.0,
    seed: options.Seed = 0,
    tx: Annotated[str, typer.Option("--tx", help="Where the transmitter's samples are.")] = "tcp://127.0.0.1:5550",
    tx_control: Annotated[
        str, typer.Option("--tx-control", help="Where the transmitter's control socket is.")
    ] = "tcp://127.0.0.1:5552",
    rx: Annotated[
        str, typer.Option("--rx", help="Listen here for the receiver's samples socket.")
    ] = "tcp://127.0.0.1:5551",
    rx_control: Annotated[
        str, typer.Option("--rx-control", help="Listen here for control sockets of receivers.")
    ] = "tcp://127.0.0.1:5553",
    tap: Annotated[
        str | None,
        typer.Option(
            "--tap",
            metavar="ADDRESS",
            help="Publish the samples here too, for those who only look.",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """The air: noise all the time, and whatever the transmitter sends, as the channel leaves it. Ends with Ctrl-C."""
    from rich.console import Console

    from gened.link.air import AirConfig, run_air

    config = AirConfig(
        channel=options.channel_config(
            channel, snr_db=snr, freq_offset_hz=freq_offset, sfo_ppm=sfo_ppm, drop=drop, seed=seed, impair=impair
        ),
        sample_rate=sample_rate,
        tx_address=tx,
        tx_control=tx_control,
        rx_address=rx,
        rx_control=rx_control,
        tap=tap,
        speed=speed,
        drop_bursts=frozenset(drop_burst or ()),
    )
    console = Console(stderr=True, quiet=quiet, highlight=False)
    with stop_on_signals() as stop, console.status(f"air: {channel}, {snr:g} dB SNR; Ctrl-C ends it") as line:
        run_air(config, stop=stop, on_status=lambda status: line.update(_told(status)))


def _told(status: Status) -> str:
    """One line that changes, on a terminal."""
    return (
        f"air: {status.channel}, {status.snr_db:g} dB SNR; {status.samples / 1e6:.1f} Msamples, "
        f"{status.bursts} bursts, {status.dropped_bursts} of them dropped, "
        f"{status.unread_samples / 1e6:.1f} Msamples unread; Ctrl-C ends it"
    )
