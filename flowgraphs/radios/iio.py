# SPDX-License-Identifier: GPL-3.0-or-later
"""Kind `iio`: ADALM-Pluto, real or virtual. gr-iio streams; pyadi-iio sets up, calibrates and reads back.

gr-iio's own setters are not used: they warn instead of failing, and those of GNU Radio 3.10.5 write the previous gain
mode.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any

from gened.errors import ConfigError, LinkError
from gened.flowgraphs.radios.common import (
    hardware_of,
    label_of,
    link_errors,
    require_driver,
    require_freq,
    require_gain,
    require_rate,
    require_transmit,
)
from gened.flowgraphs.radios.mute_guard import MuteGuard
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.flowgraphs.radios.radio_sink import GainRange, radio_sink
from gened.flowgraphs.radios.registry import sink_kind, source_kind
from gened.flowgraphs.radios.wrapped import wrapped_source
from gened.hw_config.profile import LOWEST_PLUTO_GAIN_DB, VIRTUAL_MARK, HardwareProfile

BUFFER_LEN = 32768
N_RECEIVED, N_SENT = 16, 8
"""Buffers in the radio: 0.5 s for reception and 0.25 s for transmission at 1 Msample/s. libiio's default of four
buffers, 0.13 s, is too short on a busy desktop."""
N_UNDER_WAY = 2
"""Further buffers on the way of the last sample: one that is being filled, and one in the network."""
PORT = 30431
"""Port of iiod, if the address has none."""
CONNECT_S = 5.0
CHANNELS = [True, True]  # I and Q
ABSENT = "is it plugged in, or `gened virtual-pluto` running? `iio_info -u` with its address shows what answers"
ADVICE = {
    "no device found": ABSENT,
    "unable to create context": ABSENT,
    "busy": "another program streams in this direction; close it",
    "timed out": "its network answers too slowly; lower sample_rate, or plug it in again",
}
OTHERWISE = "see what `iio_info -u` with its address shows"
STATUS_REGISTER = 0x80000088
"""Status register of the FPGA's converter cores, which gr-iio reads once per second; writing a bit clears it."""
UNDERFLOW, OVERFLOW = 0x1, 0x4
START_S = 1.0
"""At the start of a stream the converters run before the first buffer arrives; an event in that time is ignored."""


def _connect(hardware: HardwareProfile, side: str) -> Any:
    """Connects to the radio of one side; returns the object of pyadi-iio."""
    adi = require_driver("adi", "install pyadi-iio: pip install 'gr-gened[radio]'; libiio: apt install libiio0")
    address = hardware.tx_address if side == "tx" else hardware.rx_address
    _require_answer(address, label_of(hardware, side))
    with link_errors(label_of(hardware, side), ADVICE, OTHERWISE):
        return adi.Pluto(uri=address)


def _require_answer(address: str, where: str) -> None:
    """Checks that a server listens at the address.

    pyadi-iio reports every failure as "No device found", and pylibiio 0.25 prints a traceback if it has no context.

    Raises:
        LinkError: No server listens there.
    """
    match = re.fullmatch(r"ip:(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d{1,5}))?", address)
    host, port = address.removeprefix("ip:"), PORT
    if match is not None:
        host, port = match["v6"] or match["host"], int(match["port"] or PORT)
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise LinkError(f"{where}: nobody answers at port {port} ({reason}); {ABSENT}") from exc


def _require_virtual(device: Any, where: str) -> None:
    """Checks that the device identifies itself as virtual: an address of this machine may be a tunnel to a radio.

    Raises:
        ConfigError: It does not; no setting was changed.
    """
    if device.ctx.attrs.get(VIRTUAL_MARK) != "1":
        raise ConfigError(
            f"{where}: the profile says is_virtual, but what answers is not gened's virtual Pluto; nothing was sent; "
            "connect attenuators or a load, then add --transmit"
        )


def _phy(device: Any) -> Any:
    phy = device.ctx.find_device("ad9361-phy")
    if phy is None:
        raise LinkError("the device has no ad9361-phy, so it is no Pluto")
    return phy


class _StatusWatch:
    """Polls the bit that a converter's core sets when samples were late, over a connection of its own.

    gr-iio polls it too, once per second, prints the letter and clears the bit. Only one of the two sees each event, so
    poll several times per second and count the printed letters as well (`driver_output.letter_counts`).

    Args:
        core: Device of pylibiio.
        bit: Bit of the status register.
        letter: Letter under which it is counted.
        events: Counts the events.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self, core: Any, bit: int, letter: str, events: EventReporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._core = core
        self._bit = bit
        self._letter = letter
        self._events = events
        self._is_blind = False
        self._counts_from_s = float("inf")

    def poll(self) -> None:
        """Counts an event if the bit is set, and clears it; bits set before or during the start are ignored."""
        if self._is_blind:
            return
        try:
            is_set = bool(self._core.reg_read(STATUS_REGISTER) & self._bit)
            if is_set:
                self._core.reg_write(STATUS_REGISTER, self._bit)
        except Exception:  # this firmware has no registers, or the radio is gone, which other blocks report
            self._is_blind = True
            return
        now_s = self._clock()
        if self._counts_from_s == float("inf"):
            self._counts_from_s = now_s + START_S
        if is_set and now_s >= self._counts_from_s:
            self._events.report(self._letter)


def _set_attribute(attributes: Any, name: str, value: str) -> None:
    """Sets a calibration or tracking switch, if the firmware has it."""
    if name in attributes:
        attributes[name].value = value


# Transmitting


class _PlutoTransmitter:
    """`TxDriver` of a Pluto; its gain is the negative of an attenuation."""

    block: Any

    def __init__(self, device: Any, hardware: HardwareProfile) -> None:
        self._device = device
        self._address = hardware.tx_address
        self._guard: MuteGuard | None = None
        self._where = label_of(hardware, "tx")
        self.gain_db = LOWEST_PLUTO_GAIN_DB if hardware.tx.gain_db is None else hardware.tx.gain_db
        self.gain_range = GainRange(LOWEST_PLUTO_GAIN_DB, 0.0, 0.25)
        self.buffer_len = hardware.tx.buffer_len or BUFFER_LEN
        self.n_buffers = hardware.tx.n_buffers or N_SENT
        self.tail_s = (self.n_buffers + N_UNDER_WAY) * self.buffer_len / hardware.sample_rate

    def raise_gain(self) -> None:
        self._guard = self._guard or MuteGuard(self._address)
        self._set_oscillator(is_on=True)
        self._set_gain(self.gain_db)

    def lower_gain(self) -> None:
        self._set_gain(LOWEST_PLUTO_GAIN_DB)
        self._set_oscillator(is_on=False)
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def now_s(self) -> float:
        raise NotImplementedError("a Pluto has no time for its samples")

    def _set_gain(self, gain_db: float) -> None:
        self._device.tx_hardwaregain_chan0 = gain_db
        require_gain(self._where, gain_db, float(self._device.tx_hardwaregain_chan0), step_db=0.25)

    def _set_oscillator(self, *, is_on: bool) -> None:
        attributes = _phy(self._device).find_channel("altvoltage1", True).attrs
        _set_attribute(attributes, "powerdown", "0" if is_on else "1")

    def set_up(self, hardware: HardwareProfile) -> None:
        """Sets rate, frequency and filter; the chip calibrates itself at each, for which its oscillator must run."""
        self._set_gain(LOWEST_PLUTO_GAIN_DB)
        self._set_oscillator(is_on=True)
        device, center_freq = self._device, float(hardware.tx.center_freq or 0)
        device.disable_dds()  # a tone of another program would reappear between the buffers
        _set_attribute(_phy(device).attrs, "calib_mode", "auto")
        device.sample_rate = int(hardware.sample_rate)
        device.tx_lo = int(center_freq)
        if hardware.tx.bandwidth is not None:
            device.tx_rf_bandwidth = int(hardware.tx.bandwidth)
        require_rate(self._where, hardware.sample_rate, float(device.sample_rate))
        require_freq(self._where, center_freq, float(device.tx_lo))


@sink_kind("iio")
def pluto_sink(profile: RadioProfile) -> radio_sink:
    """Makes the sink of a Pluto, which needs continuous samples: zeros between bursts.

    Raises:
        ConfigError: Transmission is not allowed.
        LinkError: The device is absent, or did not accept a setting.
    """
    hardware = require_transmit(profile)
    where = label_of(hardware, "tx")
    iio = require_driver("gnuradio.iio", "install GNU Radio with gr-iio: apt install gnuradio")
    with link_errors(where, ADVICE, OTHERWISE):
        device = _connect(hardware, "tx")
        if hardware.is_virtual and not profile.may_transmit:
            _require_virtual(device, where)
        driver = _PlutoTransmitter(device, hardware)
        driver.set_up(hardware)
        device._txdac.set_kernel_buffers_count(driver.n_buffers)  # a setting of the radio, for all connections
        driver.block = iio.fmcomms2_sink_fc32(hardware.tx_address, CHANNELS, driver.buffer_len, False)
    events = EventReporter(where)
    return radio_sink(
        where, driver, backoff_db=hardware.tx.backoff_db, sample_rate=hardware.sample_rate, events=events,
        poll=_StatusWatch(device._txdac, UNDERFLOW, "U", events).poll,
    )  # fmt: skip


# Receiving


def _set_up_receiver(device: Any, hardware: HardwareProfile, where: str) -> None:
    center_freq = hardware.tuned_freq("rx")
    device.sample_rate = int(hardware.sample_rate)
    device.rx_lo = round(center_freq)
    if hardware.rx.bandwidth is not None:
        device.rx_rf_bandwidth = int(hardware.rx.bandwidth)
    tracking = _phy(device).find_channel("voltage0", False).attrs
    for name in ("quadrature_tracking_en", "rf_dc_offset_tracking_en", "bb_dc_offset_tracking_en"):
        _set_attribute(tracking, name, "1")
    device.gain_control_mode_chan0 = hardware.rx.gain_mode
    if hardware.rx.gain_mode == "manual" and hardware.rx.gain_db is not None:
        gain_db = int(hardware.rx.gain_db)
        device.rx_hardwaregain_chan0 = gain_db
        require_gain(where, gain_db, float(device.rx_hardwaregain_chan0), step_db=1.0)
    require_rate(where, hardware.sample_rate, float(device.sample_rate))
    require_freq(where, center_freq, float(device.rx_lo))


class pluto_receiver(wrapped_source):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """A Pluto's samples; `poll` counts overflows."""

    def __init__(self, block: Any, device: Any, where: str) -> None:
        super().__init__(block, where)
        self._watch = _StatusWatch(device._rxadc, OVERFLOW, "O", self.events)

    def poll(self) -> None:
        """Reads the status register of the converter's core."""
        self._watch.poll()


@source_kind("iio")
def pluto_source(profile: RadioProfile) -> pluto_receiver:
    """Makes the source of a Pluto; raises as `pluto_sink`."""
    hardware = hardware_of(profile)
    where = label_of(hardware, "rx")
    iio = require_driver("gnuradio.iio", "install GNU Radio with gr-iio: apt install gnuradio")
    with link_errors(where, ADVICE, OTHERWISE):
        device = _connect(hardware, "rx")
        _set_up_receiver(device, hardware, where)
        device._rxadc.set_kernel_buffers_count(hardware.rx.n_buffers or N_RECEIVED)
        block = iio.fmcomms2_source_fc32(hardware.rx_address, CHANNELS, hardware.rx.buffer_len or BUFFER_LEN)
    return pluto_receiver(block, device, where)
