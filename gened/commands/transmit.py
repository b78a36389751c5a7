# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened transmit`: photographs in, bursts out, as a process of its own."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from gened.commands import options, radio_options
from gened.commands.signals import stop_on_signals


def transmit(
    context: typer.Context,
    photos: options.Photos,
    snr: Annotated[float, typer.Option("--snr", "--snr-design", help="SNR that the sender codes for, dB.")] = 10.0,
    rate: options.Rate = Fraction(1, 24),
    codec: options.CodecName = "",
    numpy: options.Numpy = False,
    mask: options.Mask = None,
    mask_box: options.MaskBox = None,
    focus: options.Focus = None,
    refine: options.Refine = 0,
    side_margin: options.SideMargin = 0.0,
    caption: options.Caption = None,
    caption_file: options.CaptionFile = None,
    captioner: options.CaptionerName = "layout",
    captioner_option: options.CaptionerOption = None,
    caption_bytes: options.CaptionBytes = 106,
    caption_mode: options.CaptionMode = "auto",
    station: options.Station = "",
    frames: options.Frames = None,
    interval: options.Interval = 0.0,
    max_side: options.MaxSide = None,
    sample_rate: options.SampleRate = 1e6,
    seed: options.Seed = 0,
    radio: radio_options.Radio = "",
    set_: radio_options.Set = None,
    may_transmit: radio_options.Transmit = False,
    address: Annotated[
        str, typer.Option("--address", help="Listen here for air's samples socket.")
    ] = "tcp://127.0.0.1:5550",
    control: Annotated[
        str, typer.Option("--control", help="Listen here for air's control socket.")
    ] = "tcp://127.0.0.1:5552",
    timeout: options.Timeout = 30.0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep the pictures as sent here.", show_default=False)
    ] = None,
    json_only: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Send photographs: encode them and pass the bursts to the air or a radio, then end."""
    from rich.console import Console

    from gened.link.transmit import TransmitConfig, run_transmit
    from gened.monitor.driver_output import drivers_to_stderr

    device = options.encoder_device(numpy)
    codec = options.default_codec(codec, device=device)
    options.require_codec(codec)
    captions = options.all_captions(caption, caption_file)
    options.require_text(captions, station, caption_mode)
    hardware = radio_options.chosen_radio(context, radio, set_, sample_rate)
    config = TransmitConfig(
        photos=tuple(photos),
        n_frames=frames,
        captions=captions,
        describe=options.caption_config(
            captioner, chosen=captioner_option, max_bytes=caption_bytes, without_torch=numpy
        ),
        caption_mode=caption_mode,
        station=station,
        codec=codec,
        rate=rate,
        snr_design_db=snr,
        sample_rate=sample_rate if hardware is None else hardware.sample_rate,
        seed=seed,
        interval_s=interval,
        max_side=max_side,
        mask=mask,
        mask_boxes=tuple(options.parse_box(text) for text in mask_box or ()),
        focus=focus,
        refine_steps=refine,
        side_margin_db=side_margin,
        device=device,
        radio=radio_options.clocked(hardware, "tx", may_transmit),
        address=radio_options.address_of(context, hardware, "tx", address),
        control=control,
        timeout_s=timeout,
        out=out,
    )
    console = Console(stderr=True, quiet=quiet, highlight=False)
    waits = f"waits for the air at {config.address}"
    if hardware is not None and config.radio is not None:
        waits = f"sends to {hardware.name}"
        console.print(f"{hardware.name}: {hardware.law.strip()}", soft_wrap=True)
    causes: dict[str, int] = {}

    def hear(facts: dict[str, Any]) -> None:
        causes.update(facts.get("causes") or {})
        if "causes" not in facts:
            console.print(told(facts), soft_wrap=True, markup=False)

    with drivers_to_stderr(), stop_on_signals() as stop, console.status(f"transmitter: {waits}"):
        sent = run_transmit(config, stop=stop, on_frame=hear)
    if json_only:
        print(json.dumps({"frames": sent, "causes": causes}, indent=1, default=str))


def told(facts: dict[str, Any]) -> str:
    """A line about a frame that has left."""
    if facts.get("error"):
        return f"frame {facts.get('frame')}: {facts['error']}"
    if "analog_symbols" not in facts:
        state = str(facts.get("state", "ready"))
        return state if ": " in state else f"transmitter: {state}"  # a cause says where it was seen
    return (
        f"frame {facts['frame']} sent: {facts['analog_symbols']} analogue, {facts['side_symbols']} side "
        f"and {facts['caption_symbols']} caption symbols in {facts.get('n_bursts', 1)} bursts, "
        f"encoded in {facts.get('encode_ms') or 0:.0f} ms"
    )
