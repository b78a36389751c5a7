# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened loopback`: transmitter, air or a radio, and receiver on this machine, from photographs to a report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gened.commands import options, radio_options
from gened.commands.generated import Given, from_records
from gened.commands.gnuradio_options import NoGnuRadio, is_without_gnuradio
from gened.commands.signals import stop_on_signals
from gened.link.config import AirConfig, LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.option_fields import Options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table

    from gened.link.children import Role
    from gened.link.events import LinkEvent
    from gened.monitor.live_figures import Figures
    from gened.reports.report import FrameReport, Report

N_ADDRESSES = 4
MAX_ROWS = 24
"""Frames in the table on a terminal; the report has all."""
WIDE = 110
"""Columns of a terminal that shows all figures."""


@from_records
def loopback(
    context: typer.Context,
    config: Annotated[Given[LoopbackConfig], Options(defaults={"out": Path("out/loopback")})],
    transmit: Annotated[
        Given[TransmitConfig],
        Options(
            without=("address", "control", "out"),
            defaults={"codec": "", "encode.snr_db": None, "timeout_s": 60.0},
            shown_defaults={"codec": options.BEST_CODEC, "encode.snr_db": "that of --snr"},
        ),
    ],
    air: Annotated[
        Given[AirConfig],
        Options(
            without=("channel.erasure", "tx_address", "tx_control", "rx_address", "rx_control"),
            defaults={"channel.freq_offset_hz": 2000.0},
        ),
    ],
    receive: Annotated[
        Given[ReceiveConfig],
        Options(
            without=("out", "n_frames", "until_end", "codecs", "codec_options", "sample_rate", "address", "control"),
            defaults={"edit.editor": "", "edit.device": ""},
        ),
    ],
    impair: options.Impair = None,
    numpy: options.Numpy = False,
    caption_file: options.CaptionFile = None,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    may_transmit: radio_options.Transmit = False,
    no_gnuradio: NoGnuRadio = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1024,
            max=65532,
            help="First of the four ports on this machine.",
            show_default="four that are free",
        ),
    ] = None,
    live: options.Live = "line",
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Send photographs to this machine itself: transmitter, air and receiver, three processes over ZMQ.

    With --radio they go through a radio: a real one, which needs --transmit, or a virtual Pluto that is started for the
    run. With --no-gnuradio both ends compute with NumPy alone, and nothing else changes.

    Leaves sent.png, received.png, side_by_side.png, constellation.png and report.json; where the codec tells the
    receiver what is important, mask.png too.
    """
    from rich.console import Console

    from gened.link.loopback import run_loopback

    without_gnuradio = is_without_gnuradio(context, no_gnuradio)
    simulated = options.channel_config(air["channel"], impair)
    design_db = transmit["encode"]["snr_db"]
    tx, rx, tx_control, rx_control = _addresses(port)
    sending = options.transmit_config(
        transmit,
        is_numpy=numpy,
        caption_file=caption_file,
        without_gnuradio=without_gnuradio,
        encode=transmit["encode"].make(snr_db=simulated.snr_db if design_db is None else design_db),
        address=tx,
        control=tx_control,
    )
    link = radio_options.loopback_link(context, radio, set_, air["sample_rate"], simulated, may_transmit)
    emulator = None
    if link is None:
        emulator = air.make(
            channel=simulated, tx_address=tx, tx_control=tx_control, rx_address=rx, rx_control=rx_control
        )
    receiving = receive.make(
        address=rx,
        control=rx_control,
        until_end=True,
        codecs=(sending.codec,),
        codec_options=sending.codec_options,
        live_s=options.live_s(live, has_json=json_only),
        edit=options.edit_config(receive["edit"]),
        without_gnuradio=without_gnuradio,
    )
    chosen = config.make(transmit=sending, air=emulator, radio=link, receive=receiving, argv=tuple(sys.argv))
    console = Console(stderr=True, quiet=quiet, highlight=False)
    if link is not None and link.tx.hardware is not None:
        console.print(f"{link.tx.hardware.name}: {link.tx.hardware.law.strip()}", soft_wrap=True)
    progress = _Progress(console, chosen.transmit.n_frames_in_all, has_live_json=live == "json")
    with stop_on_signals() as stop, progress:
        report = run_loopback(chosen, stop=stop, on_progress=progress.take)
    if json_only:
        from gened.reports.report import report_text

        print(report_text(report))
    else:  # what is printed line by line is not to end in a table
        _print_result(console if live == "json" else Console(), report, chosen.out)


def _addresses(port: int | None) -> tuple[str, str, str, str]:
    """Samples to and from the air, control of transmitter and receiver.

    Raises:
        PortInUseError: One of the ports that were asked for is in use.
    """
    from gened.link.control import free_ports, require_free

    ports = free_ports(N_ADDRESSES) if port is None else list(range(port, port + N_ADDRESSES))
    tx, rx, tx_control, rx_control = (f"tcp://127.0.0.1:{number}" for number in ports)
    for address in (tx, rx, tx_control, rx_control):
        require_free(address)
    return tx, rx, tx_control, rx_control


class _Progress:
    """On a terminal two bars, frames sent and frames received, and under them the figures of the link as they are."""

    def __init__(self, console: Console, n_frames: int, *, has_live_json: bool) -> None:
        from rich.console import RenderableType
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        class Bars(Progress):
            line = ""

            def get_renderables(self) -> Iterable[RenderableType]:
                yield from super().get_renderables()
                if self.line:
                    yield options.one_line(self.line)

        self._has_live_json = has_live_json
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=console.quiet or not console.is_terminal)
        self._tasks: dict[str, TaskID] = {
            side: self._bars.add_task(f"{side}: starts", total=n_frames) for side in ("transmit", "receive")
        }

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def take(self, role: Role, event: LinkEvent) -> None:
        """Shows an event of a role: faults of the link as lines, the rest in the bars."""
        from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
        from gened.link.events import Notice
        from gened.monitor.live_figures import Figures

        if isinstance(event, Notice):
            self._bars.console.print(event.line, soft_wrap=True, highlight=False, markup=False)
        elif isinstance(event, Figures):
            self._show(event)
        if role in self._tasks:
            n_frames = 1 if isinstance(event, SentFacts | FrameFacts) else 0
            self._bars.update(self._tasks[role], description=role, advance=n_frames)

    def _show(self, figures: Figures) -> None:
        from gened.monitor.live_figures import line

        if self._has_live_json:
            print(json.dumps(dataclasses.asdict(figures)), flush=True)
        else:
            self._bars.line = line(figures)


def _print_result(console: Console, report: Report, out: Path) -> None:
    console.print(_table(report.frames, console.width))
    n_received = sum(frame.received is not None for frame in report.frames)
    n_texts = sum(frame.crc_ok is True for frame in report.frames)
    n_with_text = sum(frame.crc_ok is not None for frame in report.frames)
    console.print(
        f"{n_received} of {len(report.frames)} frames received, {n_texts} of {n_with_text} captions whole",
        highlight=False,
    )
    for name in (
        "sent.png",
        "received.png",
        "edited.png",
        "mask.png",
        "side_by_side.png",
        "constellation.png",
        "report.json",
    ):
        if (out / name).is_file():
            console.print(str(out / name), soft_wrap=True, highlight=False, markup=False)


def _table(frames: list[FrameReport], width: int) -> Table:
    """One frame a row; on a narrow terminal fewer figures, but none of them cut."""
    from rich.table import Table

    columns: dict[str, Callable[[FrameReport], str]] = {
        "frame": lambda frame: str(frame.frame),
        "PSNR dB": lambda frame: _text(frame.psnr_db, ".2f"),
        "MS-SSIM": lambda frame: _text(frame.ms_ssim, ".4f"),
        "SNR dB": lambda frame: _text(frame.snr_est_db, ".1f"),
        "offset Hz": lambda frame: _text(frame.cfo_est_hz, ".0f"),
        "lost %": lambda frame: _text(frame.erased_fraction, ".1f", 100),
    }
    if width >= WIDE:
        columns |= {
            "symbols": lambda frame: _text(frame.payload_symbols, "d"),
            "airtime ms": lambda frame: _text(frame.airtime_s, ".1f", 1000),
            "enc/dec ms": lambda frame: f"{_text(frame.encode_ms, '.0f')}/{_text(frame.decode_ms, '.0f')}",
        }
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    table.add_column("caption", overflow="ellipsis", no_wrap=True, max_width=40)
    for frame in frames[:MAX_ROWS]:
        table.add_row(*(value(frame) for value in columns.values()), _caption(frame))
    if len(frames) > MAX_ROWS:
        table.add_row("...")
    return table


def _caption(frame: FrameReport) -> str:
    if frame.received is None:
        return "[red]lost[/]"
    from rich.markup import escape

    if frame.crc_ok is False:
        return "[red]CRC failed[/]" + (f" {escape(frame.caption_partial)}" if frame.caption_partial else "")
    return escape(frame.caption or "") or "-"


def _text(value: float | int | None, pattern: str, factor: int = 1) -> str:
    return "-" if value is None else f"{value * factor:{pattern}}"
