# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened receive`: samples in, pictures out, as a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.gnuradio_options import NoGnuRadio, is_without_gnuradio
from gened.commands.signals import stop_on_signals
from gened.errors import DecoderError
from gened.link.config import KeepConfig, ReceiveConfig
from gened.option_fields import Options

if TYPE_CHECKING:
    from gened.gr_blocks.pdu.facts import FrameFacts
    from gened.link.events import LinkEvent


@from_records
def receive(
    context: typer.Context,
    config: Annotated[
        Given[ReceiveConfig],
        Options(defaults={"out": Path("out/received"), "edit.editor": "", "edit.device": ""}),
    ],
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE.sigmf-meta",
            help="Receive from a recording, to its end, as fast as this machine can; it tells its sample rate.",
            show_default=False,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", metavar="FILE.sigmf-meta", help="Keep the samples as a recording too.", show_default=False
        ),
    ] = None,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    no_gnuradio: NoGnuRadio = False,
    live: options.Live = "line",
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Receive pictures: find the bursts among the samples, decode them, write the pictures. Ends with Ctrl-C."""
    from rich.console import Console

    from gened.gr_blocks.pdu.facts import FrameFacts
    from gened.link.events import Ended
    from gened.link.link_errors import require_picture
    from gened.link.receive import run_receive
    from gened.monitor.driver_output import drivers_to_stderr
    from gened.monitor.live_figures import Figures, line

    for name in config["codecs"]:
        options.require_codec(name)
    without_gnuradio = is_without_gnuradio(context, no_gnuradio, falls_back=from_ is not None)
    sample_rate = config["sample_rate"]
    hardware = radio_options.chosen_radio(context, radio, set_, sample_rate)
    recorded = None if from_ is None else radio_options.recorded(context, from_)
    chosen = config.make(
        radio=recorded or radio_options.clocked(hardware, "rx", False),
        keep=None if record is None else KeepConfig(path=record),
        address=radio_options.address_of(context, hardware, "rx", config["address"]),
        sample_rate=recorded.sample_rate if recorded else sample_rate if hardware is None else hardware.sample_rate,
        edit=options.edit_config(config["edit"]),
        without_gnuradio=without_gnuradio,
        live_s=options.live_s(live, has_json=json_only),
        argv=tuple(sys.argv),
    )
    place = chosen.address if hardware is None or chosen.radio is None else hardware.name
    place = place if from_ is None else str(from_)
    console = Console(stderr=True, quiet=quiet, highlight=False)
    causes: dict[str, int] = {}

    def on_event(event: LinkEvent) -> None:
        if isinstance(event, Ended):
            causes.update(event.causes)
        elif not isinstance(event, Figures):
            console.print(line_of(event), soft_wrap=True, markup=False)
        elif live != "json":
            status.update(options.one_line(line(event)))
        else:  # to a stdout of its own: that of the drivers goes to stderr meanwhile
            try:
                print(json.dumps(dataclasses.asdict(event)), file=stdout, flush=True)
            except BrokenPipeError:
                stop.set()  # the reader has gone: end in order, a recording above all

    with (
        contextlib.nullcontext(sys.stdout) if live != "json" else os.fdopen(os.dup(1), "w") as stdout,
        drivers_to_stderr(),
        stop_on_signals() as stop,
        console.status(options.one_line(f"receiver: listens to {place}; Ctrl-C ends it")) as status,
    ):
        received = run_receive(chosen, stop=stop, on_event=on_event)
    if json_only:
        frames = [dict.fromkeys(FrameFacts.wire_names()) | facts.to_wire() for facts in received]
        print(json.dumps({"frames": frames, "causes": causes}, indent=1))
    require_picture(received)


def line_of(event: LinkEvent) -> str:
    """A line about an event of a receiver."""
    from gened.gr_blocks.pdu.facts import FrameFacts
    from gened.link.events import Notice

    if isinstance(event, FrameFacts):
        return _line_of_frame(event)
    return event.line if isinstance(event, Notice) else "receiver: ready"


def _line_of_frame(facts: FrameFacts) -> str:
    if facts.error_code == DecoderError.code:
        return f"frame {facts.frame}: no picture"  # the reason is that of the cause, which has a line of its own
    if facts.error is not None:
        return f"frame {facts.frame}: {facts.error}"
    partial = facts.caption_partial
    text = {
        True: f'caption "{facts.caption or ""}"',
        False: "caption lost" if partial is None else f'caption damaged: "{partial}"',
        None: "no caption",
    }[facts.crc_ok]
    figures = [
        f"{value:{pattern}} {unit}"
        for value, pattern, unit in ((facts.snr_est_db, ".1f", "dB SNR"), (facts.cfo_est_hz, ",.0f", "Hz offset"))
        if value is not None
    ]
    return ", ".join([f"frame {facts.frame} received", *figures, text])
