# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened air`: the channel between a transmitter and receivers, as a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from gened.commands import options
from gened.commands.generated import Given, from_records
from gened.commands.signals import stop_on_signals
from gened.link.config import AirConfig
from gened.option_fields import Options

if TYPE_CHECKING:
    from gened.link.control import Status


@from_records
def air(
    config: Annotated[
        Given[AirConfig],
        Options(without=("channel.erasure",), defaults={"channel.freq_offset_hz": 2000.0}),
    ],
    impair: options.Impair = None,
    quiet: options.Quiet = False,
) -> None:
    """The air: noise all the time, and whatever the transmitter sends, as the channel leaves it. Ends with Ctrl-C."""
    from rich.console import Console

    from gened.link.air import run_air

    chosen = config.make(channel=options.channel_config(config["channel"], impair))
    channel = chosen.channel
    console = Console(stderr=True, quiet=quiet, highlight=False)
    what = f"air: {channel.kind}, {channel.snr_db:g} dB SNR; Ctrl-C ends it"
    with stop_on_signals() as stop, console.status(what) as line:
        run_air(chosen, stop=stop, on_status=lambda status: line.update(_told(status)))


def _told(status: Status) -> str:
    """One line that changes, on a terminal."""
    return (
        f"air: {status.channel}, {status.snr_db:g} dB SNR; {status.samples / 1e6:.1f} Msamples, "
        f"{status.bursts} bursts, {status.dropped_bursts} of them dropped, "
        f"{status.unread_samples / 1e6:.1f} Msamples unread; Ctrl-C ends it"
    )
