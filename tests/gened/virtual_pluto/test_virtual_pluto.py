# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual Pluto from inside: what it understands, what it refuses, and what happens to samples on its air."""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from gened.errors import ConfigError, LinkError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.link.control import free_ports
from gened.virtual_pluto import protocol
from gened.virtual_pluto.air import BACKOFF_DB, Air, AirConfig, RateChanger
from gened.virtual_pluto.buffers import BurstFinder, ReceiveBuffer, TransmitQueue
from gened.virtual_pluto.protocol import Command, IioError, pack_all, parse, unpack_all
from gened.virtual_pluto.radio import MAX_BUFFER_BYTES, MAX_OPEN_BYTES, OVERFLOW, UNDERFLOW, Pluto
from gened.virtual_pluto.server import MAX_CONNECTIONS, ServerConfig, VirtualPlutos
from gened.virtual_pluto.tree import DDS, DEVICES, LPC, PHY, context_xml, find_device, rx_gain, tx_gain

FIR = "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "1,1\n" * 128
RATE = 1_000_000
N_STEP = 8000
"""Samples of a step of 8 ms."""


def write(pluto: Pluto, device: str, place: str, name: str, text: str) -> None:
    """`place` is a channel as `in:voltage0`, or the place's name."""
    found = find_device(device)
    side, _, channel = place.partition(":")
    if channel:
        attributes = found.attributes_at("channel", "input" if side == "in" else "output", channel)
    else:
        attributes = found.attributes_at(place, "input", "")
    pluto.write(found, next(attribute for attribute in attributes if attribute.name == name), text)


def read(pluto: Pluto, device: str, file: str) -> str:
    found = find_device(device)
    return pluto.read(found, next(attribute for attribute in found.every_attribute() if attribute.file == file))


def slow_down(pluto: Pluto) -> None:
    """To 1 Msample/s, both carriers at 2.4 GHz, as a client does it."""
    write(pluto, PHY, "device", "filter_fir_config", FIR)
    write(pluto, PHY, "in:out", "voltage_filter_fir_en", "1")
    write(pluto, PHY, "in:voltage0", "sampling_frequency", str(RATE))
    write(pluto, PHY, "out:TX_LO", "frequency", "2400000000")


# Lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"PRINT\r\n", Command("PRINT")),
        (b"quit\n", Command("EXIT")),
        (b"\r\n", None),
        (b"TIMEOUT 2500", Command("TIMEOUT", number=2500)),
        (b"TIMEOUT never", Command("TIMEOUT", number=0)),
        (b"OPEN iio:device3 1024 00000003", Command("OPEN", "iio:device3", number=1024, mask="00000003")),
        (b"OPEN d 1 0000000A CYCLIC", Command("OPEN", "d", number=1, mask="0000000a", is_cyclic=True)),
        (b"READ iio:device0 ensm_mode", Command("READ", "iio:device0", attribute="ensm_mode")),
        (b"READ iio:device0 ", Command("READ", "iio:device0")),
        (
            b"READ iio:device0 INPUT voltage0 hardwaregain",
            Command("READ", "iio:device0", place="channel", channel="voltage0", attribute="hardwaregain"),
        ),
        (
            b"WRITE iio:device2 OUTPUT altvoltage0  24",
            Command("WRITE", "iio:device2", place="channel", direction="output", channel="altvoltage0", number=24),
        ),
        (b"WRITE d DEBUG loopback 2", Command("WRITE", "d", place="debug", attribute="loopback", number=2)),
        (b"WRITE d 24", Command("WRITE", "d", number=24)),
        (b"READ d BUFFER watermark", Command("READ", "d", place="buffer", attribute="watermark")),
        (b"SET d BUFFERS_COUNT 8", Command("SET", "d", number=8)),
    ],
)
def test_lines_of_clients_are_understood(line: bytes, expected: Command | None) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"Print", b"PRINT now", b"BINARY", b"READ", b"WRITE", b"WRITE d", b"WRITE d attr", b"READ d a b c",
        b"OPEN d 10", b"OPEN d -1 00000003", b"OPEN d 1 3", b"OPEN d 1 0000000g", b"OPEN d 1 00000003 LINEAR",
        b"READBUF d 1e3", b"READBUF d 99999999999999999999999", b"WRITEBUF d -4", b"READ d INPUT", b"READ d\tx",
        b"\xff\xfe\x00", b"\0", b"SET d BUFFERS_COUNT x", b"SET d WATERMARK 4", b"READ \xc3\xa9 a", b"GETTRIG",
        b"WRITE d attr 18446744073709551617",
    ],
)  # fmt: skip
def test_lines_that_mean_nothing_are_refused(line: bytes) -> None:
    with pytest.raises(IioError) as info:
        parse(line)
    assert info.value.code == -errno.EINVAL


def test_a_line_has_a_longest() -> None:
    with pytest.raises(protocol.LineTooLongError):
        parse(b"READ " + b"a" * protocol.MAX_LINE)


@given(st.binary(max_size=200))
def test_no_bytes_upset_the_parser(line: bytes) -> None:
    try:
        parse(line)
    except IioError as error:
        assert error.code == -errno.EINVAL


def test_all_values_at_once_are_packed_as_iiod_does() -> None:
    block = pack_all(["0", "8", "2048"])
    assert block.hex() == "00000002" + "30000000" + "00000002" + "38000000" + "00000005" + "3230343800000000"
    assert pack_all([IioError(errno.EINVAL)]).hex() == "ffffffea"
    assert unpack_all(block, 3) == ["0", "8", "2048"]
    assert unpack_all(bytes(4), 1) == [None]


@pytest.mark.parametrize("block", [b"", b"\0\0\0", b"\x7f\xff\xff\xff1", b"\0\0\0\x021", pack_all(["1", "2"])])
def test_blocks_that_do_not_add_up_are_refused(block: bytes) -> None:
    with pytest.raises(IioError):
        unpack_all(block, 1)


# The tree


def test_xml_is_well_formed_and_has_what_clients_look_for() -> None:
    text = context_xml("virtual-0")
    root = ElementTree.fromstring(text)
    assert root.get("version-git") == "v0.24" and "\n]>" in text
    devices = {device.get("name"): device for device in root.iter("device")}
    assert list(devices) == ["ad9361-phy", "xadc", "cf-ad9361-dds-core-lpc", "cf-ad9361-lpc"]
    scans = devices[LPC].findall(".//scan-element")
    assert [scan.get("format") for scan in scans] == ["le:S12/16>>0"] * 2
    files = {attribute.get("filename") for attribute in devices[PHY].iter("attribute")}
    assert {"out_altvoltage0_RX_LO_frequency", "in_out_voltage_filter_fir_en", "in_voltage_sampling_frequency"} <= files
    for name in (DDS, LPC):
        assert "direct_reg_access" in [element.get("name") for element in devices[name].iter("debug-attribute")]


def test_channels_that_share_a_file_share_its_value_and_rule() -> None:
    for device in DEVICES:
        seen = {}
        for attribute in device.every_attribute():
            first = seen.setdefault(attribute.file, attribute)
            assert (first.name, str(first.initial)) == (attribute.name, str(attribute.initial))
            assert first.rule.__qualname__ == attribute.rule.__qualname__
    pluto = Pluto()
    write(pluto, PHY, "out:voltage3", "rf_bandwidth", "20000000")
    assert read(pluto, PHY, "out_voltage_rf_bandwidth") == "20000000"
    assert read(pluto, PHY, "in_voltage_rf_bandwidth") == "18000000"


EVERY = [(device, attribute) for device in DEVICES for attribute in device.every_attribute()]


def test_every_attribute_reads_as_short_ascii_or_an_error() -> None:
    pluto = Pluto()
    for device, attribute in EVERY:
        try:
            value = pluto.read(device, attribute)
        except IioError as error:
            assert error.code < 0
        else:
            assert 0 < len(value.encode("ascii")) < 1023, attribute.file


@given(st.sampled_from(EVERY), st.one_of(st.text(max_size=60), st.floats().map(str), st.integers().map(str)))
def test_no_text_upsets_an_attribute(where, text: str) -> None:
    pluto = Pluto()
    device, attribute = where
    try:
        pluto.write(device, attribute, text)
    except IioError as error:
        assert error.code < 0
    assert pluto.rates.receive * 8 >= 520_833 and pluto.receive_carrier_hz > 3e8 and pluto.transmit_gain_db <= 0


@pytest.mark.parametrize(
    ("text", "stored"),
    [("-30.3", "-30.250000 dB"), ("-10.000000 dB", "-10.000000 dB"), ("0", "0.000000 dB"), ("-89.75", "-89.750000 dB")],
)
def test_attenuation_is_kept_in_quarter_decibels(text: str, stored: str) -> None:
    assert tx_gain(text) == stored


@pytest.mark.parametrize("text", ["0.1", "-90", "nan", "inf", "", "loud", "-10 V", "1e999"])
def test_attenuations_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(IioError):
        tx_gain(text)


def test_receive_gain_is_whole_and_wants_manual_mode() -> None:
    pluto = Pluto()
    assert rx_gain("40.9") == "40.000000 dB"
    with pytest.raises(IioError, match="ENOTSUP|EOPNOTSUPP"):
        write(pluto, PHY, "in:voltage0", "hardwaregain", "30")
    write(pluto, PHY, "in:voltage0", "gain_control_mode", "manual")
    write(pluto, PHY, "in:voltage0", "hardwaregain", "30")
    assert pluto.receive_gain_db == 30
    for text in ("72", "-4"):
        with pytest.raises(IioError, match="EINVAL"):
            write(pluto, PHY, "in:voltage0", "hardwaregain", text)


def test_carriers_have_the_range_of_the_chip_and_can_be_read_back() -> None:
    pluto = Pluto()
    for text in ("324999999", "3800000001", "-1", "2.4 GHz"):
        with pytest.raises(IioError, match="EINVAL"):
            write(pluto, PHY, "out:RX_LO", "frequency", text)
    write(pluto, PHY, "out:altvoltage1", "frequency", "325000000")
    write(pluto, PHY, "out:TX_LO", "powerdown", "1")
    assert read(pluto, PHY, "out_altvoltage1_TX_LO_frequency") == "325000000"
    assert read(pluto, PHY, "out_altvoltage1_TX_LO_powerdown") == "1" and not pluto.is_radiating


# Rates


def test_rates_follow_each_other() -> None:
    pluto = Pluto()
    write(pluto, PHY, "out:voltage0", "sampling_frequency", "2500000.0")
    assert read(pluto, PHY, "in_voltage_sampling_frequency") == "2500000"
    assert read(pluto, LPC, "in_voltage_sampling_frequency_available") == "2500000 312500 "
    assert read(pluto, DDS, "out_altvoltage_sampling_frequency") == "2500000"
    words = re.split("[ :]", read(pluto, PHY, "tx_path_rates"))
    assert words[2] == "DAC" and words[10:] == ["TXSAMP", "2500000"]


def test_slow_rates_need_the_filter_and_the_filter_its_taps() -> None:
    pluto = Pluto()
    for place, name, text in (
        ("in:voltage0", "sampling_frequency", "1000000"),
        ("in:voltage0", "sampling_frequency", "61440001"),
        ("in:out", "voltage_filter_fir_en", "1"),
    ):
        with pytest.raises(IioError, match="EINVAL"):
            write(pluto, PHY, place, name, text)
    slow_down(pluto)
    assert read(pluto, PHY, "filter_fir_config") == "FIR Rx: 128,4 Tx: 128,4"
    assert read(pluto, PHY, "in_voltage_sampling_frequency_available") == "[520833 1 30720000]"
    with pytest.raises(IioError, match="EINVAL"):  # the rate would be out of range without it
        write(pluto, PHY, "in:out", "voltage_filter_fir_en", "0")


def test_the_filter_of_the_fpga_divides_by_eight() -> None:
    pluto = Pluto()
    write(pluto, LPC, "in:voltage0", "sampling_frequency", "3840000")
    assert pluto.rates.receive == 3_840_000 and pluto.rates.transmit == 30_720_000
    with pytest.raises(IioError):
        write(pluto, LPC, "in:voltage0", "sampling_frequency", "1000000")


@pytest.mark.parametrize(
    "text", ["", "RX 3 GAIN 0 DEC 4\n", "1,1\n" * 129, "1,1\n" * 144, "hello\n" * 16, "1,1\n" * 17]
)
def test_bad_filters_are_refused(text: str) -> None:
    with pytest.raises(IioError, match="EINVAL"):
        write(Pluto(), PHY, "device", "filter_fir_config", text)


def test_a_sleeping_radio_takes_no_orders_but_to_wake() -> None:
    pluto = Pluto()
    write(pluto, PHY, "device", "ensm_mode", "sleep")
    with pytest.raises(IioError, match="EINVAL"):
        write(pluto, PHY, "out:RX_LO", "frequency", "2400000000")
    write(pluto, PHY, "device", "ensm_mode", "fdd")
    write(pluto, PHY, "out:RX_LO", "frequency", "2400000000")


# Buffers


@pytest.mark.parametrize(
    ("device", "n", "mask", "name"),
    [
        (LPC, 0, "00000003", "EINVAL"),
        (LPC, 16, "00000000", "EINVAL"),
        (LPC, 16, "00000004", "EINVAL"),
        (LPC, 16, "0000000000000003", "EINVAL"),
        (PHY, 16, "00000001", "EINVAL"),
        (LPC, 2**62, "00000003", "ENOMEM"),
        (LPC, MAX_BUFFER_BYTES, "00000003", "ENOMEM"),
    ],
)
def test_openings_that_cannot_be_are_refused(device: str, n: int, mask: str, name: str) -> None:
    with pytest.raises(IioError, match=name):
        Pluto().open_receive(find_device(device), n, mask)


def test_all_that_is_open_together_has_a_bound() -> None:
    pluto = Pluto()
    n = MAX_OPEN_BYTES // 4 // 4 // 3
    opened = [pluto.open_receive(find_device(LPC), n, "00000003") for _ in range(3)]
    with pytest.raises(IioError, match="ENOMEM"):
        pluto.open_transmit(find_device(DDS), n, "00000003", is_cyclic=True)
    pluto.close_receive(opened[0])
    pluto.open_transmit(find_device(DDS), n, "00000003", is_cyclic=True)


def ramp(start: int, n: int) -> np.ndarray:
    return np.stack([np.arange(start, start + n), np.zeros(n)], axis=1).astype(np.int16)


def taken(queue: TransmitQueue | Pluto, n: int) -> np.ndarray:
    """The next samples of I; waits for a transmission that is about to begin."""
    found: list[np.ndarray] = []

    def takes() -> bool:
        pairs = queue.take(n)
        if pairs is not None:
            found.append(pairs)
        return pairs is not None

    assert wait_until(takes)
    return found[0][:, 0]


def test_late_reads_overflow_between_whole_buffers() -> None:
    lost = []
    buffer = ReceiveBuffer(100, (0, 1), 4, 1000.0, lambda: lost.append(1))
    for start in range(0, 1000, 50):
        buffer.push(ramp(start, 50))
    assert lost and buffer.lost_samples == 600
    values = [np.frombuffer(buffer.pop(0) or b"", "<i2")[::2] for _ in range(4)]
    assert np.array_equal(np.concatenate(values), np.arange(400))
    assert buffer.pop(0) is None
    buffer.push(ramp(2000, 100))
    assert np.frombuffer(buffer.pop(0) or b"", "<i2")[0] == 2000


def test_one_channel_alone_can_be_read() -> None:
    buffer = ReceiveBuffer(10, (1,), 4, 1000.0, lambda: None)
    buffer.push(np.stack([np.zeros(10), np.arange(10)], axis=1).astype(np.int16))
    assert np.array_equal(np.frombuffer(buffer.pop(0) or b"", "<i2"), np.arange(10))


def test_late_writes_underflow_with_zeros() -> None:
    missing = []
    queue = TransmitQueue(lambda: missing.append(1))
    assert queue.take(50) is None and not missing  # nothing was begun
    assert queue.write(ramp(1, 100), 400, 0)
    assert np.array_equal(taken(queue, 80), np.arange(1, 81)) and not missing
    rest = taken(queue, 80)
    assert np.array_equal(rest[:20], np.arange(81, 101)) and not rest[20:].any()
    assert missing == [1] and queue.missing_samples == 60
    assert queue.take(80) is None and missing == [1]


def test_a_full_queue_makes_its_writer_wait() -> None:
    queue = TransmitQueue(lambda: None)
    assert queue.write(ramp(0, 300), 400, 0)
    assert not queue.write(ramp(0, 300), 400, 0.01)
    writer = threading.Thread(target=queue.write, args=(ramp(0, 300), 400, 5.0))
    writer.start()
    assert queue.take(250) is not None
    writer.join(5.0)
    assert not writer.is_alive()


def test_a_cyclic_buffer_goes_round_without_a_seam_until_it_is_closed() -> None:
    pluto = Pluto()
    opening = pluto.open_transmit(find_device(DDS), 7, "00000003", is_cyclic=True)
    pluto.transmit(opening, (ramp(1, 7) * 16).astype("<i2").tobytes(), 0)
    values = np.concatenate([taken(pluto, n) // 16 for n in (3, 10, 5)])
    assert np.array_equal(values, np.arange(18) % 7 + 1)
    for is_cyclic in (False, True):
        with pytest.raises(IioError, match="EBUSY"):
            pluto.open_transmit(find_device(DDS), 7, "00000003", is_cyclic=is_cyclic)
    with pytest.raises(IioError, match="EBUSY"):
        pluto.transmit(opening, bytes(28), 0)
    pluto.close_transmit(opening)
    assert pluto.take(5) is None


def test_status_bits_are_raised_and_cleared_by_writing_ones() -> None:
    air = Air(AirConfig())
    pluto = air.plutos[0]
    slow_down(pluto)
    pluto.open_receive(find_device(LPC), 100, "00000003")
    opening = pluto.open_transmit(find_device(DDS), N_STEP, "00000003", is_cyclic=False)
    pluto.transmit(opening, bytes(4 * 9000), 0)

    def is_raised(device: str, bit: int) -> bool:
        air.step(0.008)
        write(pluto, device, "debug", "direct_reg_access", "2147483784")
        return bool(int(read(pluto, device, "debug/direct_reg_access"), 0) & bit)

    for device, bit in ((LPC, OVERFLOW), (DDS, UNDERFLOW)):
        assert wait_until(lambda device=device, bit=bit: is_raised(device, bit))
    for device, bit in ((LPC, OVERFLOW), (DDS, UNDERFLOW)):
        write(pluto, device, "debug", "direct_reg_access", "2147483784")
        assert int(read(pluto, device, "debug/direct_reg_access"), 0) == bit
        write(pluto, device, "debug", "direct_reg_access", f"0x80000088 0x{bit:x}")
        assert read(pluto, device, "debug/direct_reg_access") == "0x0"


def test_bursts_begin_behind_a_gap() -> None:
    finder = BurstFinder()
    samples = np.zeros((100, 2), np.int16)
    samples[10:20, 0], samples[30:40, 1], samples[90:, 0] = 1, 1, 1
    assert finder.starts(samples).tolist() == [10, 90]
    assert finder.starts(samples[:5]).tolist() == []
    assert finder.starts(samples).tolist() == [90]  # 5 + 10 zeros behind the last burst are no gap


# The air


class Lab:
    """Plutos whose air goes on when told to."""

    def __init__(self, n_plutos: int = 1, **channel) -> None:
        ppm = channel.pop("freq_offset_ppm", 0.0)
        self.air = Air(AirConfig(channel=ChannelConfig(**{"snr_db": 100.0, **channel}), freq_offset_ppm=ppm), n_plutos)
        for pluto in self.air.plutos:
            slow_down(pluto)
            write(pluto, PHY, "in:voltage0", "gain_control_mode", "manual")

    def send(self, samples: np.ndarray, index: int = 0) -> None:
        """Complex samples of full scale 1, again and again."""
        pluto = self.air.plutos[index]
        for opening in pluto.transmitters:
            pluto.close_transmit(opening)
        pairs = np.round(np.stack([samples.real, samples.imag], axis=1) * 32768).clip(-32768, 32767).astype("<i2")
        opening = pluto.open_transmit(find_device(DDS), len(pairs), "00000003", is_cyclic=True)
        pluto.transmit(opening, pairs.tobytes(), 0)

    def hear(self, index: int = 0, steps: int = 3) -> np.ndarray:
        """Complex samples of full scale 1, from now on."""
        pluto = self.air.plutos[index]
        opening = pluto.open_receive(find_device(LPC), 1000, "00000003")
        chunks = []
        for _ in range(steps):
            self.air.step(0.008)
            while (data := opening.pop(0)) is not None:
                chunks.append(np.frombuffer(data, "<i2").astype(float))
        pluto.close_receive(opening)
        values = np.concatenate(chunks) / 2048
        return values[::2] + 1j * values[1::2]

    def write(self, *what: str, index: int = 0) -> None:
        write(self.air.plutos[index], *what)


def tone(cycles: float, n: int = N_STEP, level_db: float = -BACKOFF_DB) -> np.ndarray:
    return 10 ** (level_db / 20) * np.exp(2j * np.pi * cycles * np.arange(n))


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(max(np.mean(np.abs(samples) ** 2), 1e-12)))


def frequency(samples: np.ndarray) -> float:
    """Of the strongest line, in cycles per sample."""
    spectrum = np.fft.fft(samples)
    return float(np.fft.fftfreq(len(samples))[np.argmax(np.abs(spectrum))])


def test_the_usual_level_arrives_at_the_usual_level_to_a_step_of_the_converter() -> None:
    lab = Lab()
    sent = tone(0.01)
    lab.send(sent)
    heard = lab.hear()
    assert len(heard) == 3 * N_STEP
    assert np.max(np.abs(heard[:N_STEP] - sent)) < 3 / 2048


@pytest.mark.parametrize("snr_db", [4.0, 12.0])
def test_the_snr_is_that_of_an_occupied_carrier(snr_db: float) -> None:
    noise = Lab(snr_db=snr_db).hear(steps=6)
    expected = WAVEFORM.noise_var_per_sample(snr_db) * 10 ** (-BACKOFF_DB / 10)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(expected, rel=0.05)


def test_attenuation_lowers_the_snr_decibel_by_decibel_and_the_receive_gain_does_not() -> None:
    lab = Lab(snr_db=20.0)
    lab.send(tone(1000 / N_STEP))
    levels, noises = [], []
    for attenuation, gain in (("-10", "40"), ("-17", "40"), ("-27", "40"), ("-10", "30"), ("-27", "57")):
        lab.write(PHY, "out:voltage0", "hardwaregain", attenuation)
        lab.write(PHY, "in:voltage0", "hardwaregain", gain)
        spectrum = np.fft.fft(lab.hear(steps=1)) / N_STEP
        levels.append(20 * np.log10(abs(spectrum[1000])))
        noises.append(10 * np.log10(np.sum(np.abs(np.delete(spectrum, 1000)) ** 2)))
    assert np.subtract(levels, levels[0]) == pytest.approx([0, -7, -17, -10, 0], abs=0.2)
    assert np.subtract(noises, noises[0]) == pytest.approx([0, 0, 0, -10, 17], abs=0.4)


def test_the_converter_has_twelve_bits_and_clips() -> None:
    lab = Lab()
    lab.send(tone(0.003, level_db=-3))
    lab.write(PHY, "out:voltage0", "hardwaregain", "0")
    values = np.concatenate([(heard := lab.hear()).real, heard.imag]) * 2048
    assert values.min() == -2048 and values.max() == 2047
    assert np.array_equal(values, np.round(values))


def test_digital_loopback_gives_the_upper_twelve_bits() -> None:
    lab = Lab(snr_db=0.0)
    lab.write(PHY, "debug", "loopback", "1")
    sent = tone(0.01)
    lab.send(sent)
    heard = lab.hear(steps=1)
    expected = np.floor(np.round(np.array([sent.real, sent.imag]) * 32768) / 16) / 2048
    assert np.array_equal(heard, expected[0] + 1j * expected[1])


@pytest.mark.parametrize("how", ["powerdown", "closed", "alert"])
def test_a_mute_transmitter_leaves_noise_alone(how: str) -> None:
    lab = Lab(2, snr_db=20.0)
    lab.send(tone(0.1))
    assert power_db(lab.hear(1)) > -13 and lab.air.plutos[0].radiated_power == pytest.approx(1.0, rel=0.01)
    if how == "powerdown":
        lab.write(PHY, "out:TX_LO", "powerdown", "1")
    elif how == "alert":
        lab.write(PHY, "device", "ensm_mode", "alert")
    else:
        lab.air.plutos[0].close_transmit(lab.air.plutos[0].transmitters[0])
    assert power_db(lab.hear(1)) == pytest.approx(-32 + 1, abs=0.3)
    assert lab.air.plutos[0].radiated_power == 0.0


def test_of_a_pair_each_hears_the_other_and_not_itself() -> None:
    lab = Lab(2, snr_db=30.0)
    lab.send(tone(0.1))
    assert frequency(lab.hear(1)) == pytest.approx(0.1, abs=1e-4)
    assert power_db(lab.hear(0)) < -40
    lab.send(tone(-0.2), index=1)
    assert frequency(lab.hear(0)) == pytest.approx(-0.2, abs=1e-4)


def test_the_difference_of_carriers_is_the_frequency_offset() -> None:
    lab = Lab()
    lab.send(tone(0.1))
    lab.write(PHY, "out:RX_LO", "frequency", "2399950000")
    assert frequency(lab.hear()) == pytest.approx(0.15, abs=1e-4)
    lab.write(PHY, "out:RX_LO", "frequency", "2405000000")  # beyond the receiver's band
    assert power_db(lab.hear()) < -60


def test_crystals_move_the_carrier_and_xo_correction_moves_it_back() -> None:
    lab = Lab(2, freq_offset_ppm=12.0)
    lab.send(tone(0.1))
    assert frequency(lab.hear(1)) == pytest.approx(0.1 + 12e-6 * 2.4e9 / RATE, abs=1e-4)
    lab.write(PHY, "device", "xo_correction", str(round(40_000_159 * (1 + 12e-6))), index=0)
    assert frequency(lab.hear(1)) == pytest.approx(0.1, abs=1e-4)


def test_a_carrier_that_moves_leaves_no_jump_of_phase() -> None:
    lab = Lab()
    lab.send(np.full(N_STEP, 10 ** (-BACKOFF_DB / 20)))
    opening = lab.air.plutos[0].open_receive(find_device(LPC), N_STEP, "00000003")
    for frequency_hz in ("2400000000", "2399999000", "2400000500"):
        lab.write(PHY, "out:RX_LO", "frequency", frequency_hz)
        lab.air.step(0.008)
    values = np.concatenate([np.frombuffer(opening.pop(0) or b"", "<i2") for _ in range(3)]).astype(float)
    steps = np.diff(np.unwrap(np.angle(values[::2] + 1j * values[1::2])))
    assert np.max(np.abs(steps)) < 0.02


def test_rates_that_differ_are_resampled() -> None:
    lab = Lab(2)
    lab.write(PHY, "in:voltage0", "sampling_frequency", "3000000", index=0)
    lab.send(tone(0.1, 24000))
    assert frequency(lab.hear(1, 6)) == pytest.approx(0.3, abs=1e-3)
    assert power_db(lab.hear(1, 6)[2000:]) == pytest.approx(-BACKOFF_DB, abs=0.3)
    lab.send(tone(0.25, 24000))  # 750 kHz: the receiver's half band is 500 kHz
    lab.hear(1)
    assert power_db(lab.hear(1, 6)) < -55


@pytest.mark.parametrize("ratio", [0.3, 0.5, 1.7, 4.0])
def test_a_changer_of_rates_gives_as_many_samples_as_time_passes(ratio: float) -> None:
    changer = RateChanger(1e6 * ratio, 1e6)
    n = sum(len(changer.process(np.ones(1000, np.complex64))) for _ in range(40))
    assert n == pytest.approx(40_000 / ratio, abs=60 / min(ratio, 1))


def test_tones_of_the_fpga_go_out_while_nobody_writes() -> None:
    lab = Lab()
    for channel, phase in (("TX1_I_F1", "90000"), ("TX1_Q_F1", "0")):
        for name, text in (("frequency", "125000"), ("phase", phase), ("scale", "0.25"), ("raw", "1")):
            lab.write(DDS, f"out:{channel}", name, text)
    heard = lab.hear()
    assert frequency(heard) == pytest.approx(0.125, abs=1e-4)
    assert power_db(heard) == pytest.approx(-BACKOFF_DB, abs=0.1)
    lab.send(np.zeros(N_STEP, complex))
    assert power_db(lab.hear()) < -60


def test_each_burst_has_a_gain_of_its_own_under_block_fading() -> None:
    lab = Lab(kind="rayleigh-block", seed=3)
    burst = np.concatenate([tone(0.1, 1800), np.zeros(200)])
    lab.send(np.tile(burst, 4))
    heard = lab.hear(steps=4).reshape(-1, 2000)[:, 100:1700]
    gains = 20 * np.log10(np.mean(np.abs(heard), axis=1))
    assert np.std(gains) > 3
    lab.send(tone(0.1))  # one burst without an end
    lab.hear(steps=1)
    assert np.ptp([power_db(part) for part in lab.hear(steps=3).reshape(-1, 2000)]) < 0.5


def test_defects_of_the_channel_reach_the_receiver() -> None:
    heard = Lab(dc_offset=0.5, snr_db=20.0).hear()
    assert np.mean(heard) == pytest.approx(0.5 * 10 ** (-BACKOFF_DB / 20), rel=0.05)


def test_a_sender_with_a_slow_clock_is_heard_in_more_samples() -> None:
    lab = Lab(sfo_ppm=-1000.0)
    lab.send(tone(0.1))
    heard = lab.hear(steps=50)
    assert len(heard) >= 50 * N_STEP * 1.001 - 1000 - 100
    assert frequency(heard) == pytest.approx(0.1 * (1 - 1e-3), abs=1e-5)


@pytest.mark.parametrize("what", [{"freq_offset_ppm": 1000.0}, {"channel": ChannelConfig(kind="rayleigh-fast")}])
def test_an_air_that_cannot_be_is_refused(what) -> None:
    with pytest.raises(ConfigError):
        AirConfig(**what)


# Sockets


@pytest.fixture
def plutos() -> Iterator[VirtualPlutos]:
    with VirtualPlutos(ServerConfig(port=free_ports(1)[0])) as running:
        yield running


class Client:
    """Sends what it is told to, byte for byte."""

    def __init__(self, plutos: VirtualPlutos) -> None:
        self.sock = socket.create_connection(("127.0.0.1", plutos.config.port), timeout=10)
        self.file = self.sock.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.sock.close()

    def ask(self, line: str, payload: bytes = b"") -> int:
        """The integer that comes back."""
        self.sock.sendall(line.encode() + b"\r\n" + payload)
        return int(self.file.readline())

    def get(self, line: str) -> bytes:
        """The value that comes back, without its length and line end."""
        n = self.ask(line)
        return self.file.read(n + 1)[:n] if n >= 0 else b""


def is_alive(plutos: VirtualPlutos) -> bool:
    with Client(plutos) as client:
        return client.ask("TIMEOUT 2500") == 0 and client.get("READ iio:device0 ensm_mode") == b"fdd\0"


def test_replies_are_those_of_iiod_to_the_byte(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        client.sock.sendall(b"VERSION\r\n")
        assert client.file.readline() == b"0.24.v0.24  \n"
        assert client.ask("ZPRINT") == -22
        assert ElementTree.fromstring(client.get("PRINT")).tag == "context"
        assert client.get("READ iio:device3 BUFFER watermark") == b"2048\0"
        assert client.get("READ iio:device3 BUFFER ").hex().startswith("000000023000")
        assert client.ask("WRITE iio:device0 OUTPUT altvoltage0 frequency 11", b"2412000000\0") == 11
        assert client.get("READ ad9361-phy OUTPUT RX_LO frequency") == b"2412000000\0"
        assert client.ask("WRITE iio:device3 BUFFER 12", b"\0\0\0\0\0\0\0\0\0\0\0\0") == 12
        assert client.ask("GETTRIG iio:device3") == -2
        assert client.ask("SET iio:device3 BUFFERS_COUNT 0") == -22
        assert client.ask("CLOSE iio:device3") == -6
        assert client.ask("READBUF iio:device3 4096") == -9
        for line, code in (
            ("READ iio:device9 x", -19), ("READ iio:device0 INPUT voltage9 raw", -6), ("READ iio:device0 nothing", -2),
            ("WRITE iio:device9 x 3", -19), ("WRITE iio:device0 nothing 3", -2), ("WRITE iio:device0 ensm_mode 3", -22),
        ):  # fmt: skip
            assert client.ask(line, b"abc" if line.startswith("W") else b"") == code
        assert client.get("READ iio:device0 ensm_mode") == b"fdd\0"


def test_chunks_of_a_read_are_buffers_and_the_first_names_its_channels(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        assert client.ask("OPEN iio:device3 1024 00000003") == 0
        assert client.ask("SET iio:device3 BUFFERS_COUNT 8") == -errno.EBUSY
        assert client.ask("READBUF iio:device3 3") == 0
        assert client.ask("READBUF iio:device3 10000") == 4096
        assert client.file.readline() == b"00000003\n"
        assert len(client.file.read(4096)) == 4096
        for n in (4096, 1808):
            assert int(client.file.readline()) == n and len(client.file.read(n)) == n
        assert client.ask("CLOSE iio:device3") == 0


def test_a_write_has_two_replies_and_a_second_cyclic_one_is_busy(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        assert client.ask("OPEN cf-ad9361-dds-core-lpc 1024 00000003 CYCLIC") == 0
        assert client.ask("WRITEBUF cf-ad9361-dds-core-lpc 4096") == 0
        client.sock.sendall(bytes(4096))
        assert int(client.file.readline()) == 4096
        assert client.ask("WRITEBUF cf-ad9361-dds-core-lpc 4096") == -errno.EBUSY
        with Client(plutos) as other:
            assert other.ask("OPEN cf-ad9361-dds-core-lpc 1024 00000003") == -errno.EBUSY
    with Client(plutos) as other:  # the first has gone without a word
        assert wait_until(lambda: other.ask("OPEN cf-ad9361-dds-core-lpc 1024 00000003") == 0)


def test_without_samples_a_read_ends_in_time_and_may_be_repeated(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        client.ask("WRITE iio:device0 ensm_mode 6", b"alert\0")
        client.ask("TIMEOUT 50")
        assert client.ask("OPEN iio:device3 1024 00000003") == 0
        assert client.ask("READBUF iio:device3 4096") == -errno.ETIMEDOUT
        client.ask("WRITE iio:device0 ensm_mode 4", b"fdd\0")
        client.ask("TIMEOUT 5000")
        assert client.ask("READBUF iio:device3 4096") == 4096


def test_half_a_line_is_waited_for_and_disturbs_nobody(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        client.sock.sendall(b"READ iio:device0 ens")
        assert is_alive(plutos)
        assert client.get("m_mode") == b"fdd\0"


@pytest.mark.parametrize(
    "data",
    [
        b"A" * 100_000,
        b"WRITE iio:device0 ensm_mode 999999999999\r\n",
        b"WRITE iio:device0 ensm_mode 400000\r\n" + bytes(400_000) + b"TIMEOUT 1\r\n",
        b"READBUF iio:device3 99999999999\r\nOPEN iio:device3 9999999999999 00000003\r\n",
        b"OPEN iio:device2 1024 00000003\r\nWRITEBUF iio:device2 1000000000000\r\n" + bytes(9000),
        b"OPEN iio:device3 16000000 00000003\r\nREADBUF iio:device3 64000000\r\n",
        b"WRITE iio:device0 10\r\n" + b"\xff" * 10,
        b"\0" * 5000,
    ],
    ids=["long line", "long value", "value read over", "long read", "long write", "large buffer", "bad block", "zeros"],
)
def test_absurd_lengths_and_a_dropped_connection_leave_the_others_alone(plutos: VirtualPlutos, data: bytes) -> None:
    with Client(plutos) as client:
        client.sock.sendall(data)
    assert is_alive(plutos)
    assert wait_until(lambda: plutos.n_connections == 0)
    assert not plutos.air.plutos[0].is_streaming


def test_a_value_too_long_is_read_over(plutos: VirtualPlutos) -> None:
    with Client(plutos) as client:
        assert client.ask("WRITE iio:device0 ensm_mode 70000", bytes(70000)) == -22
        assert client.get("READ iio:device0 ensm_mode") == b"fdd\0"


def test_ten_clients_stream_at_once_and_too_many_are_turned_away(plutos: VirtualPlutos) -> None:
    clients = [Client(plutos) for _ in range(10)]
    results = [client.ask("OPEN iio:device3 512 00000003") for client in clients]
    assert results == [0] * 8 + [-errno.EBUSY] * 2
    for client in clients[:8]:
        client.sock.sendall(b"READBUF iio:device3 2048\r\n")
    assert [int(client.file.readline()) for client in clients[:8]] == [2048] * 8
    more = [Client(plutos) for _ in range(MAX_CONNECTIONS - len(clients))]
    with Client(plutos) as late:
        assert late.file.readline() == b""
    for client in [*clients, *more]:
        client.__exit__()
    assert wait_until(lambda: plutos.n_connections == 0)
    assert is_alive(plutos)


WORDS = (
    b"READ WRITE OPEN CLOSE READBUF WRITEBUF TIMEOUT PRINT VERSION HELP ZPRINT GETTRIG SETTRIG SET EXIT BUFFERS_COUNT "
    b"INPUT OUTPUT DEBUG BUFFER CYCLIC iio:device0 iio:device2 iio:device3 cf-ad9361-lpc voltage0 altvoltage1 "
    b"frequency hardwaregain ensm_mode direct_reg_access filter_fir_config sampling_frequency 00000003 00000001 "
    b"0 1 3 4 100 1024 4096 -5 99999999999 1e9 fdd \xff \0 ''"
).split()


def fuzz(plutos: VirtualPlutos, seconds: float, seed: int) -> int:
    """Lines of known words in any order, with rubbish between; the number of lines."""
    rng = np.random.default_rng(seed)
    deadline, count = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        with Client(plutos) as client:
            client.sock.settimeout(0.05)
            try:
                for _ in range(rng.integers(1, 40)):
                    line = b" ".join(WORDS[index] for index in rng.integers(0, len(WORDS), rng.integers(1, 7)))
                    if rng.random() < 0.1:
                        line += rng.bytes(int(rng.integers(0, 3000)))
                    client.sock.sendall(line + (b"\r\n" if rng.random() < 0.9 else b""))
                    count += 1
                    if rng.random() < 0.3:
                        client.sock.recv(65536)
            except OSError:
                pass  # a full socket, or the server has had enough
    return count


def check_fuzzed(plutos: VirtualPlutos, caplog: pytest.LogCaptureFixture) -> None:
    assert wait_until(lambda: plutos.n_connections == 0)
    with Client(plutos) as client:
        client.ask("WRITE iio:device0 ensm_mode 4", b"fdd\0")
    assert is_alive(plutos)
    assert not [record for record in caplog.records if record.name.startswith("gened")]


def test_a_fuzz_of_the_protocol_ends_nothing(plutos: VirtualPlutos, caplog: pytest.LogCaptureFixture) -> None:
    assert fuzz(plutos, 4.0, 1) > 100
    check_fuzzed(plutos, caplog)


@pytest.mark.slow
def test_a_minute_of_fuzz_ends_nothing(plutos: VirtualPlutos, caplog: pytest.LogCaptureFixture) -> None:
    threads = [threading.Thread(target=fuzz, args=(plutos, 60.0, seed)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_fuzzed(plutos, caplog)


def test_a_port_in_use_is_told(plutos: VirtualPlutos) -> None:
    with pytest.raises(LinkError, match="in use"):
        VirtualPlutos(plutos.config)


@pytest.mark.parametrize("what", [{"port": 0}, {"port": 65535, "is_pair": True}])
def test_ports_out_of_range_are_refused(what) -> None:
    with pytest.raises(ConfigError, match="port"):
        ServerConfig(**what)


def test_leaving_ends_all_threads() -> None:
    before = threading.active_count()
    with VirtualPlutos(ServerConfig(port=free_ports(1)[0])) as running, Client(running) as client:
        assert client.ask("OPEN iio:device3 1024 00000003") == 0
    assert wait_until(lambda: threading.active_count() == before)
