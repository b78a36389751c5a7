# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual Pluto with clients that know nothing of it: tools of libiio, pyadi-iio, GNU Radio's gr-iio."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import wait_until

from gened.bench.link import random_frame
from gened.errors import LinkError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.link.control import free_ports
from gened.virtual_pluto.air import BACKOFF_DB, AirConfig
from gened.virtual_pluto.radio import OVERFLOW, STATUS_REGISTER
from gened.virtual_pluto.server import ServerConfig, VirtualPlutos
from gened.virtual_pluto.tree import DDS, LPC, PHY, find_device

RATE = 1_000_000
TIMEOUT_S = 60
USUAL = 10 ** (-BACKOFF_DB / 20)

needs_tools = pytest.mark.skipif(
    shutil.which("iio_info") is None, reason="the tools of libiio are not installed: apt install libiio-utils"
)
needs_gr_iio = pytest.mark.skipif(
    importlib.util.find_spec("gnuradio") is None or importlib.util.find_spec("gnuradio.iio") is None,
    reason="GNU Radio with gr-iio is not installed: apt install gnuradio",
)

Start = Callable[..., VirtualPlutos]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts one Pluto, or two with `is_pair`; keywords are those of the channel and of the air."""
    with ExitStack() as stack:

        def started(*, is_pair: bool = False, freq_offset_ppm: float = 0.0, **channel: Any) -> VirtualPlutos:
            config = AirConfig(channel=ChannelConfig(**{"snr_db": 30.0, **channel}), freq_offset_ppm=freq_offset_ppm)
            for port in free_ports(10):
                try:
                    plutos = VirtualPlutos(ServerConfig(port=port, is_pair=is_pair, air=config))
                except LinkError:  # the next port is somebody's
                    continue
                return stack.enter_context(plutos)
            raise AssertionError("no free port")

        yield started


def tool(name: str, uri: str, *arguments: str, data: bytes | None = None) -> bytes:
    """What a tool of libiio prints on stdout; it must succeed and say nothing on stderr."""
    result = subprocess.run([name, "-u", uri, *arguments], input=data, capture_output=True, timeout=TIMEOUT_S)
    assert result.returncode == 0 and result.stderr == b"", result.stderr.decode()
    return result.stdout


def slow_down(plutos: VirtualPlutos) -> None:
    """All to 1 Msample/s, which no tool can do: their texts are too short for a filter's coefficients."""
    phy = find_device(PHY)
    by_file = {attribute.file: attribute for attribute in phy.every_attribute()}
    for pluto in plutos.air.plutos:
        for file, text in (
            ("filter_fir_config", "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "1,1\n" * 128),
            ("in_out_voltage_filter_fir_en", "1"),
            ("in_voltage_sampling_frequency", str(RATE)),
            ("out_altvoltage0_RX_LO_frequency", "2400000000"),
            ("out_altvoltage1_TX_LO_frequency", "2400000000"),
        ):
            pluto.write(phy, by_file[file], text)


def to_complex(data: bytes) -> np.ndarray:
    """Samples of a receiver, full scale 1."""
    values = np.frombuffer(data, "<i2").astype(float) / 2048
    return values[::2] + 1j * values[1::2]


def to_bytes(samples: np.ndarray) -> bytes:
    """Samples for a transmitter, full scale 1."""
    return np.round(np.stack([samples.real, samples.imag], axis=1) * 32767).astype("<i2").tobytes()


def tone(cycles: float, n: int) -> np.ndarray:
    return USUAL * np.exp(2j * np.pi * cycles * np.arange(n))


def strongest(samples: np.ndarray) -> int:
    """The bin of the strongest line."""
    return int(np.argmax(np.abs(np.fft.fft(samples))))


# The tools of libiio


@needs_tools
def test_iio_info_shows_a_whole_pluto(start: Start) -> None:
    text = tool("iio_info", start().uris[0]).decode()
    for name in ("ad9361-phy", "xadc", "cf-ad9361-dds-core-lpc (buffer capable)", "cf-ad9361-lpc (buffer capable)"):
        assert f": {name}\n" in text
    assert "format: le:S12/16>>0" in text and "hw_model: Analog Devices PlutoSDR" in text
    errors = [line.split("ERROR")[0].split()[-1] for line in text.splitlines() if "ERROR" in line]
    expected = ["dcxo_tune_coarse", "dcxo_tune_fine", "fastlock_recall", "gain_table_config", "initialize"]
    assert sorted(set(errors)) == [*expected, "multichip_sync", "samples_pps"]  # where a real one has them too


@needs_tools
def test_localhost_is_found_whatever_address_it_resolves_to_first(start: Start) -> None:
    uri = start().uris[0].replace("127.0.0.1", "localhost")
    assert b"ad9361-phy" in tool("iio_info", uri)


@needs_tools
def test_iio_attr_writes_and_reads_back(start: Start) -> None:
    uri = start().uris[0]
    channel = ("-c", "ad9361-phy")
    assert tool("iio_attr", uri, *channel, "RX_LO", "frequency", "2412000000") == b"2412000000\n"
    assert tool("iio_attr", uri, "-o", *channel, "voltage0", "hardwaregain", "-30.3") == b"-30.250000 dB\n"
    assert tool("iio_attr", uri, *channel, "TX_LO", "powerdown", "1") == b"1\n"
    assert tool("iio_attr", uri, "-D", "ad9361-phy", "loopback", "1") == b"1\n"
    assert tool("iio_attr", uri, "-d", "ad9361-phy", "ensm_mode") == b"fdd\n"
    for value in ("100000000", "4000000000"):
        refused = subprocess.run(["iio_attr", "-u", uri, *channel, "RX_LO", "frequency", value], capture_output=True)
        assert refused.returncode != 0 and b"Invalid argument" in refused.stderr + refused.stdout
    assert tool("iio_attr", uri, *channel, "RX_LO", "frequency") == b"2412000000\n"


@needs_tools
def test_iio_readdev_reads_twelve_bits_at_the_sample_rate(start: Start) -> None:
    plutos = start(snr_db=0.0)
    slow_down(plutos)
    begun_s = time.monotonic()
    data = tool("iio_readdev", plutos.uris[0], "-b", "8192", "-s", "262144", LPC)
    assert time.monotonic() - begun_s > 0.26 - 0.05  # no faster than the clock but for one step
    values = np.frombuffer(data, "<i2")
    assert len(values) == 2 * 262144 and values.min() >= -2048 and values.max() <= 2047 and np.std(values) > 100
    one = tool("iio_readdev", plutos.uris[0], "-b", "256", "-s", "512", LPC, "voltage0")
    assert len(one) == 2 * 512


@needs_tools
def test_what_iio_writedev_repeats_on_one_iio_readdev_hears_on_the_other(start: Start, tmp_path: Path) -> None:
    plutos = start(is_pair=True)
    slow_down(plutos)
    (tmp_path / "tone").write_bytes(to_bytes(tone(100 / 4096, 4096)))
    with (tmp_path / "tone").open("rb") as samples:
        sender = subprocess.Popen(["iio_writedev", "-u", plutos.uris[0], "-b", "4096", "-c", DDS], stdin=samples)
    try:
        assert wait_until(lambda: plutos.air.plutos[0].queue.is_cyclic)
        other = to_complex(tool("iio_readdev", plutos.uris[1], "-b", "4096", "-s", "40960", LPC))
        itself = to_complex(tool("iio_readdev", plutos.uris[0], "-b", "4096", "-s", "40960", LPC))
    finally:
        sender.kill()
        sender.wait()
    assert strongest(other[-4096:]) == 100
    assert np.mean(np.abs(other[-4096:]) ** 2) == pytest.approx(USUAL**2, rel=0.05)
    assert np.mean(np.abs(itself) ** 2) < USUAL**2 / 100
    assert wait_until(lambda: not plutos.air.plutos[0].is_streaming)  # a sender that was killed transmits no more


@needs_tools
def test_iio_writedev_sends_a_stream_at_the_sample_rate(start: Start) -> None:
    plutos = start()
    slow_down(plutos)
    begun_s = time.monotonic()
    tool("iio_writedev", plutos.uris[0], "-b", "8192", "-s", "262144", DDS, data=to_bytes(tone(0.1, 262144)))
    assert time.monotonic() - begun_s > 0.262 - 0.1  # the last buffers still wait


# pyadi-iio


@pytest.fixture
def pluto_of() -> Iterator[Callable[[VirtualPlutos, int], Any]]:
    """`adi.Pluto` at 1 Msample/s and 2.4 GHz, its gain by hand."""
    adi = pytest.importorskip("adi", reason="pyadi-iio is not installed: pip install gr-gened[radio]")
    made: list[Any] = []

    def connected(plutos: VirtualPlutos, index: int = 0) -> Any:
        sdr = adi.Pluto(plutos.uris[index])
        sdr.sample_rate = RATE
        sdr.rx_lo = sdr.tx_lo = 2_400_000_000
        sdr.gain_control_mode_chan0 = "manual"
        sdr.rx_hardwaregain_chan0 = 40
        sdr.rx_buffer_size = 8192
        made.append(sdr)
        return sdr

    yield connected
    for sdr in made:
        sdr.rx_destroy_buffer()
        sdr.tx_destroy_buffer()


def hear(sdr: Any, n_settle: int = 12) -> np.ndarray:
    """Samples of now, full scale 1: what waited in buffers is read over."""
    for _ in range(n_settle):
        sdr.rx()
    return np.asarray(sdr.rx()) / 2048


def test_adi_pluto_sets_its_properties_and_reads_them_back(start: Start, pluto_of) -> None:
    sdr = pluto_of(start())
    for rate in (521_000, 600_000, 1_000_000, 2_083_333, 2_500_000, 30_720_000, 61_440_000, 1_000_000):
        sdr.sample_rate = rate
        assert sdr.sample_rate == rate
    assert sdr.filter == [128.0, 4.0, 128.0, 4.0]
    for name, value in {
        "rx_lo": 2_412_000_000, "tx_lo": 868_000_000, "rx_rf_bandwidth": 1_000_000, "tx_rf_bandwidth": 2_000_000,
        "gain_control_mode_chan0": "manual", "rx_hardwaregain_chan0": 33, "tx_hardwaregain_chan0": -12.25,
        "loopback": 1,
    }.items():  # fmt: skip
        setattr(sdr, name, value)
        assert getattr(sdr, name) == value, name
    with pytest.raises(OSError, match="Invalid argument"):
        sdr.tx_lo = 100_000_000


def test_adi_pluto_finds_its_cyclic_tone_and_each_decibel_of_attenuation(start: Start, pluto_of) -> None:
    sdr = pluto_of(start())
    sdr.tx_cyclic_buffer = True
    sdr.tx(2**15 * tone(500 / 8192, 8192))
    levels = []
    for gain in (-10, -20, -45):
        sdr.tx_hardwaregain_chan0 = gain
        spectrum = np.fft.fft(hear(sdr)) / 8192
        assert int(np.argmax(np.abs(spectrum))) == 500
        levels.append(20 * np.log10(np.abs(spectrum[500])))
    assert levels == pytest.approx([-12, -22, -47], abs=0.3)
    sdr.rx_lo = 2_400_000_000 - 125_000
    assert strongest(hear(sdr)) == 500 + 1024
    sdr.tx_destroy_buffer()
    assert np.mean(np.abs(hear(sdr)) ** 2) < 2 * 1.255e-3 * USUAL**2


def test_adi_pluto_transmits_with_the_tones_of_the_fpga(start: Start, pluto_of) -> None:
    sdr = pluto_of(start())
    sdr.dds_single_tone(125_000, 0.25)
    assert strongest(hear(sdr)) == 1024


def test_who_reads_late_sees_the_overflow_in_the_register(start: Start, pluto_of) -> None:
    sdr = pluto_of(plutos := start())
    sdr.rx()
    assert wait_until(lambda: bool(plutos.air.plutos[0].status(LPC)))
    assert sdr._rxadc.reg_read(STATUS_REGISTER) & OVERFLOW


@pytest.mark.parametrize("ppm", [0.0, 12.0])
def test_a_frame_goes_from_one_adi_pluto_to_another(start: Start, pluto_of, ppm: float) -> None:
    plutos = start(is_pair=True, snr_db=12.0, freq_offset_ppm=ppm)
    sender, receiver = pluto_of(plutos, 0), pluto_of(plutos, 1)
    frame = random_frame(7, np.random.default_rng(1), n_analog=200)
    burst = np.concatenate([*modulate_frame(frame, reduces_papr=False), np.zeros(2000)])
    sender.tx_cyclic_buffer = True
    sender.tx(2**15 * USUAL * burst)
    receiver.rx_buffer_size = 65536
    hear(receiver, 3)
    chain = Receiver(RATE)
    received = [*chain.push(hear(receiver, 0).astype(np.complex64)), *chain.flush()]
    whole = [found for found in received if found.erased_fraction == 0]
    assert whole and whole[0].number == 7 and whole[0].text == frame.text
    assert whole[0].snr_est_db == pytest.approx(12.0, abs=1.0)
    assert whole[0].cfo_est_norm * RATE == pytest.approx(2400 * ppm, abs=200)


# GNU Radio

FLOWGRAPH = """
import json, sys, time
import numpy as np
from gnuradio import analog, blocks, gr, iio

uri, mode, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
tb = gr.top_block()
source = iio.fmcomms2_source_fc32(uri, [True, True], 32768)
source.set_len_tag_key("")
source.set_frequency(2400000000)
source.set_samplerate(1000000)
source.set_gain_mode(0, "manual")
source.set_gain_mode(0, "manual")  # 3.10.5 sets the mode that was asked for before
source.set_gain(0, 40)
source.set_quadrature(True)
source.set_rfdc(True)
source.set_bbdc(True)
source.set_filter_params("Auto", "", 0, 0)
heard = blocks.vector_sink_c()
tb.connect(source, heard)
sink = iio.fmcomms2_sink_fc32(uri, [True, True], 32768, mode == "cyclic")
sink.set_len_tag_key("")
sink.set_bandwidth(20000000)
sink.set_frequency(2400000000)
sink.set_samplerate(1000000)
sink.set_attenuation(0, 10.0)
sink.set_filter_params("Auto", "", 0, 0)
tb.connect(analog.sig_source_c(1e6, analog.GR_COS_WAVE, 125000, 0.25), sink)
tb.start()
deadline = time.monotonic() + 30
while len(heard.data()) < seconds * 1e6 and time.monotonic() < deadline:
    time.sleep(0.2)  # a vector sink sends no notice
tb.stop()
tb.wait()
samples = np.array(heard.data())[-32768:]
lines = np.abs(np.fft.fft(samples)) / 32768
print(json.dumps({"bin": int(np.argmax(lines)), "level": float(lines.max()), "n": len(heard.data())}))
"""


@needs_gr_iio
@pytest.mark.parametrize("mode", ["plain", "cyclic"])
def test_source_and_sink_of_gr_iio_with_the_filter_auto(start: Start, mode: str) -> None:
    # In a process of its own: its calls hold the interpreter while they wait for the server.
    plutos = start()
    command = [sys.executable, "-c", FLOWGRAPH, plutos.uris[0], mode, "1.5"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1][result.stdout.splitlines()[-1].index("{") :])
    assert told["n"] >= 1_500_000 and told["bin"] == 4096
    assert told["level"] == pytest.approx(0.25, rel=0.03)
    pluto = plutos.air.plutos[0]
    assert pluto.rates.receive == pluto.rates.transmit == RATE and pluto.transmit_gain_db == -10
    assert wait_until(lambda: not pluto.is_streaming)


# The command


@needs_tools
def test_the_command_listens_until_a_signal_ends_it() -> None:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "gened", "virtual-pluto", "--port", str(port)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert f"ip:127.0.0.1:{port}" in process.stderr.readline()
        assert b"ad9361-phy" in tool("iio_info", f"ip:127.0.0.1:{port}")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
