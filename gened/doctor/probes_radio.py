# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of a radio, each in a process of its own; see `probe`. They do not transmit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from gened.doctor.limits import Ranges, SideLimits
from gened.hw_config.profile import HardwareProfile

SETTLE_S = 1.0
"""What a driver needs until its samples come evenly."""
LOOK_S = 0.2
START_S = 8.0
PLUTO_RATES = (520_833.0, 61.44e6)
"""Sample rates of an AD936x, with the filter that pyadi-iio loads for the low ones and without it; the radio reports
those of its present state only."""


def iio_context(uri: str) -> dict[str, Any]:
    """Attributes of a libiio context."""
    import iio

    from gened.hw_config.profile import VIRTUAL_MARK

    context = iio.Context(uri)
    if context.find_device("ad9361-phy") is None:
        raise RuntimeError(f"it is no Pluto: its devices are {', '.join(device.name for device in context.devices)}")
    attributes = context.attrs
    return {
        "model": attributes.get("hw_model", "a device with an AD936x"),
        "firmware": attributes.get("fw_version", ""),
        "serial": attributes.get("hw_serial", ""),
        "is_virtual": attributes.get(VIRTUAL_MARK) == "1",
    }


def limits(profile: dict[str, Any], side: str) -> dict[str, Any]:
    """What one side of a profile's radio can do, as `SideLimits.plain`.

    Args:
        profile: `HardwareProfile` as plain values.
        side: `rx` or `tx`.
    """
    hardware = HardwareProfile.model_validate(profile)
    makers: dict[str, Callable[[HardwareProfile, str], SideLimits]] = {
        "iio": _pluto_limits, "uhd": _usrp_limits, "soapy": _soapy_limits,
    }  # fmt: skip
    return makers[hardware.driver](hardware, side).plain()


def _pluto_limits(hardware: HardwareProfile, side: str) -> SideLimits:
    import iio

    context = iio.Context(hardware.rx_address if side == "rx" else hardware.tx_address)
    phy = context.find_device("ad9361-phy")
    if phy is None:
        raise RuntimeError("the device has no ad9361-phy, so it is no Pluto")
    is_output = side == "tx"
    channel = phy.find_channel("voltage0", is_output)
    oscillator = phy.find_channel("altvoltage1" if is_output else "altvoltage0", True)

    def span(owner: Any, name: str) -> Ranges:
        return bracketed(owner.attrs[name].value) if name in owner.attrs else []

    return SideLimits(
        sample_rate=[PLUTO_RATES], center_freq=span(oscillator, "frequency_available"),
        gain_db=span(channel, "hardwaregain_available"), bandwidth=span(channel, "rf_bandwidth_available"),
        antennas=[],
    )  # fmt: skip


def bracketed(text: str) -> Ranges:
    """A range as Linux writes it, `[lowest step highest]`; empty where it is none."""
    match = re.fullmatch(r"\[(\S+) \S+ (\S+)\]", text.strip())
    return [] if match is None else [(float(match[1]), float(match[2]))]


def _usrp_limits(hardware: HardwareProfile, side: str) -> SideLimits:
    from gnuradio import uhd

    address = hardware.rx_address if side == "rx" else hardware.tx_address
    arguments = ",".join(text for text in (address, hardware.device_args) if text)
    channel = (hardware.rx if side == "rx" else hardware.tx).channel
    stream = uhd.stream_args(cpu_format="fc32", channels=[channel])
    block = uhd.usrp_source(arguments, stream) if side == "rx" else uhd.usrp_sink(arguments, stream)

    def ranges(meta: Any) -> Ranges:
        return [(float(part.start()), float(part.stop())) for part in meta]

    return SideLimits(
        sample_rate=ranges(block.get_samp_rates()), center_freq=ranges(block.get_freq_range(0)),
        gain_db=[(float(block.get_gain_range(0).start()), float(block.get_gain_range(0).stop()))],
        bandwidth=ranges(block.get_bandwidth_range(0)), antennas=list(block.get_antennas(0)),
    )  # fmt: skip


def _soapy_limits(hardware: HardwareProfile, side: str) -> SideLimits:
    from gnuradio import soapy

    part = hardware.rx if side == "rx" else hardware.tx
    address = hardware.rx_address if side == "rx" else hardware.tx_address
    make = soapy.source if side == "rx" else soapy.sink
    block = make(address, "fc32", part.channel + 1, hardware.device_args, "", [""], [""])

    def ranges(found: Any) -> Ranges:
        parts = found if isinstance(found, list | tuple) else [found]
        return [(float(one.minimum()), float(one.maximum())) for one in parts]

    return SideLimits(
        sample_rate=ranges(block.get_sample_rate_range(part.channel)),
        center_freq=ranges(block.get_frequency_range(part.channel)),
        gain_db=ranges(block.get_gain_range(part.channel)),
        bandwidth=ranges(block.get_bandwidth_range(part.channel)), antennas=list(block.list_antennas(part.channel)),
    )  # fmt: skip


def rate(profile: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Receives for some seconds as `gened receive` would, and counts.

    Returns:
        `n_samples` in `seconds`, `cpu_share` of a core, `events` by letter, `n_full_scale`, and the level in dB.
    """
    from gnuradio import gr

    from gened.flowgraphs.radios.profiles import radio_profile
    from gened.flowgraphs.radios.registry import make_source
    from gened.gr_blocks.signal_probe import signal_probe

    chosen = radio_profile(HardwareProfile.model_validate(profile), "rx")
    top = gr.top_block("gened doctor", catch_exceptions=True)
    source, counter = make_source(chosen), signal_probe(chosen.sample_rate)
    top.connect(source, counter)
    top.start()
    try:
        _wait_for_samples(counter)
        _spend(SETTLE_S, source.poll)
        events_before = source.events.counts()
        begin_s, n_before, cpu_before_s = time.monotonic(), counter.n_samples, time.process_time()
        clipped_before = counter.n_full_scale
        _spend(seconds, source.poll)
        elapsed_s = time.monotonic() - begin_s
        level = counter.level()
        return {
            "n_samples": counter.n_samples - n_before, "seconds": elapsed_s,
            "cpu_share": (time.process_time() - cpu_before_s) / elapsed_s,
            "events": {letter: n - events_before.get(letter, 0) for letter, n in source.events.counts().items()},
            "n_full_scale": counter.n_full_scale - clipped_before,
            "mean_db": None if level is None else level.mean_db,
            "floor_db": None if level is None else level.floor_db,
        }  # fmt: skip
    finally:
        top.stop()
        top.wait()


def _wait_for_samples(counter: Any) -> None:
    deadline_s = time.monotonic() + START_S
    while counter.n_samples == 0:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the radio is there, but gives no samples within {START_S:g} s")
        time.sleep(0.02)


def _spend(seconds: float, poll: Callable[[], None]) -> None:
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        poll()
        time.sleep(min(LOOK_S, left_s))
