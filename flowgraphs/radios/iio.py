# SPDX-License-Identifier: GPL-3.0-or-later
"""ADALM-Pluto, real or virtual: gr-iio for the streams; pyadi-iio for set-up, calibration and read-back.

gr-iio's own setters are left alone. They warn where they should fail, and those of GNU Radio 3.10.5 write the gain mode
before last.
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
"""Buffers in the radio: half a second received and a quarter sent at 1 Msample/s. libiio's own four, an eighth of a
second, are not enough on a desktop that does something else for a moment."""
N_UNDER_WAY = 2
"""More buffers of the last samples: one that is being filled, one for the network."""
PORT = 30431
"""Of iiod, where an address names no other."""
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
"""Of the FPGA's cores for the converters, as gr-iio reads it each second; a bit is cleared by writing it."""
UNDERFLOW, OVERFLOW = 0x1, 0x4
START_S = 1.0
"""When a stream begins, converters run before the first buffer comes; that is no event."""


def _connect(hardware: HardwareProfile, side: str) -> Any:
    """pyadi-iio's object for one side's radio."""
    adi = require_driver("adi", "install pyadi-iio: pip install 'gr-gened[radio]'; libiio: apt install libiio0")
    address = hardware.tx_address if side == "tx" else hardware.rx_address
    _require_answer(address, label_of(hardware, side))
    with link_errors(label_of(hardware, side), ADVICE, OTHERWISE):
        return adi.Pluto(uri=address)


def _require_answer(address: str, where: str) -> None:
    """Whether somebody listens there.

    pyadi-iio calls every failure "No device found", and pylibiio 0.25 prints a traceback where no context was made.

    Raises:
        LinkError: Nobody does.
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
    """Whether the device says of itself that it is no radio: an address of this machine may be a tunnel to one.

    Raises:
        ConfigError: It does not; nothing was set.
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
    """Looks for the bit that a converter's core raises when samples were late, over a connection of its own.

    gr-iio looks too, each second: it prints the letter and clears the bit. Whoever comes second sees nothing, so look
    several times a second, and hear what it prints (`driver_output.letters_heard`): no event is in both.

    Args:
        core: pylibiio's device.
        bit: Of the status register.
        letter: Under which it is counted.
        events: Where.
        clock: Seconds that only rise.
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
        """Counts an event when the bit is set, and clears it; not what was before the first call or at the start."""
        if self._is_blind:
            return
        try:
            is_set = bool(self._core.reg_read(STATUS_REGISTER) & self._bit)
            if is_set:
                self._core.reg_write(STATUS_REGISTER, self._bit)
        except Exception:  # this firmware shows no registers, or the radio has gone, which others will tell
            self._is_blind = True
            return
        now_s = self._clock()
        if self._counts_from_s == float("inf"):
            self._counts_from_s = now_s + START_S
        if is_set and now_s >= self._counts_from_s:
            self._events.report(self._letter)


def _set_attribute(attributes: Any, name: str, value: str) -> None:
    """Sets a calibration or tracking switch where this firmware has it."""
    if name in attributes:
        attributes[name].value = value


# Transmitting


class _PlutoTransmitter:
    """`TxDriver` of a Pluto; its gain is an attenuation and negative."""

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
        """Rate, frequency, filter; the chip calibrates itself at each, for which its oscillator has to run."""
        self._set_gain(LOWEST_PLUTO_GAIN_DB)
        self._set_oscillator(is_on=True)
        device, center_freq = self._device, float(hardware.tx.center_freq or 0)
        device.disable_dds()  # a tone that another program left would come back between our buffers
        _set_attribute(_phy(device).attrs, "calib_mode", "auto")
        device.sample_rate = int(hardware.sample_rate)
        device.tx_lo = int(center_freq)
        if hardware.tx.bandwidth is not None:
            device.tx_rf_bandwidth = int(hardware.tx.bandwidth)
        require_rate(self._where, hardware.sample_rate, float(device.sample_rate))
        require_freq(self._where, center_freq, float(device.tx_lo))


@sink_kind("iio")
def pluto_sink(profile: RadioProfile) -> radio_sink:
    """A Pluto that transmits; it needs samples all the time, zeros between bursts.

    Raises:
        ConfigError: Not allowed to transmit.
        LinkError: No such device, or it did not do what it was told.
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
        device._txdac.set_kernel_buffers_count(driver.n_buffers)  # of the radio, whoever opens it
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
    """A Pluto that receives; raises as `pluto_sink`."""
    hardware = hardware_of(profile)
    where = label_of(hardware, "rx")
    iio = require_driver("gnuradio.iio", "install GNU Radio with gr-iio: apt install gnuradio")
    with link_errors(where, ADVICE, OTHERWISE):
        device = _connect(hardware, "rx")
        _set_up_receiver(device, hardware, where)
        device._rxadc.set_kernel_buffers_count(hardware.rx.n_buffers or N_RECEIVED)
        block = iio.fmcomms2_source_fc32(hardware.rx_address, CHANNELS, hardware.rx.buffer_len or BUFFER_LEN)
    return pluto_receiver(block, device, where)
