# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened survey`: one line per frame of a link, then the summary, the plot and the JSON of a field experiment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.signals import stop_on_signals
from gened.fieldwork.config import SurveyConfig
from gened.link.config import AirConfig, KeepConfig, LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.option_fields import Options

if TYPE_CHECKING:
    from gened.gr_blocks.phy.channel.config import ChannelConfig
    from gened.hw_config.profile import HardwareProfile

N_FRAMES = 20


@from_records
def survey(
    context: typer.Context,
    config: Given[SurveyConfig],
    transmit: Annotated[
        Given[TransmitConfig],
        Options(
            without=(
                "photos", "mask", "mask_boxes", "describe", "caption_mode", "station", "n_frames", "address", "control",
                "timeout_s", "out",
            ),
            defaults={"codec": "", "encode.snr_db": None},
            shown_defaults={"codec": options.BEST_CODEC, "encode.snr_db": "that of --snr"},
        ),
    ],
    air: Annotated[
        Given[AirConfig],
        Options(
            without=(
                "channel.erasure", "drop_bursts", "speed", "tap", "tx_address", "tx_control", "rx_address",
                "rx_control",
            ),
            defaults={"channel.freq_offset_hz": 2000.0},
        ),
    ],
    receive: Annotated[
        Given[ReceiveConfig],
        Options(
            without=("n_frames", "until_end", "codecs", "codec_options", "edit"), defaults={"out": Path("out/survey")}
        ),
    ],
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    send: Annotated[
        list[Path] | None,
        typer.Option(
            "--send", metavar="PHOTO",
            help="Send this photograph too; repeatable. Without it, another transmitter sends.", show_default=False,
        ),
    ] = None,
    may_transmit: radio_options.Transmit = False,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", min=1, max=65536, help="End after this number of frames.",
            show_default=f"{N_FRAMES} sent, or listen on",
        ),
    ] = None,
    impair: options.Impair = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.sigmf-meta", help="Survey a recording instead.", show_default=False),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", metavar="FILE.sigmf-meta", help="Keep the samples as a recording too.", show_default=False
        ),
    ] = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Log a link, one line per frame (SNR, offsets, loss, PSNR), then a summary and a plot. Ctrl-C keeps all.

    With --radio it listens to a radio, without to the air of `gened air`; with --send it sends the frames itself, over
    the radio or over an air of its own.
    """
    from rich.console import Console

    from gened.fieldwork.survey import run_survey
    from gened.fieldwork.survey_report import line_of, summary_lines, write_survey
    from gened.monitor.driver_output import drivers_to_stderr

    out = receive["out"]
    keep = None if record is None else KeepConfig(path=record)
    hardware = radio_options.chosen_radio(context, radio, set_, receive["sample_rate"])
    if send:
        simulated = options.channel_config(air["channel"], impair)
        if hardware is not None and hardware.driver != "zeromq":
            radio_options.require_no_air(context, hardware.name)
        sending = _sending_link(
            transmit, air, receive, hardware=hardware, simulated=simulated, photos=tuple(send),
            may_transmit=may_transmit, n_frames=frames or N_FRAMES, keep=keep,
        )  # fmt: skip
        chosen = config.make(link=sending)
    else:
        if transmit["codec"]:
            options.require_codec(transmit["codec"])
        recorded = None if from_ is None else radio_options.recorded(context, from_)
        sample_rate = receive["sample_rate"] if hardware is None else hardware.sample_rate
        listening = receive.make(
            radio=recorded or radio_options.clocked(hardware, "rx", False),
            keep=keep,
            address=radio_options.address_of(context, hardware, "rx", receive["address"]),
            sample_rate=recorded.sample_rate if recorded else sample_rate,
            n_frames=frames,
            codecs=(transmit["codec"],) if transmit["codec"] else (),
            codec_options=transmit["codec_options"],
            argv=tuple(sys.argv),
        )
        chosen = config.make(receive=listening)
    console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    with stop_on_signals() as stop:
        with drivers_to_stderr(), console.status("survey; Ctrl-C ends it and keeps what came"):
            result = run_survey(chosen, stop=stop, on_row=lambda row: say(line_of(row)), on_state=say)
        told = write_survey(out, result, sys.argv, seed=transmit["encode"]["seed"])
        if json_only:
            print(json.dumps(told, indent=1))
        else:
            files = [str(out / name) for name in ("survey.png", "survey.csv", "survey.json") if (out / name).is_file()]
            for line in [*summary_lines(told["summary"]), *files]:
                typer.echo(line)
    if result.failure is not None:
        raise result.failure


def _sending_link(
    transmit: Given[TransmitConfig], air: Given[AirConfig], receive: Given[ReceiveConfig], *,
    hardware: HardwareProfile | None, simulated: ChannelConfig, photos: tuple[Path, ...], may_transmit: bool,
    n_frames: int, keep: KeepConfig | None,
) -> LoopbackConfig:  # fmt: skip
    """The link of a survey that sends its frames itself: over the radio, or over an air of its own."""
    from gened.link.control import free_ports
    from gened.link.radio_link import radio_link

    link = None
    if hardware is not None and hardware.driver != "zeromq":
        link = radio_link(hardware, may_transmit=may_transmit)
    tx, rx, tx_control, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    design_db = transmit["encode"]["snr_db"]
    sending = options.transmit_config(
        transmit, photos=photos, n_frames=n_frames, address=tx, control=tx_control, timeout_s=receive["timeout_s"],
        encode=transmit["encode"].make(snr_db=simulated.snr_db if design_db is None else design_db),
    )  # fmt: skip
    emulator = air.make(channel=simulated, tx_address=tx, tx_control=tx_control, rx_address=rx, rx_control=rx_control)
    receiving = receive.make(
        address=rx, control=rx_control, out=None, codecs=(sending.codec,), codec_options=sending.codec_options,
        keep=keep,
    )  # fmt: skip
    return LoopbackConfig(
        transmit=sending, receive=receiving, air=emulator if link is None else None, radio=link, out=receive["out"],
        argv=tuple(sys.argv), seed=sending.encode.seed,
    )  # fmt: skip
