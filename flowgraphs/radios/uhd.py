# SPDX-License-Identifier: GPL-3.0-or-later
"""Kind `uhd`: USRPs, through gr-uhd.

```text
radio_sink:   samples -> tx_gate -> usrp_sink(packet_len) -> antenna;  usrp_sink.async_msgs -> U, L, S
radio source: antenna -> usrp_source -> samples;  `-> rx_watch -> O
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from gened.errors import LinkError
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
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.hw_config.profile import HardwareProfile, RxSide, TxSide

LOCK_S = 2.0
"""Longest time for an oscillator or a reference to lock."""
TAIL_S = 1.0
"""Most samples in host, cable and device, in seconds: 64 USB frames of 2000 are 0.13 s at 1 MS/s, plus a margin."""
ABSENT = "is it plugged in, powered, and in this machine's network? `uhd_find_devices` lists what is there"
ADVICE = {
    "no devices found": ABSENT,
    "no device found": ABSENT,
    "insufficient permission": "install UHD's udev rules (uhd-host), then unplug and plug it in again",
    "images": "fetch the firmware with `uhd_images_downloader`",
    "compatibility": "its FPGA image belongs to another UHD; load a fitting one with `uhd_image_loader`",
    "claimed": "another program has it; a USRP serves one process at a time",
    "busy": "another program has it; a USRP serves one process at a time",
}
OTHERWISE = "try `uhd_usrp_probe` with the same address"


def _open(hardware: HardwareProfile, side: str, make: Callable[[Any, str, Any], Any]) -> Any:
    """Opens the gr-uhd block of one side; the settings of the device are unchanged."""
    uhd = require_driver("gnuradio.uhd", "install GNU Radio with UHD: apt install gnuradio")
    part: TxSide | RxSide = hardware.tx if side == "tx" else hardware.rx
    address = hardware.tx_address if side == "tx" else hardware.rx_address
    arguments = ",".join(text for text in (address, hardware.device_args) if text)
    with link_errors(label_of(hardware, side), ADVICE, OTHERWISE):
        return make(uhd, arguments, uhd.stream_args(cpu_format="fc32", otw_format="sc16", channels=[part.channel]))


def _set_up(block: Any, hardware: HardwareProfile, side: str) -> None:
    """Sets clocks, rate, frequency, filter and connector of one side, and reads them back; not the gain."""
    from gnuradio import uhd

    part: TxSide | RxSide = hardware.tx if side == "tx" else hardware.rx
    where = label_of(hardware, side)
    with link_errors(where, ADVICE, OTHERWISE):
        _set_clocks(block, hardware, where)
        block.set_samp_rate(hardware.sample_rate)
        require_rate(where, hardware.sample_rate, block.get_samp_rate())
        center_freq = hardware.tuned_freq("tx" if side == "tx" else "rx")
        require_choice(f"{hardware.name}: {side}.antenna", part.antenna, list(block.get_antennas(0)))
        if part.antenna:
            block.set_antenna(part.antenna, 0)
        if part.bandwidth is not None:
            block.set_bandwidth(part.bandwidth, 0)
        block.set_center_freq(uhd.tune_request(center_freq, part.lo_offset_hz), 0)
        require_freq(where, center_freq, block.get_center_freq(0))
        _await(lambda: _is_true(block.get_sensor, block.get_sensor_names(0), "lo_locked"), where, "oscillator")


def _set_clocks(block: Any, hardware: HardwareProfile, where: str) -> None:
    if hardware.clock_source != "internal":
        key = f"{hardware.name}: clock_source"
        require_choice(key, hardware.clock_source, list(block.get_clock_sources(0)))
        block.set_clock_source(hardware.clock_source, 0)
        names = block.get_mboard_sensor_names(0)
        _await(lambda: _is_true(block.get_mboard_sensor, names, "ref_locked"), where, f"{hardware.clock_source} clock")
    from gnuradio import uhd

    if hardware.time_source == "none":
        block.set_time_now(uhd.time_spec(0.0))
    else:
        require_choice(f"{hardware.name}: time_source", hardware.time_source, list(block.get_time_sources(0)))
        block.set_time_source(hardware.time_source, 0)
        block.set_time_unknown_pps(uhd.time_spec(0.0))  # takes up to two seconds: it waits for an edge


def _is_true(get: Callable[..., Any], names: list[str], name: str) -> bool:
    return name not in names or bool(get(name).to_bool())


def _await(is_locked: Callable[[], bool], where: str, what: str) -> None:
    deadline_s = time.monotonic() + LOCK_S
    while not is_locked():
        if time.monotonic() > deadline_s:
            raise LinkError(
                f"{where}: its {what} does not lock within {LOCK_S:g} s; check the reference and center_freq"
            )
        time.sleep(0.02)


# Transmitting


class _UsrpTransmitter:
    """`TxDriver` of a USRP."""

    def __init__(self, block: Any, hardware: HardwareProfile) -> None:
        self.block = block
        self.tail_s = TAIL_S + hardware.tx.lead_s
        self._where = label_of(hardware, "tx")
        gains = block.get_gain_range(0)
        self._lowest_db = float(gains.start())
        self._step_db = max(0.5, float(gains.step()))
        self.gain_range = GainRange(self._lowest_db, float(gains.stop()), self._step_db)
        self.gain_db = chosen_gain(f"{hardware.name}: tx.gain_db", hardware.tx.gain_db, self._lowest_db, gains.stop())

    def raise_gain(self) -> None:
        self.block.set_gain(self.gain_db, 0)
        require_gain(self._where, self.gain_db, float(self.block.get_gain(0)), step_db=self._step_db)

    def lower_gain(self) -> None:
        self.block.set_gain(self._lowest_db, 0)
        require_gain(self._where, self._lowest_db, float(self.block.get_gain(0)), step_db=self._step_db)

    def now_s(self) -> float:
        return float(self.block.get_time_now().get_real_secs())


UHD_NAMES = {
    "underflow": "U",
    "underflow_in_packet": "U",
    "seq_error": "S",
    "seq_error_in_burst": "S",
    "time_error": "L",
}
"""Letters by name in gr-uhd's messages at the port `async_msgs`; `burst_ack` is no event."""


def uhd_events(message: Any) -> list[str]:
    """Letters in a message of gr-uhd's port `async_msgs`; empty for acknowledgements and other messages.

    Args:
        message: A PMT with names such as `underflow` in it. Only its symbols are read, so the nesting, which differs
            between versions of gr-uhd, does not matter.
    """
    return [UHD_NAMES[name] for name in _symbols(message, 0) if name in UHD_NAMES]


def _symbols(message: Any, depth: int) -> Iterator[str]:
    if depth > 16:  # a driver's message has four levels
        return
    if pmt.is_symbol(message):
        yield pmt.symbol_to_string(message)
    elif pmt.is_dict(message) or (pmt.is_pair(message) and not pmt.is_null(message)):
        while pmt.is_pair(message):
            yield from _symbols(pmt.car(message), depth + 1)
            message = pmt.cdr(message)
        yield from _symbols(message, depth + 1) if pmt.is_symbol(message) else ()


class usrp_events(MessageBlock):  # noqa: N801
    """Receives gr-uhd's asynchronous messages and counts their events."""

    def __init__(self, events: EventReporter) -> None:
        super().__init__("usrp_events", {"async_msgs": self._on_message}, ())
        self._events = events

    def _on_message(self, message: Any) -> None:
        for letter in uhd_events(message):
            self._events.report(letter)


@sink_kind("uhd")
def usrp_sink(profile: RadioProfile) -> radio_sink:
    """Makes the sink of a USRP.

    Raises:
        ConfigError: Transmission is not allowed, or the device does not support a setting.
        LinkError: The device is absent, or did not accept a setting.
    """
    hardware = require_transmit(profile)
    where = label_of(hardware, "tx")
    tag = "" if hardware.tx.is_continuous else PACKET_LEN
    block = _open(hardware, "tx", lambda uhd, address, stream: uhd.usrp_sink(address, stream, tag))
    with link_errors(where, ADVICE, OTHERWISE):
        driver = _UsrpTransmitter(block, hardware)
        driver.lower_gain()  # before anything is tuned
    _set_up(block, hardware, "tx")
    events = EventReporter(where)
    sink = radio_sink(
        where, driver, backoff_db=hardware.tx.backoff_db, sample_rate=hardware.sample_rate,
        lead_s=hardware.tx.lead_s, events=events,
    )  # fmt: skip
    if "async_msgs" in pmt.to_python(block.message_ports_out()):
        sink.listener = usrp_events(events)
        sink.msg_connect(block, "async_msgs", sink.listener, "async_msgs")
    return sink


# Receiving


class rx_watch(gr.sync_block):  # noqa: N801
    """Detects lost samples by a USRP's time tags: a tag later than the sample count gives stands behind a gap.

    Args:
        sample_rate: Hz.
        events: Counts each gap as an O. The tags do not show whether the host (O) or the network (D) lost the samples.
    """

    def __init__(self, sample_rate: float, events: EventReporter) -> None:
        gr.sync_block.__init__(self, name="rx_watch", in_sig=[np.complex64], out_sig=None)
        self._sample_rate = sample_rate
        self._events = events
        self._last: tuple[int, int, float] | None = None
        self.n_lost = 0
        """Number of lost samples, from the time tags."""

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        n = len(input_items[0])
        for tag in self.get_tags_in_window(0, 0, n, pmt.intern("rx_time")):
            self._see(
                tag.offset, pmt.to_uint64(pmt.tuple_ref(tag.value, 0)), pmt.to_double(pmt.tuple_ref(tag.value, 1))
            )
        return n

    def _see(self, offset: int, whole_s: int, rest_s: float) -> None:
        if self._last is not None:
            offset_0, whole_0_s, rest_0_s = self._last
            elapsed_s = (whole_s - whole_0_s) + (rest_s - rest_0_s)  # whole seconds are subtracted first, for precision
            n_lost = round(elapsed_s * self._sample_rate) - (offset - offset_0)
            if n_lost > 0:
                self.n_lost += n_lost
                self._events.report("O", detail=f"{n_lost} samples lost")
        self._last = offset, whole_s, rest_s


class usrp_receiver(wrapped_source):  # noqa: N801
    """A USRP's samples; gaps between them count as overflows."""

    def __init__(self, block: Any, sample_rate: float, where: str) -> None:
        super().__init__(block, where)
        self.watch = rx_watch(sample_rate, self.events)
        self.connect(block, self.watch)


@source_kind("uhd")
def usrp_source(profile: RadioProfile) -> usrp_receiver:
    """Makes the source of a USRP; raises as `usrp_sink`."""
    hardware = hardware_of(profile)
    where = label_of(hardware, "rx")
    block = _open(hardware, "rx", lambda uhd, address, stream: uhd.usrp_source(address, stream))
    _set_up(block, hardware, "rx")
    with link_errors(where, ADVICE, OTHERWISE):
        gains = block.get_gain_range(0)
        gain_db = chosen_gain(f"{hardware.name}: rx.gain_db", hardware.rx.gain_db, gains.start(), gains.stop())
        block.set_gain(gain_db, 0)
        require_gain(where, gain_db, float(block.get_gain(0)), step_db=max(0.5, float(gains.step())))
    return usrp_receiver(block, hardware.sample_rate, where)
