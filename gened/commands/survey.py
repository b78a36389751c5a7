# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened survey`: a line a frame about a link, then the summary, the plot and the JSON of an experiment on the air."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.commands import options, radio_options
from gened.commands.signals import stop_on_signals

if TYPE_CHECKING:
    from gened.fieldwork.survey import SurveyConfig

N_FRAMES = 20


def survey(
    context: typer.Context,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    send: Annotated[
        list[Path] | None,
        typer.Option(
            "--send", metavar="PHOTO", help="Send this photograph too; repeatable. Without, somebody else sends.",
            show_default=False,
        ),
    ] = None,
    may_transmit: radio_options.Transmit = False,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference", metavar="PHOTO", help="What somebody else sends, in turn: for PSNR; repeatable.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", min=1, max=65536, help="End after so many.", show_default=f"{N_FRAMES} sent, or listen on"
        ),
    ] = None,
    interval: options.Interval = 0.0,
    caption: options.Caption = None,
    codec: options.CodecName = "",
    rate: options.Rate = Fraction(1, 24),
    snr: options.Snr = 10.0,
    snr_design: options.SnrDesign = None,
    channel: options.Channel = "awgn",
    freq_offset: options.FreqOffset = 2000.0,
    sfo_ppm: options.SfoPpm = 0.0,
    drop: options.Drop = 0.0,
    impair: options.Impair = None,
    max_side: options.MaxSide = None,
    sample_rate: options.SampleRate = 1e6,
    seed: options.Seed = 0,
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
    address: Annotated[str, typer.Option("--address", help="Where the air's samples are.")] = "tcp://127.0.0.1:5551",
    control: radio_options.AirControl = "tcp://127.0.0.1:5553",
    timeout: options.Timeout = 60.0,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for pictures, survey.json, .csv and .png; made if absent.")
    ] = Path("out/survey"),
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Survey a link, a line a frame: SNR, offsets, loss, PSNR; then a summary and a plot. Ctrl-C ends it and keeps all.

    With --radio it listens to a radio, without to the air of `gened air`; with --send it sends the frames itself, over
    the radio or over an air of its own.
    """
    from rich.console import Console

    from gened.fieldwork.survey import run_survey
    from gened.fieldwork.survey_report import line_of, summary_lines, write_survey
    from gened.link.record import KeepConfig
    from gened.monitor.driver_output import drivers_to_stderr

    keep = None if record is None else KeepConfig(path=record)
    common: dict[str, Any] = {
        "context": context, "radio": radio, "set_": set_, "sample_rate": sample_rate, "timeout": timeout, "out": out,
        "keep": keep, "max_side": max_side, "codec": codec,
    }  # fmt: skip
    if send:
        simulated = options.channel_config(
            channel, snr_db=snr, freq_offset_hz=freq_offset, sfo_ppm=sfo_ppm, drop=drop, seed=seed, impair=impair
        )
        config = _sending(
            **common, photos=tuple(send), may_transmit=may_transmit, frames=frames or N_FRAMES, interval=interval,
            captions=options.all_captions(caption, None), rate=rate, simulated=simulated, seed=seed,
            snr_design=snr if snr_design is None else snr_design,
        )  # fmt: skip
    else:
        config = _listening(
            **common, recording=from_, frames=frames, references=tuple(reference or ()), address=address,
            control=control,
        )  # fmt: skip
    console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    with stop_on_signals() as stop:
        with drivers_to_stderr(), console.status("survey; Ctrl-C ends it and keeps what came"):
            result = run_survey(config, stop=stop, on_row=lambda row: say(line_of(row)), on_state=say)
        told = write_survey(out, result, sys.argv, seed=seed)
        if json_only:
            print(json.dumps(told, indent=1))
        else:
            files = [str(out / name) for name in ("survey.png", "survey.csv", "survey.json") if (out / name).is_file()]
            for line in [*summary_lines(told["summary"]), *files]:
                typer.echo(line)
    if result.failure is not None:
        raise result.failure


def _listening(
    *, context: typer.Context, radio: str, set_: list[str] | None, sample_rate: float, timeout: float, out: Path,
    keep: Any, max_side: int | None, codec: str, recording: Path | None, frames: int | None,
    references: tuple[Path, ...], address: str, control: str,
) -> SurveyConfig:  # fmt: skip
    """Somebody else sends, or has sent."""
    from gened.fieldwork.survey import SurveyConfig
    from gened.link.receive import ReceiveConfig

    if codec:
        options.require_codec(codec)
    hardware = radio_options.chosen_radio(context, radio, set_, sample_rate)
    recorded = None if recording is None else radio_options.recorded(context, recording)
    receive = ReceiveConfig(
        radio=recorded or radio_options.clocked(hardware, "rx", False),
        keep=keep,
        address=radio_options.address_of(context, hardware, "rx", address),
        control=control,
        sample_rate=recorded.sample_rate if recorded else sample_rate if hardware is None else hardware.sample_rate,
        out=out,
        n_frames=frames,
        timeout_s=timeout,
        codecs=(codec,) if codec else (),
        argv=tuple(sys.argv),
    )
    return SurveyConfig(receive=receive, references=references, max_side=max_side)


def _sending(
    *, context: typer.Context, radio: str, set_: list[str] | None, sample_rate: float, timeout: float, out: Path,
    keep: Any, max_side: int | None, codec: str, photos: tuple[Path, ...], may_transmit: bool, frames: int,
    interval: float, captions: tuple[str, ...], rate: Fraction, simulated: Any, seed: int, snr_design: float,
) -> SurveyConfig:  # fmt: skip
    """This command sends too: over the radio, or over an air of its own."""
    from gened.fieldwork.survey import SurveyConfig
    from gened.link.air import AirConfig
    from gened.link.control import free_ports
    from gened.link.loopback import LoopbackConfig
    from gened.link.radio_link import radio_link
    from gened.link.receive import ReceiveConfig
    from gened.link.transmit import TransmitConfig

    codec = options.default_codec(codec)
    options.require_codec(codec)
    options.require_text(captions, "", "auto")
    hardware = radio_options.chosen_radio(context, radio, set_, sample_rate)
    link = None
    if hardware is not None and hardware.driver != "zeromq":
        radio_options.require_no_air(context, hardware.name)
        link = radio_link(hardware, may_transmit=may_transmit)
    tx, rx, tx_control, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    air = AirConfig(
        channel=simulated, sample_rate=sample_rate, tx_address=tx, tx_control=tx_control, rx_address=rx,
        rx_control=rx_control,
    )  # fmt: skip
    transmit = TransmitConfig(
        photos=photos, n_frames=frames, captions=captions, codec=codec, rate=rate, snr_design_db=snr_design, seed=seed,
        interval_s=interval, max_side=max_side, address=tx, control=tx_control, timeout_s=timeout,
    )  # fmt: skip
    receive = ReceiveConfig(address=rx, control=rx_control, timeout_s=timeout, codecs=(codec,), keep=keep)
    return SurveyConfig(
        link=LoopbackConfig(
            transmit=transmit, receive=receive, air=air if link is None else None, radio=link, out=out,
            argv=tuple(sys.argv), seed=seed,
        )
    )  # fmt: skip
