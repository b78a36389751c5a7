# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened transmit`: photographs in, bursts out, as a process of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.gnuradio_options import NoGnuRadio, is_without_gnuradio
from gened.commands.signals import stop_on_signals
from gened.link.config import TransmitConfig
from gened.option_fields import Options

if TYPE_CHECKING:
    from gened.link.events import LinkEvent


@from_records
def transmit(
    context: typer.Context,
    config: Annotated[
        Given[TransmitConfig],
        Options(
            defaults={"codec": ""},
            flags={"encode.snr_db": ("--snr", "--snr-design")},
            shown_defaults={"codec": options.BEST_CODEC},
        ),
    ],
    numpy: options.Numpy = False,
    caption_file: options.CaptionFile = None,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    may_transmit: radio_options.Transmit = False,
    no_gnuradio: NoGnuRadio = False,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Send photographs: encode them and pass the bursts to the air or a radio, then end."""
    from rich.console import Console

    from gened.gr_blocks.pdu.facts import SentFacts
    from gened.link.events import Ended
    from gened.link.transmit import run_transmit
    from gened.monitor.driver_output import drivers_to_stderr

    without_gnuradio = is_without_gnuradio(context, no_gnuradio)
    hardware = radio_options.chosen_radio(context, radio, set_, config["sample_rate"])
    chosen = options.transmit_config(
        config,
        is_numpy=numpy,
        caption_file=caption_file,
        without_gnuradio=without_gnuradio,
        sample_rate=config["sample_rate"] if hardware is None else hardware.sample_rate,
        radio=radio_options.clocked(hardware, "tx", may_transmit),
        address=radio_options.address_of(context, hardware, "tx", config["address"]),
    )
    console = Console(stderr=True, quiet=quiet, highlight=False)
    waits = f"waits for the air at {chosen.address}"
    if hardware is not None and chosen.radio is not None:
        waits = f"sends to {hardware.name}"
        console.print(f"{hardware.name}: {hardware.law.strip()}", soft_wrap=True)
    causes: dict[str, int] = {}

    def on_event(event: LinkEvent) -> None:
        if isinstance(event, Ended):
            causes.update(event.causes)
        else:
            console.print(line_of(event), soft_wrap=True, markup=False)

    with drivers_to_stderr(), stop_on_signals() as stop, console.status(f"transmitter: {waits}"):
        sent = run_transmit(chosen, stop=stop, on_event=on_event)
    if json_only:
        frames = [dict.fromkeys(SentFacts.wire_names()) | facts.to_wire() for facts in sent]
        print(json.dumps({"frames": frames, "causes": causes}, indent=1))


def line_of(event: LinkEvent) -> str:
    """A line about an event of a transmitter."""
    from gened.gr_blocks.pdu.facts import SentFacts
    from gened.link.events import Notice

    if not isinstance(event, SentFacts):
        return event.line if isinstance(event, Notice) else "transmitter: ready"
    if event.error is not None:
        return f"frame {event.frame} not sent"  # the reason is that of the cause, which has a line of its own
    return (
        f"frame {event.frame} sent: {event.analog_symbols} analogue, {event.side_symbols} side "
        f"and {event.caption_symbols} caption symbols in {event.n_bursts or 1} bursts, "
        f"encoded in {event.encode_ms or 0:.0f} ms"
    )
