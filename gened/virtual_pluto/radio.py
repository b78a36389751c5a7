# SPDX-License-Identifier: GPL-3.0-or-later
"""One Pluto: the values of its attributes and how they hang together, its buffers, its tones, its status registers."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gened.virtual_pluto.buffers import (
    DEFAULT_COUNT,
    PAIR_BYTES,
    Pairs,
    ReceiveBuffer,
    TransmitQueue,
    channels_of,
    transmit_room,
)
from gened.virtual_pluto.protocol import IioError
from gened.virtual_pluto.tree import (
    DDS,
    DEVICES,
    LPC,
    MAX_RATE_HZ,
    PHY,
    TONES,
    XO_HZ,
    Attribute,
    Device,
    anything,
    number_of,
)

STATUS_REGISTER = 0x80000088
UNDERFLOW, OVERFLOW = 0x1, 0x4
"""Bits of the status register; writing a 1 clears one."""
MAX_BUFFER_BYTES = 2**26
"""Of one buffer; a Pluto has no more contiguous memory to give."""
MAX_OPEN_BYTES = 2**28
"""Of all that is open at a time."""
MAX_OPENINGS = 8
"""Clients that stream from or to one device."""
MAX_COUNT = 64
"""Kernel buffers."""
MAX_FIR_TAPS = 128
MIN_ADC_HZ, MAX_ADC_HZ, MAX_DAC_HZ = 25e6, 640e6, 320e6
MAX_FIR_INPUT_HZ = 122.88e6
BUSY_PATIENCE_S = 0.05
"""An old buffer's end and a new one's beginning travel on two connections and may change places."""
MAX_TIMEOUT_MS = 600_000


@dataclass(frozen=True)
class Rates:
    """What both directions run at, Hz."""

    receive: float
    transmit: float


@dataclass
class TransmitOpening:
    """One client's transmit buffer."""

    n_samples: int
    channels: tuple[int, ...]
    is_cyclic: bool
    room: int
    """Samples that may wait."""
    n_bytes: int
    """Of all its buffers."""
    is_loaded: bool = False
    """Whether the buffer of a cyclic one has come."""


class Pluto:
    """State of one radio. Methods may be called from any thread.

    Args:
        serial: Serial number.
        crystal_ppm: Error of its crystal: carriers are so much higher than they say.
        on_activity: Called when a client opens a buffer.
    """

    def __init__(
        self, serial: str = "virtual-0", crystal_ppm: float = 0.0, on_activity: Callable[[], None] = lambda: None
    ) -> None:
        self.serial = serial
        self.crystal_hz = XO_HZ * (1 + 1e-6 * crystal_ppm)
        self.timeout_ms = 2500
        self.received_power = 0.0
        """Of the last step, with noise; 1 is a burst at the usual level."""
        self.radiated_power = 0.0
        """Of the last step; 0 when the transmitter is mute."""
        self._on_activity = on_activity
        self._lock = threading.RLock()
        self._closed = threading.Condition(self._lock)
        self._values: dict[tuple[str, str], str | IioError] = {}
        for device in DEVICES:
            for attribute in device.every_attribute():
                self._values[device.name, attribute.file] = attribute.initial
        self._registers: dict[tuple[str, int], int] = {(PHY, 0x37): 0x0A}
        self._selected: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._taps, self._decimation = 0, 1
        self._receive_divider, self._transmit_divider = 1, 1
        self.receivers: list[ReceiveBuffer] = []
        self.transmitters: list[TransmitOpening] = []
        self.queue = TransmitQueue(lambda: self._raise_status(DDS, UNDERFLOW))
        self._tone_phase = np.zeros(len(TONES))
        self._writers: dict[tuple[str, str], Callable[[str], None]] = {
            (PHY, "in_voltage_sampling_frequency"): self._set_rate,
            (PHY, "out_voltage_sampling_frequency"): self._set_rate,
            (LPC, "in_voltage_sampling_frequency"): self._set_receive_divider,
            (DDS, "out_voltage_sampling_frequency"): self._set_transmit_divider,
            (PHY, "in_voltage_filter_fir_en"): lambda text: self._enable_fir(text, ("in_voltage",)),
            (PHY, "out_voltage_filter_fir_en"): lambda text: self._enable_fir(text, ("out_voltage",)),
            (PHY, "in_out_voltage_filter_fir_en"): lambda text: self._enable_fir(text, ("in_voltage", "out_voltage")),
            (PHY, "filter_fir_config"): self._load_fir,
            (PHY, "in_voltage0_hardwaregain"): self._set_receive_gain,
        }
        self._follow_rate()

    # Attributes

    def read(self, device: Device, attribute: Attribute) -> str:
        """A value as text.

        Raises:
            IioError: Reading this one is an error.
        """
        key = (device.name, attribute.file)
        with self._lock:
            if key == (PHY, "in_voltage0_rssi"):
                return f"{self._rssi():.2f} dB"
            if attribute.file == "debug/direct_reg_access":
                return f"0x{self._registers.get((device.name, self._selected.get(device.name, 0)), 0):X}"
            value = self._values[key]
        if isinstance(value, IioError):
            raise value
        return value

    def write(self, device: Device, attribute: Attribute, text: str) -> None:
        """Takes a value.

        Raises:
            IioError: It is refused: EINVAL out of range or while the radio sleeps, EACCES where nothing can be written.
        """
        key = (device.name, attribute.file)
        with self._lock:
            if attribute.file == "debug/direct_reg_access":
                self._access_register(device.name, text)
                return
            if self.ensm_mode == "sleep" and key != (PHY, "ensm_mode") and device.name != "xadc":
                raise IioError(errno.EINVAL)
            text = attribute.rule(text)
            if key in self._writers:
                self._writers[key](text)
            else:
                self._values[key] = text

    def value(self, device: str, file: str) -> str:
        """The text of an attribute that can be read."""
        with self._lock:
            return str(self._values[device, file])

    def number(self, device: str, file: str) -> float:
        """The number in that text."""
        return number_of(self.value(device, file))

    @property
    def ensm_mode(self) -> str:
        """State of the radio's own machine: `fdd` when it sends and receives."""
        return self.value(PHY, "ensm_mode")

    def _rssi(self) -> float:
        """A weaker signal has a larger number, as in the chip."""
        return float(np.clip(60 - 10 * np.log10(max(self.received_power, 1e-6)), 0, 115))

    def _access_register(self, device: str, text: str) -> None:
        """`ADDRESS` chooses a register, `ADDRESS VALUE` writes to it; decimal or 0x."""
        try:
            words = [int(word, 0) for word in anything(text).split()]
        except ValueError as exc:
            raise IioError(errno.EINVAL) from exc
        if not 1 <= len(words) <= 2 or not all(0 <= word < 2**32 for word in words):
            raise IioError(errno.EINVAL)
        self._selected[device] = words[0]
        if len(words) == 2:
            key = (device, words[0])
            if words[0] == STATUS_REGISTER:
                self._registers[key] = self._registers.get(key, 0) & ~words[1]
            elif key in self._registers or len(self._registers) < 4096:
                self._registers[key] = words[1]

    def _raise_status(self, device: str, bit: int) -> None:
        # A single assignment: taking our lock under a buffer's could wait for each other.
        self._registers[device, STATUS_REGISTER] = self._registers.get((device, STATUS_REGISTER), 0) | bit

    def status(self, device: str) -> int:
        """The status register of a streaming device; see UNDERFLOW and OVERFLOW."""
        return self._registers.get((device, STATUS_REGISTER), 0)

    # Gains and carriers

    def _set_receive_gain(self, text: str) -> None:
        if self.value(PHY, "in_voltage0_gain_control_mode") != "manual":
            raise IioError(errno.EOPNOTSUPP)
        self._values[PHY, "in_voltage0_hardwaregain"] = text

    @property
    def transmit_gain_db(self) -> float:
        """0 or less."""
        return self.number(PHY, "out_voltage0_hardwaregain")

    @property
    def receive_gain_db(self) -> float:
        """Also what the gain control has settled at."""
        return self.number(PHY, "in_voltage0_hardwaregain")

    def _carrier_hz(self, name: str) -> float:
        wanted = self.number(PHY, f"{name}_frequency")
        return wanted * self.crystal_hz / self.number(PHY, "xo_correction")

    @property
    def receive_carrier_hz(self) -> float:
        """As it is, with the error of the crystal that `xo_correction` leaves."""
        return self._carrier_hz("out_altvoltage0_RX_LO")

    @property
    def transmit_carrier_hz(self) -> float:
        """The same for the transmitter."""
        return self._carrier_hz("out_altvoltage1_TX_LO")

    @property
    def is_on(self) -> bool:
        """Whether the state machine lets samples through."""
        return self.ensm_mode in ("fdd", "pinctrl", "pinctrl_fdd_indep")

    @property
    def is_radiating(self) -> bool:
        """Whether what the transmitter is given leaves it: synthesizer and state machine are on."""
        return self.is_on and self.value(PHY, "out_altvoltage1_TX_LO_powerdown") == "0"

    @property
    def is_hearing(self) -> bool:
        """The same for the receiver."""
        return self.is_on and self.value(PHY, "out_altvoltage0_RX_LO_powerdown") == "0"

    @property
    def is_looped(self) -> bool:
        """Whether the converters are connected inside the chip (debug attribute `loopback` = 1)."""
        return self.value(PHY, "debug/loopback") == "1"

    # Rates and the filter

    @property
    def rates(self) -> Rates:
        """Of the streams, behind the FPGA's filters."""
        with self._lock:
            rate = self.number(PHY, "in_voltage_sampling_frequency")
            return Rates(rate / self._receive_divider, rate / self._transmit_divider)

    @property
    def _has_fir(self) -> bool:
        return "1" in (self.value(PHY, "in_voltage_filter_fir_en"), self.value(PHY, "out_voltage_filter_fir_en"))

    def _rate_limits(self, decimation: int) -> tuple[int, int]:
        return int(MIN_ADC_HZ / (12 * decimation)), min(MAX_RATE_HZ, int(MAX_FIR_INPUT_HZ / decimation))

    def _set_rate(self, text: str) -> None:
        lowest, highest = self._rate_limits(self._decimation if self._has_fir else 1)
        if not lowest <= int(text) <= highest:
            raise IioError(errno.EINVAL)
        self._values[PHY, "in_voltage_sampling_frequency"] = text
        self._follow_rate()

    def _set_receive_divider(self, text: str) -> None:
        self._receive_divider = self._divider(text)
        self._follow_rate()

    def _set_transmit_divider(self, text: str) -> None:
        self._transmit_divider = self._divider(text)
        self._follow_rate()

    def _divider(self, text: str) -> int:
        """1 or 8, whichever of the two rates was asked for; a hertz of rounding is forgiven."""
        rate = self.number(PHY, "in_voltage_sampling_frequency")
        for divider in (1, 8):
            if abs(int(text) - rate / divider) <= 1:
                return divider
        raise IioError(errno.EINVAL)

    def _follow_rate(self) -> None:
        """Everything that is derived from the sample rate."""
        rate = int(self.number(PHY, "in_voltage_sampling_frequency"))
        decimation = self._decimation if self._has_fir else 1
        lowest, highest = self._rate_limits(decimation)
        values = self._values
        for side in ("in", "out"):
            values[PHY, f"{side}_voltage_sampling_frequency"] = str(rate)
            values[PHY, f"{side}_voltage_sampling_frequency_available"] = f"[{lowest} 1 {highest}]"
        for device, side, divider in ((LPC, "in", self._receive_divider), (DDS, "out", self._transmit_divider)):
            values[device, f"{side}_voltage_sampling_frequency"] = str(rate // divider)
            values[device, f"{side}_voltage_sampling_frequency_available"] = f"{rate} {rate // 8} "
        values[DDS, "out_altvoltage_sampling_frequency"] = str(rate // self._transmit_divider)
        clocks = _clock_chain(rate, decimation)
        names = (("rx", ("ADC", "R2", "R1", "RF", "RXSAMP")), ("tx", ("DAC", "T2", "T1", "TF", "TXSAMP")))
        for side, stages in names:
            chain = [clocks.bbpll, *(clocks.rx if side == "rx" else clocks.tx)]
            values[PHY, f"{side}_path_rates"] = " ".join(
                f"{stage}:{clock}" for stage, clock in zip(("BBPLL", *stages), chain, strict=True)
            )

    def _enable_fir(self, text: str, sides: tuple[str, ...]) -> None:
        rate = int(self.number(PHY, "in_voltage_sampling_frequency"))
        if text == "1":
            self._check_fir(rate)
        elif self._has_fir and rate < self._rate_limits(1)[0]:
            raise IioError(errno.EINVAL)
        for side in sides:
            self._values[PHY, f"{side}_filter_fir_en"] = text
        both = self.value(PHY, "in_voltage_filter_fir_en") == self.value(PHY, "out_voltage_filter_fir_en") == "1"
        self._values[PHY, "in_out_voltage_filter_fir_en"] = str(int(both))
        self._follow_rate()

    def _check_fir(self, rate: int) -> None:
        """There are taps, and the converter's clock leaves time for them."""
        lowest, highest = self._rate_limits(self._decimation)
        if not self._taps or not lowest <= rate <= highest:
            raise IioError(errno.EINVAL)
        if self._taps > min(MAX_FIR_TAPS, 16 * (_clock_chain(rate, self._decimation).tx[0] // rate)):
            raise IioError(errno.EINVAL)

    def _load_fir(self, text: str) -> None:
        """Coefficients in the text form of ADI's filter designer; they are counted and checked, not applied."""
        taps, factors = 0, {"RX": 1, "TX": 1}
        for line in text.splitlines():
            line = line.partition("#")[0].strip()
            header = re.fullmatch(r"(RX|TX) +[0-3] +GAIN +-?\d{1,3} +(?:DEC|INT) +([124])", line)
            if header:
                factors[header[1]] = int(header[2])
            elif re.fullmatch(r"-?\d{1,6}(?: *, *-?\d{1,6})?", line):
                taps += 1
            elif line and not re.match(r"(RTX|RRX|BWTX|BWRX)\b", line):
                raise IioError(errno.EINVAL)
        if not 0 < taps <= MAX_FIR_TAPS or taps % 16:
            raise IioError(errno.EINVAL)
        self._taps, self._decimation = taps, factors["RX"]
        self._values[PHY, "filter_fir_config"] = f"FIR Rx: {taps},{factors['RX']} Tx: {taps},{factors['TX']}"
        if self._has_fir:
            self._follow_rate()

    # Buffers

    def set_buffers_count(self, device: Device, count: int) -> None:
        """Kernel buffers of the next opening.

        Raises:
            IioError: EINVAL for 0 or far too many, EBUSY while a buffer is open.
        """
        with self._lock:
            if not device.n_scan or not 1 <= count <= MAX_COUNT:
                raise IioError(errno.EINVAL)
            if (self.receivers if device.name == LPC else self.transmitters) != []:
                raise IioError(errno.EBUSY)
            self._counts[device.name] = count

    def _checked(self, device: Device, n_samples: int, mask: str) -> tuple[tuple[int, ...], int]:
        """Channels and number of buffers of an opening; nothing is allocated."""
        if not device.n_scan or len(mask) != 8 * device.n_mask_words or n_samples < 1:
            raise IioError(errno.EINVAL)
        channels = channels_of(mask)
        if not channels or int(mask, 16) >> device.n_scan:
            raise IioError(errno.EINVAL)
        count = self._counts.get(device.name, DEFAULT_COUNT)
        n_open = sum(other.n_bytes for other in self.receivers) + sum(other.n_bytes for other in self.transmitters)
        if PAIR_BYTES * n_samples > MAX_BUFFER_BYTES or n_open + PAIR_BYTES * n_samples * count > MAX_OPEN_BYTES:
            raise IioError(errno.ENOMEM)
        return channels, count

    def open_receive(self, device: Device, n_samples: int, mask: str) -> ReceiveBuffer:
        """From now on samples are kept for this client.

        Raises:
            IioError: EINVAL, ENOMEM for an absurd length, EBUSY when too many stream.
        """
        with self._lock:
            channels, count = self._checked(device, n_samples, mask)
            if len(self.receivers) >= MAX_OPENINGS:
                raise IioError(errno.EBUSY)
            opening = ReceiveBuffer(
                n_samples, channels, count, self.rates.receive, lambda: self._raise_status(LPC, OVERFLOW)
            )
            self.receivers = [*self.receivers, opening]
        self._on_activity()
        return opening

    def close_receive(self, opening: ReceiveBuffer) -> None:
        """No more samples for this client."""
        with self._lock:
            self.receivers = [other for other in self.receivers if other is not opening]

    def open_transmit(self, device: Device, n_samples: int, mask: str, *, is_cyclic: bool) -> TransmitOpening:
        """A client may write. Plain buffers of several clients go out in turn; a cyclic one is alone.

        Raises:
            IioError: As `open_receive`; EBUSY also for a cyclic buffer beside another.
        """
        with self._lock:
            channels, count = self._checked(device, n_samples, mask)
            if not self._closed.wait_for(lambda: self._may_transmit(is_cyclic), BUSY_PATIENCE_S):
                raise IioError(errno.EBUSY)
            room = transmit_room(n_samples, count, self.rates.transmit)
            opening = TransmitOpening(n_samples, channels, is_cyclic, room, PAIR_BYTES * n_samples * count)
            self.transmitters = [*self.transmitters, opening]
        self._on_activity()
        return opening

    def _may_transmit(self, is_cyclic: bool) -> bool:
        if is_cyclic:
            return not self.transmitters
        return len(self.transmitters) < MAX_OPENINGS and not any(other.is_cyclic for other in self.transmitters)

    def close_transmit(self, opening: TransmitOpening) -> None:
        """With the last client that could write, what still waits is thrown away."""
        with self._lock:
            self.transmitters = [other for other in self.transmitters if other is not opening]
            if not self.transmitters:
                self.queue.clear()
            self._closed.notify_all()

    def transmit(self, opening: TransmitOpening, data: bytes, timeout_s: float) -> bool:
        """One piece of what a client writes, at most its buffer; False when there was no room in time.

        Raises:
            IioError: EBUSY: a cyclic buffer has its samples already.
        """
        values = np.frombuffer(data, "<i2").reshape(-1, len(opening.channels))
        pairs: Pairs = np.zeros((len(values), 2), np.int16)
        pairs[:, list(opening.channels)] = values
        if not opening.is_cyclic:
            return self.queue.write(pairs, max(opening.room, len(pairs)), timeout_s)
        if opening.is_loaded:
            raise IioError(errno.EBUSY)
        opening.is_loaded = True
        self.queue.repeat(pairs)
        return True

    # For the air

    def take(self, n: int) -> Pairs | None:
        """The next n samples of the transmitter, [n, 2], top 12 bits; None when it is silent."""
        pairs = self.queue.take(n) if self.transmitters else self._tones(n)
        if pairs is None:
            return None
        return pairs & np.int16(-16)  # the converter has 12 bits, at the top

    def _tones(self, n: int) -> Pairs | None:
        """Output of the oscillators in the FPGA while no buffer is written."""
        rate = self.rates.transmit
        result: npt.NDArray[np.float64] | None = None
        for index, name in enumerate(TONES):
            base = f"out_altvoltage{index}_{name}"
            scale = self.number(DDS, f"{base}_scale")
            if scale == 0 or self.value(DDS, f"{base}_raw") == "0":
                continue
            cycles = self._tone_phase[index] + self.number(DDS, f"{base}_frequency") / rate * np.arange(n + 1)
            self._tone_phase[index] = cycles[-1] % 1
            if result is None:
                result = np.zeros((n, 2))
            start = self.number(DDS, f"{base}_phase") / 360_000
            result[:, int("Q" in name)] += scale * np.sin(2 * np.pi * (cycles[:-1] + start))
        if result is None:
            self._tone_phase[:] = 0
            return None
        return np.asarray(np.clip(np.round(result * 32767), -32768, 32767), np.int16)

    def give(self, samples: Pairs) -> None:
        """What the receiver's converter made, [n, 2], to all who listen."""
        for opening in self.receivers:
            opening.push(samples)

    @property
    def is_streaming(self) -> bool:
        """Whether a client has a buffer open."""
        return bool(self.receivers or self.transmitters)


@dataclass(frozen=True)
class ClockChain:
    """Clocks from the converter to the samples, Hz; see `_clock_chain`."""

    bbpll: int
    rx: tuple[int, ...]
    """ADC, R2, R1, RF, RXSAMP."""
    tx: tuple[int, ...]
    """DAC, T2, T1, TF, TXSAMP."""


_HALF_BANDS = ((2, 2, 2), (3, 1, 2), (2, 2, 1), (3, 1, 1), (2, 1, 1), (1, 1, 1))
"""Factors of the decimating filters from the converter on, most oversampling first; with 3 x 2 x 2 as a last resort."""


def _clock_chain(rate: int, decimation: int) -> ClockChain:
    """The most oversampling that the converters' clocks allow, as the driver chooses it."""
    fir = rate * decimation
    first = ((3, 2, 2),) if fir * 8 < MIN_ADC_HZ else ()
    for factors in (*first, *_HALF_BANDS):
        rx = [fir * int(np.prod(factors[index:])) for index in range(3)]
        if rx[0] <= MAX_ADC_HZ:
            break
    tx = list(rx)
    if rx[0] > MAX_DAC_HZ / 2 and factors[0] == 2:  # the DAC runs at half, and its first filter does nothing
        tx = [rx[1], rx[1], rx[2]]
    elif rx[0] > MAX_DAC_HZ:
        tx = [rx[0] // 2, fir, fir]
    bbpll = rx[0]
    while bbpll < 715_000_000:
        bbpll *= 2
    return ClockChain(bbpll, (*rx, fir, rate), (*tx, fir, rate))
