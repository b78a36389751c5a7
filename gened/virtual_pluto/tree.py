# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of an ADALM-PLUTO (Rev. C, AD9363A) as libiio sees them: channels, attributes, what may be written.

An attribute's value belongs to its file, as in the kernel: channels that name the same file share one value. Rules take
the text that a client wrote and return the text that is stored, or refuse it; `radio` adds what hangs together.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from gened.hw_config.profile import VIRTUAL_MARK
from gened.virtual_pluto.protocol import Direction, IioError, Place

PHY, XADC, DDS, LPC = "ad9361-phy", "xadc", "cf-ad9361-dds-core-lpc", "cf-ad9361-lpc"
LO_MIN_HZ, LO_MAX_HZ = 325_000_000, 3_800_000_000
"""Of an AD9363A."""
MAX_RATE_HZ = 61_440_000
BOOT_RATE_HZ = 30_720_000
TX_GAIN_MIN_DB, TX_GAIN_STEP_DB = -89.75, 0.25
BOOT_TX_GAIN_DB = -10.0
RX_GAIN_MIN_DB, RX_GAIN_MAX_DB = -3, 71
BOOT_RX_GAIN_DB = 40
"""What the gain control of a virtual Pluto has settled at; a real one shows 71 with nothing at its antenna."""
XO_HZ = 40_000_159
XO_SPAN_HZ = 8_000
GAIN_MODES = ("manual", "fast_attack", "slow_attack", "hybrid")
ENSM_MODES = ("sleep", "wait", "alert", "fdd", "pinctrl", "pinctrl_fdd_indep")
RX_PORTS = (
    "A_BALANCED", "B_BALANCED", "C_BALANCED", "A_N", "A_P", "B_N", "B_P", "C_N", "C_P",
    "TX_MONITOR1", "TX_MONITOR2", "TX_MONITOR1_2",
)  # fmt: skip
TONES = ("TX1_I_F1", "TX1_I_F2", "TX1_Q_F1", "TX1_Q_F2")
MAX_NUMBER_LEN = 40

Rule = Callable[[str], str]


# Rules: text in, text to store out


def read_only(text: str) -> str:
    """Nothing may be written: EACCES."""
    raise IioError(errno.EACCES)


def anything(text: str) -> str:
    """Stored as it came, with a bound on its length."""
    if len(text) > 256 or not text:
        raise IioError(errno.EINVAL)
    return text


def number_of(text: str) -> float:
    """A finite number from text such as `40`, `40.0` or `-10.000000 dB`.

    Raises:
        IioError: EINVAL.
    """
    words = text.split()
    if not words or len(words) > 2 or len(text) > MAX_NUMBER_LEN or (len(words) == 2 and words[1] != "dB"):
        raise IioError(errno.EINVAL)
    try:
        value = float(words[0])
    except ValueError as exc:
        raise IioError(errno.EINVAL) from exc
    if not math.isfinite(value):
        raise IioError(errno.EINVAL)
    return value


def flag(text: str) -> str:
    """0 or 1, however written."""
    if text.strip() in ("0", "n", "N", "off"):
        return "0"
    if text.strip() in ("1", "y", "Y", "on"):
        return "1"
    return "1" if number_of(text) == 1 else _zero(text)


def _zero(text: str) -> str:
    if number_of(text) != 0:
        raise IioError(errno.EINVAL)
    return "0"


def whole(low: int, high: int) -> Rule:
    """Whole numbers from low to high; a fraction is dropped."""

    def rule(text: str) -> str:
        value = int(number_of(text))
        if not low <= value <= high:
            raise IioError(errno.EINVAL)
        return str(value)

    return rule


def real(low: float, high: float) -> Rule:
    """Numbers from low to high, stored with six decimals."""

    def rule(text: str) -> str:
        value = number_of(text)
        if not low <= value <= high:
            raise IioError(errno.EINVAL)
        return f"{value:.6f}"

    return rule


def choice(*words: str) -> Rule:
    """One of the words."""

    def rule(text: str) -> str:
        if text.strip() not in words:
            raise IioError(errno.EINVAL)
        return text.strip()

    return rule


def tx_gain(text: str) -> str:
    """Attenuation as a gain from -89.75 to 0 dB, rounded towards 0 in steps of 0.25."""
    value = number_of(text)
    if not TX_GAIN_MIN_DB <= value <= 0:
        raise IioError(errno.EINVAL)
    return f"{-math.floor(-value / TX_GAIN_STEP_DB) * TX_GAIN_STEP_DB or 0.0:.6f} dB"


def rx_gain(text: str) -> str:
    """Whole dB from -3 to 71."""
    value = int(number_of(text))
    if not RX_GAIN_MIN_DB <= value <= RX_GAIN_MAX_DB:
        raise IioError(errno.EINVAL)
    return f"{value}.000000 dB"


def refused(number: int) -> Rule:
    """Always that error."""

    def rule(text: str) -> str:
        raise IioError(number)

    return rule


# What a tree is made of


@dataclass(frozen=True)
class Attribute:
    """One value, as a client finds it."""

    name: str
    file: str
    """Unique in its device; channels with the same file share the value."""
    initial: str | IioError
    """At the start; an error where reading is one."""
    rule: Rule = read_only


@dataclass(frozen=True)
class Channel:
    """`scan` is index and format of one that can be streamed."""

    id: str
    direction: Direction
    attributes: tuple[Attribute, ...]
    name: str | None = None
    scan: tuple[int, str] | None = None


@dataclass(frozen=True)
class Device:
    """One of the context's devices."""

    id: str
    name: str
    channels: tuple[Channel, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    debug: tuple[Attribute, ...] = ()
    buffer: tuple[Attribute, ...] = ()

    @property
    def n_scan(self) -> int:
        """Channels that can be streamed."""
        return sum(channel.scan is not None for channel in self.channels)

    @property
    def n_mask_words(self) -> int:
        """Words of a channel mask: one for every started 32 channels."""
        return (len(self.channels) + 31) // 32

    def attributes_at(self, place: Place, direction: Direction, channel: str) -> tuple[Attribute, ...]:
        """Those of a place, in order.

        Raises:
            IioError: ENXIO: no such channel.
        """
        if place == "debug":
            return self.debug
        if place == "buffer":
            return self.buffer
        if place == "device":
            return self.attributes
        for candidate in self.channels:
            if candidate.direction == direction and channel in (candidate.id, candidate.name):
                return candidate.attributes
        raise IioError(errno.ENXIO)

    def every_attribute(self) -> list[Attribute]:
        """All of all places; files that are shared come several times."""
        everything = [attribute for channel in self.channels for attribute in channel.attributes]
        return [*everything, *self.attributes, *self.debug, *self.buffer]


def _file(prefix: str, name: str, initial: str | IioError, rule: Rule = read_only) -> Attribute:
    return Attribute(name, f"{prefix}_{name}", initial, rule)


def _local(name: str, initial: str | IioError, rule: Rule = read_only) -> Attribute:
    return Attribute(name, name, initial, rule)


def _debug(name: str, initial: str | IioError, rule: Rule = anything) -> Attribute:
    return Attribute(name, f"debug/{name}", initial, rule)


# The transceiver


def _lo(number: int, name: str, frequency: int) -> Channel:
    base = f"out_altvoltage{number}_{name}"
    attributes = (
        _file(base, "external", "0", refused(errno.ENODEV)),
        _file(base, "fastlock_load", "0", anything),
        _file(base, "fastlock_recall", IioError(errno.EINVAL), anything),
        _file(base, "fastlock_save", "0 " + ",".join(["0"] * 16), anything),
        _file(base, "fastlock_store", "0", anything),
        _file(base, "frequency", str(frequency), whole(LO_MIN_HZ, LO_MAX_HZ)),
        _file(base, "frequency_available", f"[{LO_MIN_HZ} 1 {LO_MAX_HZ}]"),
        _file(base, "powerdown", "0", flag),
    )
    return Channel(f"altvoltage{number}", "output", attributes, name)


def _shared(side: str, widest: int) -> tuple[Attribute, ...]:
    """What all voltage channels of a direction have in common."""
    base = f"{side}_voltage"
    return (
        _file(base, "filter_fir_en", "0", flag),
        _file(base, "rf_bandwidth", "18000000", whole(200_000, widest)),
        _file(base, "rf_bandwidth_available", f"[200000 1 {widest}]"),
        _file(base, "sampling_frequency", str(BOOT_RATE_HZ), whole(1, MAX_RATE_HZ)),
        _file(base, "sampling_frequency_available", f"[2083333 1 {MAX_RATE_HZ}]"),
    )


def _phy() -> Device:
    shared_in, shared_out = _shared("in", 56_000_000), _shared("out", 40_000_000)
    receive = (
        _file("in_voltage", "bb_dc_offset_tracking_en", "1", flag),
        _file("in_voltage", "rf_dc_offset_tracking_en", "1", flag),
        _file("in_voltage", "quadrature_tracking_en", "1", flag),
        _file("in_voltage0", "gain_control_mode", "slow_attack", choice(*GAIN_MODES)),
        _file("in_voltage", "gain_control_mode_available", " ".join(GAIN_MODES)),
        _file("in_voltage0", "hardwaregain", f"{BOOT_RX_GAIN_DB}.000000 dB", rx_gain),
        _file("in_voltage", "hardwaregain_available", f"[{RX_GAIN_MIN_DB} 1 {RX_GAIN_MAX_DB}]"),
        _file("in_voltage0", "rf_port_select", "A_BALANCED", choice(*RX_PORTS)),
        _file("in_voltage", "rf_port_select_available", " ".join(RX_PORTS)),
        _file("in_voltage0", "rssi", "115.00 dB"),
    )
    transmit = (
        _file("out_voltage0", "hardwaregain", f"{BOOT_TX_GAIN_DB:.6f} dB", tx_gain),
        _file("out_voltage", "hardwaregain_available", "[-89.750000 0.250000 0.000000]"),
        _file("out_voltage0", "rf_port_select", "A", choice("A", "B")),
        _file("out_voltage", "rf_port_select_available", "A B"),
        _file("out_voltage0", "rssi", "0.00 dB"),
    )
    aux = [("in", 2, "raw", "975"), ("in", 2, "scale", "0.305250"), ("in", 2, "offset", "57")]
    aux_in = tuple(_file(f"{side}_voltage{index}", name, value) for side, index, name, value in aux)
    channels = (
        _lo(1, "TX_LO", 2_450_000_000),
        Channel("voltage0", "input", (*receive, *shared_in)),
        Channel("voltage3", "output", (*_dac(3), *shared_out)),
        _lo(0, "RX_LO", 2_400_000_000),
        Channel("voltage2", "output", (*_dac(2), *shared_out)),
        Channel("temp0", "input", (_file("in_temp0", "input", "36842"),)),
        Channel("voltage0", "output", (*transmit, *shared_out)),
        Channel("voltage2", "input", (*aux_in, *shared_in)),
        Channel("out", "input", (Attribute("voltage_filter_fir_en", "in_out_voltage_filter_fir_en", "0", flag),)),
    )
    calibrations = ("auto", "manual", "manual_tx_quad", "tx_quad", "rf_dc_offs", "rssi_gain_step")
    attributes = (
        _local("calib_mode", "auto", choice(*calibrations)),
        _local("calib_mode_available", " ".join(calibrations)),
        _local("dcxo_tune_coarse", IioError(errno.ENODEV), refused(errno.ENODEV)),
        _local("dcxo_tune_coarse_available", "[0 0 0]"),
        _local("dcxo_tune_fine", IioError(errno.ENODEV), refused(errno.ENODEV)),
        _local("dcxo_tune_fine_available", "[0 0 0]"),
        _local("ensm_mode", "fdd", choice(*ENSM_MODES)),
        _local("ensm_mode_available", " ".join(ENSM_MODES)),
        _local("filter_fir_config", "FIR Rx: 0,0 Tx: 0,0", str),  # radio parses it
        _local("gain_table_config", IioError(errno.ENODEV), refused(errno.ENODEV)),
        _local("multichip_sync", IioError(errno.EACCES), anything),
        _local(
            "rssi_gain_step_error", "lna_error: 0 0 0 0\nmixer_error: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\ngain_step: 0"
        ),
        _local("rx_path_rates", ""),  # radio computes both
        _local("trx_rate_governor", "nominal", choice("nominal", "highest_osr")),
        _local("trx_rate_governor_available", "nominal highest_osr"),
        _local("tx_path_rates", ""),
        _local("xo_correction", str(XO_HZ), whole(XO_HZ - XO_SPAN_HZ, XO_HZ + XO_SPAN_HZ)),
        _local("xo_correction_available", f"[{XO_HZ - XO_SPAN_HZ} 1 {XO_HZ + XO_SPAN_HZ}]"),
    )
    return Device("iio:device0", PHY, channels, attributes, _phy_debug())


def _dac(number: int) -> tuple[Attribute, ...]:
    """An auxiliary converter."""
    base = f"out_voltage{number}"
    return (_file(base, "raw", "306", whole(0, 1023)), _file(base, "scale", "1.000000"))


_DEVICE_TREE_NUMBERS = {
    "adi,2rx-2tx-mode-enable": 0,
    "adi,1rx-1tx-mode-use-rx-num": 1,
    "adi,1rx-1tx-mode-use-tx-num": 1,
    "adi,frequency-division-duplex-mode-enable": 1,
    "adi,frequency-division-duplex-independent-mode-enable": 0,
    "adi,ensm-enable-pin-pulse-mode-enable": 0,
    "adi,ensm-enable-txnrx-control-enable": 0,
    "adi,xo-disable-use-ext-refclk-enable": 1,
    "adi,external-rx-lo-enable": 0,
    "adi,external-tx-lo-enable": 0,
    "adi,rx-rf-port-input-select": 0,
    "adi,tx-rf-port-input-select": 0,
    "adi,update-tx-gain-in-alert-enable": 0,
    "adi,tx-attenuation-mdB": 10000,
    "adi,rf-rx-bandwidth-hz": 18000000,
    "adi,rf-tx-bandwidth-hz": 18000000,
    "adi,gc-rx1-mode": 2,
    "adi,gc-rx2-mode": 2,
    "adi,gc-adc-ovr-sample-size": 4,
    "adi,gc-adc-small-overload-thresh": 47,
    "adi,gc-adc-large-overload-thresh": 58,
    "adi,gc-lmt-overload-high-thresh": 800,
    "adi,gc-lmt-overload-low-thresh": 704,
    "adi,gc-dec-pow-measurement-duration": 8192,
    "adi,gc-low-power-thresh": 24,
    "adi,mgc-rx1-ctrl-inp-enable": 0,
    "adi,mgc-inc-gain-step": 2,
    "adi,mgc-dec-gain-step": 2,
    "adi,agc-attack-delay-extra-margin-us": 1,
    "adi,rssi-restart-mode": 3,
    "adi,rssi-unit-is-rx-samples-enable": 0,
    "adi,rssi-delay": 1,
    "adi,rssi-wait": 1,
    "adi,rssi-duration": 1000,
    "adi,temp-sense-measurement-interval-ms": 1000,
    "adi,temp-sense-offset-signed": 206,
    "adi,temp-sense-periodic-measurement-enable": 1,
    "adi,aux-dac1-default-value-mV": 0,
    "adi,aux-dac2-default-value-mV": 0,
    "adi,clk-output-mode-select": 0,
    "adi,qec-tracking-slow-mode-enable": 0,
    "adi,dc-offset-tracking-update-event-mask": 5,
}


def _phy_debug() -> tuple[Attribute, ...]:
    register = _debug("direct_reg_access", "0x0")
    named = {"digital_tune": "0", "calibration_switch_control": "0", "multichip_sync": "0", "gaininfo_rx2": "0"}
    return (
        *(_debug(name, value) for name, value in named.items()),
        _debug("gaininfo_rx1", "40 40 0 0 0 0 0 0"),
        _debug("bist_timing_analysis", "0"),
        _debug("bist_tone", "0"),
        _debug("bist_prbs", "0"),
        _debug("loopback", "0", whole(0, 2)),
        _debug("initialize", IioError(errno.EACCES), flag),
        *(_debug(name, str(value)) for name, value in _DEVICE_TREE_NUMBERS.items()),
        register,
    )


# The others


def _xadc() -> Device:
    names = ("vccint", "vccaux", "vccbram", "vccpint", "vccpaux", "vccoddr", "vrefp", "vrefn")
    raws = (1395, 2474, 1394, 1389, 2469, 1846, 1704, 0)
    channels = [
        Channel(
            f"voltage{index}",
            "input",
            (
                _file(f"in_voltage{index}_{name}", "raw", str(raw)),
                _file(f"in_voltage{index}_{name}", "scale", "0.732421875"),
            ),
            name,
        )
        for index, (name, raw) in enumerate(zip(names, raws, strict=True))
    ]
    channels.append(
        Channel(
            "voltage8", "input", (_file("in_voltage8", "raw", "3830"), _file("in_voltage8", "scale", "0.244140625"))
        )
    )
    temperature = (
        _file("in_temp0", "offset", "-2219"),
        _file("in_temp0", "raw", "2700"),
        _file("in_temp0", "scale", "123.040771484"),
    )
    channels.append(Channel("temp0", "input", temperature))
    rate = _local("sampling_frequency", "961538", whole(1, 1_000_000))
    return Device("iio:device1", XADC, tuple(channels), (rate,))


def _streaming(base: str) -> tuple[Attribute, ...]:
    """Sample rates, which `radio` keeps in step with the transceiver."""
    return (
        _file(base, "sampling_frequency", str(BOOT_RATE_HZ), whole(1, MAX_RATE_HZ)),
        _file(base, "sampling_frequency_available", f"{BOOT_RATE_HZ} {BOOT_RATE_HZ // 8} "),
    )


_BUFFER = tuple(
    Attribute(name, f"buffer/{name}", value, rule)
    for name, value, rule in (
        ("data_available", "0", read_only),
        ("length_align_bytes", "8", read_only),
        ("watermark", "2048", whole(1, 2**31 - 1)),
    )
)


def _dds() -> Device:
    tones = []
    for index, name in enumerate(TONES):
        base = f"out_altvoltage{index}_{name}"
        attributes = (
            _file(base, "frequency", "9279985", whole(-MAX_RATE_HZ, MAX_RATE_HZ)),
            _file(base, "phase", "90000" if "I" in name else "0", whole(0, 360_000)),
            _file(base, "raw", "1", flag),
            _file(base, "scale", "0.000000", real(0.0, 1.0)),
            _file("out_altvoltage", "sampling_frequency", str(BOOT_RATE_HZ), read_only),
        )
        tones.append(Channel(f"altvoltage{index}", "output", attributes, name))
    voltages = [
        Channel(
            f"voltage{index}",
            "output",
            (
                _file(f"out_voltage{index}", "calibphase", "0.000000", real(-1.0, 1.0)),
                _file(f"out_voltage{index}", "calibscale", "1.000000", real(-2.0, 2.0)),
                *_streaming("out_voltage"),
            ),
            scan=(index, "le:S16/16>>0"),
        )
        for index in range(2)
    ]
    register = _debug("direct_reg_access", "0x0")
    return Device("iio:device2", DDS, (*voltages, *tones), debug=(register,), buffer=_BUFFER)


def _lpc() -> Device:
    channels = tuple(
        Channel(
            f"voltage{index}",
            "input",
            (
                _file(f"in_voltage{index}", "calibbias", "0", whole(-32768, 32767)),
                _file(f"in_voltage{index}", "calibphase", "0.000000", real(-1.0, 1.0)),
                _file(f"in_voltage{index}", "calibscale", "1.000000", real(-2.0, 2.0)),
                _file("in_voltage", "samples_pps", IioError(errno.ENODEV), refused(errno.ENODEV)),
                *_streaming("in_voltage"),
            ),
            scan=(index, "le:S12/16>>0"),
        )
        for index in range(2)
    )
    debug = (
        _debug("pseudorandom_err_check", "CH0 : PN9 : In Sync : OK\nCH1 : PN9 : In Sync : OK"),
        _debug("direct_reg_access", "0x0"),
    )
    return Device("iio:device3", LPC, channels, debug=debug, buffer=_BUFFER)


DEVICES: tuple[Device, ...] = (_phy(), _xadc(), _dds(), _lpc())


def find_device(name: str, devices: Sequence[Device] = DEVICES) -> Device:
    """By id or name.

    Raises:
        IioError: ENODEV.
    """
    for device in devices:
        if name in (device.id, device.name):
            return device
    raise IioError(errno.ENODEV)


# As XML


_DOCTYPE = """<!DOCTYPE context [
<!ELEMENT context (device | context-attribute)*>
<!ELEMENT context-attribute EMPTY>
<!ELEMENT device (channel | attribute | debug-attribute | buffer-attribute)*>
<!ELEMENT channel (scan-element?, attribute*)>
<!ELEMENT attribute EMPTY>
<!ELEMENT scan-element EMPTY>
<!ELEMENT debug-attribute EMPTY>
<!ELEMENT buffer-attribute EMPTY>
<!ATTLIST context name CDATA #REQUIRED version-major CDATA #REQUIRED version-minor CDATA #REQUIRED
 version-git CDATA #REQUIRED description CDATA #IMPLIED>
<!ATTLIST context-attribute name CDATA #REQUIRED value CDATA #REQUIRED>
<!ATTLIST device id CDATA #REQUIRED name CDATA #IMPLIED label CDATA #IMPLIED>
<!ATTLIST channel id CDATA #REQUIRED type (input|output) #REQUIRED name CDATA #IMPLIED>
<!ATTLIST scan-element index CDATA #REQUIRED format CDATA #REQUIRED scale CDATA #IMPLIED>
<!ATTLIST attribute name CDATA #REQUIRED filename CDATA #IMPLIED>
<!ATTLIST debug-attribute name CDATA #REQUIRED>
<!ATTLIST buffer-attribute name CDATA #REQUIRED>
]>"""


def context_xml(serial: str, devices: Sequence[Device] = DEVICES) -> str:
    """The context as PRINT gives it: well-formed, with the document type that its elements follow.

    Args:
        serial: Serial number of this virtual Pluto.
        devices: In order.
    """
    about = {
        "hw_model": "Analog Devices PlutoSDR Rev.C (Z7010-AD9363A)",
        "hw_model_variant": "0",
        "hw_serial": serial,
        "fw_version": "v0.32",
        "ad9361-phy,xo_correction": str(XO_HZ),
        "ad9361-phy,model": "ad9363a",
        "local,kernel": "4.19.0-virtual",
        VIRTUAL_MARK: "1",
    }
    head = _tag(
        "context", {"name": "local", "description": "Linux virtual Pluto (gr-gened)", "version-major": "0",
                    "version-minor": "24", "version-git": "v0.24"},
    )  # fmt: skip
    inner = [_tag("context-attribute", {"name": name, "value": value}, is_empty=True) for name, value in about.items()]
    inner += [_device_xml(device) for device in devices]
    return f'<?xml version="1.0" encoding="utf-8"?>{_DOCTYPE}{head}{"".join(inner)}</context>'


def _tag(name: str, attributes: dict[str, str], *, is_empty: bool = False) -> str:
    text = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{text}{' /' if is_empty else ''}>"


def _device_xml(device: Device) -> str:
    parts = [_tag("device", {"id": device.id, "name": device.name})]
    for channel in device.channels:
        named = {"id": channel.id, "type": channel.direction, **({"name": channel.name} if channel.name else {})}
        parts.append(_tag("channel", named))
        if channel.scan is not None:
            index, kind = channel.scan
            parts.append(_tag("scan-element", {"index": str(index), "format": kind}, is_empty=True))
        for attribute in channel.attributes:
            parts.append(_tag("attribute", {"name": attribute.name, "filename": attribute.file}, is_empty=True))
        parts.append("</channel>")
    for kind, attributes in (
        ("attribute", device.attributes),
        ("debug-attribute", device.debug),
        ("buffer-attribute", device.buffer),
    ):
        parts += [_tag(kind, {"name": attribute.name}, is_empty=True) for attribute in attributes]
    return "".join([*parts, "</device>"])
