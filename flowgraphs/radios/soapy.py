# SPDX-License-Identifier: GPL-3.0-or-later
"""Kind `soapy`: all other radios, through gr-soapy and the installed SoapySDR drivers."""

from __future__ import annotations

from typing import Any

from gened.flowgraphs.radios.common import (
    chosen_gain,
    hardware_of,
    label_of,
    link_errors,
    require_choice,
    require_driver,
    require_freq,
    require_gain,
    require_rate,
    require_transmit,
)
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.flowgraphs.radios.radio_sink import GainRange, radio_sink
from gened.flowgraphs.radios.registry import sink_kind, source_kind
from gened.flowgraphs.radios.wrapped import wrapped_source
from gened.gr_blocks.frame_modulator import PACKET_LEN
from gened.hw_config.profile import HardwareProfile, RxSide, TxSide

TAIL_S = 1.0
"""Most samples in host and device, in seconds; a SoapySDR driver does not report it."""
STEP_DB = 3.0
"""Tolerance of a gain that is read back: drivers distribute it over stages of 1 to 14 dB."""
ABSENT = "is it plugged in, and its SoapySDR module installed? `SoapySDRUtil --find` lists what is there"
ADVICE = {
    "no match": ABSENT,
    "no devices found": ABSENT,
    "unsupported number of channels": "this radio does not work in this direction, or not with this channel",
    "busy": "another program has it; close that one",
}
OTHERWISE = "see what `SoapySDRUtil --probe` with the same address says"


def _open(hardware: HardwareProfile, side: str) -> Any:
    """Opens the gr-soapy block of one side; the settings of the device are unchanged."""
    soapy = require_driver(
        "gnuradio.soapy", "install GNU Radio with gr-soapy: apt install gnuradio soapysdr-module-all"
    )
    part: TxSide | RxSide = hardware.tx if side == "tx" else hardware.rx
    address = hardware.tx_address if side == "tx" else hardware.rx_address
    make = soapy.sink if side == "tx" else soapy.source
    with link_errors(label_of(hardware, side), ADVICE, OTHERWISE):
        return make(address, "fc32", part.channel + 1, hardware.device_args, "", [""], [""])


def _set_up(block: Any, hardware: HardwareProfile, side: str) -> None:
    """Sets rate, frequency, filter and connector of one side, and reads them back; not the gain."""
    part: TxSide | RxSide = hardware.tx if side == "tx" else hardware.rx
    where, channel = label_of(hardware, side), part.channel
    center_freq = hardware.tuned_freq("tx" if side == "tx" else "rx")
    with link_errors(where, ADVICE, OTHERWISE):
        block.set_sample_rate(channel, hardware.sample_rate)
        require_rate(where, hardware.sample_rate, block.get_sample_rate(channel))
        require_choice(f"{hardware.name}: {side}.antenna", part.antenna, list(block.list_antennas(channel)))
        if part.antenna:
            block.set_antenna(channel, part.antenna)
        if part.bandwidth is not None:
            block.set_bandwidth(channel, part.bandwidth)
        block.set_frequency(channel, center_freq)
        require_freq(where, center_freq, block.get_frequency(channel))


class _SoapyTransmitter:
    """`TxDriver` of a SoapySDR device."""

    def __init__(self, block: Any, hardware: HardwareProfile) -> None:
        self.block = block
        self.tail_s = TAIL_S
        self._where = label_of(hardware, "tx")
        gains = block.get_gain_range(hardware.tx.channel)
        self._channel = hardware.tx.channel
        self._lowest_db, highest_db = float(gains.minimum()), float(gains.maximum())
        self.gain_range = GainRange(self._lowest_db, highest_db, STEP_DB)
        self.gain_db = chosen_gain(f"{hardware.name}: tx.gain_db", hardware.tx.gain_db, self._lowest_db, highest_db)

    def raise_gain(self) -> None:
        self._set(self.gain_db)

    def lower_gain(self) -> None:
        self._set(self._lowest_db)

    def now_s(self) -> float:
        raise NotImplementedError("bursts are timed with the driver uhd alone")

    def _set(self, gain_db: float) -> None:
        self.block.set_gain(self._channel, gain_db)
        require_gain(self._where, gain_db, float(self.block.get_gain(self._channel)), step_db=STEP_DB)


@sink_kind("soapy")
def soapy_sink(profile: RadioProfile) -> radio_sink:
    """Makes the sink of a SoapySDR device.

    Raises:
        ConfigError: Transmission is not allowed, or the device does not support a setting.
        LinkError: The device is absent, or did not accept a setting.
    """
    hardware = require_transmit(profile)
    where = label_of(hardware, "tx")
    block = _open(hardware, "tx")
    with link_errors(where, ADVICE, OTHERWISE):
        driver = _SoapyTransmitter(block, hardware)
        driver.lower_gain()  # before anything is tuned
        if not hardware.tx.is_continuous:
            block.set_length_tag_name(PACKET_LEN)
    _set_up(block, hardware, "tx")
    return radio_sink(
        where, driver, backoff_db=hardware.tx.backoff_db, sample_rate=hardware.sample_rate, events=EventReporter(where)
    )


@source_kind("soapy")
def soapy_source(profile: RadioProfile) -> wrapped_source:
    """Makes the source of a SoapySDR device; raises as `soapy_sink`."""
    hardware = hardware_of(profile)
    where = label_of(hardware, "rx")
    block = _open(hardware, "rx")
    _set_up(block, hardware, "rx")
    with link_errors(where, ADVICE, OTHERWISE):
        gains = block.get_gain_range(hardware.rx.channel)
        gain_db = chosen_gain(
            f"{hardware.name}: rx.gain_db", hardware.rx.gain_db, float(gains.minimum()), float(gains.maximum())
        )
        if block.has_gain_mode(hardware.rx.channel):
            block.set_gain_mode(hardware.rx.channel, False)
        block.set_gain(hardware.rx.channel, gain_db)
        require_gain(where, gain_db, float(block.get_gain(hardware.rx.channel)), step_db=STEP_DB)
    return wrapped_source(block, where)
