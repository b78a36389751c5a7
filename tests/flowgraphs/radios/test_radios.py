# SPDX-License-Identifier: GPL-3.0-or-later
"""Radios as blocks: real driver libraries without a device, imitated devices, and a virtual Pluto.

The imitations are GNU Radio blocks with the setters of gr-uhd and gr-soapy. They show what is asked of a device and in
which order; whether a real one does it shows on hardware alone.
"""

from __future__ import annotations

import gc
import importlib
import logging
import math
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr
from waiting import wait_until

from gened.errors import ConfigError, LinkError
from gened.flowgraphs.radios.common import require_driver
from gened.flowgraphs.radios.profiles import radio_profile
from gened.flowgraphs.radios.protocols import RadioSink
from gened.flowgraphs.radios.radio_events import EVENTS, EventReporter
from gened.flowgraphs.radios.radio_sink import MIN_PAUSE_S, GainRange, radio_sink, tx_gate
from gened.flowgraphs.radios.registry import make_sink, make_source
from gened.flowgraphs.radios.uhd import rx_watch
from gened.hw_config.profile import load_profile, shipped_profiles

HARDWARE = [name for name in shipped_profiles() if load_profile(name).is_hardware]
DRIVERS = {"iio": "gnuradio.iio", "uhd": "gnuradio.uhd", "soapy": "gnuradio.soapy"}
LOWEST_DB, HIGHEST_DB = -5.0, 60.0


def needs(name: str) -> None:
    """Skips where the driver library of a profile is not installed."""
    driver = load_profile(name).driver
    pytest.importorskip(DRIVERS[driver], exc_type=ImportError)
    if driver == "iio":
        pytest.importorskip("adi", exc_type=ImportError)


# No device: one line


@pytest.mark.parametrize("name", HARDWARE)
@pytest.mark.parametrize("side", ["tx", "rx"])
def test_without_the_device_there_is_one_line_with_advice(name: str, side: Any) -> None:
    needs(name)
    overrides = {"tx.address": "null", "rx.address": "null"}
    if load_profile(name).driver == "iio":
        overrides["address"] = "ip:127.0.0.9:9"  # a port at which nobody listens; the shipped address may exist
    if load_profile(name).driver == "uhd":
        overrides["address"] = "type=b200,serial=NONE" if "b2" in name else "type=usrp2,addr=127.0.0.9"
    profile = radio_profile(load_profile(name, overrides), side, may_transmit=True)
    with pytest.raises(LinkError) as caught:
        make_sink(profile) if side == "tx" else make_source(profile)
    line = str(caught.value)
    assert line.startswith(f"{name} at ")
    assert "\n" not in line
    assert "is it plugged in" in line


@pytest.mark.parametrize(
    ("address", "port"),
    [("ip:127.0.0.9", 30431), ("ip:127.0.0.9:9", 9), ("ip:[::1]:9", 9), ("ip:127.0.0.9:99999", 99999)],
)
def test_an_address_of_a_pluto_is_read_as_libiio_does(address: str, port: int) -> None:
    needs("pluto")
    profile = radio_profile(load_profile("pluto", {"address": address}), "rx")
    with pytest.raises(LinkError, match=rf"pluto at .*: nobody answers at port {port} "):
        make_source(profile)


def test_a_driver_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(LinkError, match=r"gnuradio\.pigeon cannot be loaded .*; feed it"):
        require_driver("gnuradio.pigeon", "feed it")


@pytest.mark.parametrize("name", shipped_profiles())
def test_loading_profiles_and_kinds_loads_no_driver(name: str) -> None:
    code = f"""
    import importlib, sys
    from gened.flowgraphs.radios.profiles import radio_profile
    from gened.flowgraphs.radios.registry import MODULES
    from gened.hw_config.profile import load_profile
    radio_profile(load_profile({name!r}), "rx")
    for module in MODULES:
        importlib.import_module(module)
    print(*{{"gnuradio.uhd", "gnuradio.iio", "gnuradio.soapy", "adi", "iio"}} & set(sys.modules))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd="/", capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


# Safety


@pytest.mark.parametrize("name", HARDWARE)
def test_nothing_transmits_unless_the_user_said_so(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}\.yaml: would transmit at 2449\.5 MHz .* add --transmit"):
        make_sink(radio_profile(load_profile(name), "tx"))


@pytest.mark.parametrize("name", [*HARDWARE, "virtual-pluto"])
def test_nothing_transmits_outside_the_bands_even_if_the_user_said_so(name: str) -> None:
    hardware = load_profile(name, {"tx.center_freq": "2483.2e6"})
    with pytest.raises(ConfigError, match=r"leaves allowed_bands \(2400 to 2483.5 MHz\)"):
        make_sink(radio_profile(hardware, "tx", may_transmit=True))


def test_a_radio_needs_its_file() -> None:
    from gened.flowgraphs.radios.profiles import RadioProfile

    for maker in (make_source, make_sink):
        with pytest.raises(ConfigError, match="made from a file in hw_config"):
            maker(RadioProfile(kind="uhd"))


class Driver:
    """A `TxDriver` that writes down what happens to it."""

    tail_s = 0.1
    gain_db = -20.0
    gain_range = GainRange(-30.0, 10.0, 0.5)

    def __init__(self) -> None:
        self.block = blocks.vector_sink_c()
        self.log: list[str] = []
        self.raise_error: Exception | None = None
        self.lower_error: Exception | None = None
        self.time_s = 100.0

    def raise_gain(self) -> None:
        self.log.append("raise")
        if self.raise_error is not None:
            raise self.raise_error

    def lower_gain(self) -> None:
        self.log.append("lower")
        if self.lower_error is not None:
            raise self.lower_error

    def now_s(self) -> float:
        return self.time_s


def sink_of(driver: Driver, **options: Any) -> Any:
    options = {"backoff_db": 0.0, "sample_rate": 1e6, "events": EventReporter("test")} | options
    return radio_sink("test", driver, **options)


def run(sink: Any, samples: Any, tags: Any = ()) -> Any:
    """The flowgraph, which must be kept until its blocks have been looked at."""
    tb, source = gr.top_block(), blocks.vector_source_c(np.asarray(samples).tolist(), False, 1, list(tags))
    tb.connect(source, sink)
    tb.run()
    return tb


def packet(offset: int, n: int) -> Any:
    return gr.tag_utils.python_to_tag((offset, pmt.intern("packet_len"), pmt.from_long(n), pmt.PMT_F))


def test_a_radios_sink_offers_what_the_protocol_names() -> None:
    asked: list[int] = []
    sink = sink_of(Driver(), poll=lambda: asked.append(1))
    assert all(hasattr(sink, name) for name in dir(RadioSink) if not name.startswith("_"))
    sink.poll()
    assert asked == [1]
    assert (sink.where, sink.failure, sink.n_clipped, sink.n_taken, sink.tail_s) == ("test", None, 0, 0, 0.1)


def test_the_gain_is_up_only_while_the_flowgraph_runs() -> None:
    driver = Driver()
    sink = sink_of(driver)
    assert (driver.log, sink.is_armed) == ([], False)
    run(sink, np.ones(1000))
    assert (driver.log, sink.is_armed) == (["raise", "lower"], False)
    assert len(driver.block.data()) == 1000


def test_an_early_arm_and_several_mutes_count_once() -> None:
    driver = Driver()
    sink = sink_of(driver)
    sink.arm()
    assert sink.is_armed
    run(sink, np.ones(10))
    sink.mute()
    sink.mute()
    assert driver.log == ["raise", "lower"]


def test_another_gain_counts_from_the_next_arm_on_and_at_once_while_armed() -> None:
    driver = Driver()
    sink = sink_of(driver)
    sink.set_gain(-15.0)
    assert (driver.gain_db, driver.log) == (-15.0, [])
    sink.arm()
    sink.set_gain(-5.0)
    assert (driver.gain_db, driver.log) == (-5.0, ["raise", "raise"])
    with pytest.raises(ConfigError, match=r"a gain of 11 dB; it takes -30 to 10 dB"):
        sink.set_gain(11.0)
    assert (driver.gain_db, driver.log) == (-5.0, ["raise", "raise"])
    driver.raise_error = RuntimeError("gone")
    with pytest.raises(LinkError, match="the gain cannot be set: gone"):
        sink.set_gain(0.0)
    assert (driver.log[2:], sink.is_armed) == (["raise", "lower"], False)


@pytest.mark.parametrize(("asked_db", "given_db"), [(-30, -30), (-29.6, -30), (-29.5, -29.5), (0.26, 0), (10, 10)])
def test_the_nearest_gain_is_a_whole_number_of_steps_and_never_above(asked_db: float, given_db: float) -> None:
    assert GainRange(-30.0, 10.0, 0.5).nearest(asked_db) == given_db


def test_a_sink_that_was_never_started_is_muted_when_it_goes() -> None:
    driver = Driver()
    sink = sink_of(driver)
    del sink
    gc.collect()
    assert driver.log == ["lower"]


def test_a_gain_that_cannot_be_raised_is_lowered_and_told() -> None:
    driver = Driver()
    driver.raise_error = RuntimeError("USB\ngone")
    sink = sink_of(driver)
    with pytest.raises(LinkError, match="test: the gain cannot be set: USB gone"):
        sink.arm()
    assert driver.log == ["raise", "lower"]


def test_a_flowgraph_whose_radio_fails_at_the_start_ends_and_sends_nothing() -> None:
    driver = Driver()
    driver.raise_error = LinkError("its gain is 60 dB, not 0")
    sink = sink_of(driver)
    run(sink, np.ones(1000))
    assert str(sink.failure) == "its gain is 60 dB, not 0"
    assert driver.log == ["raise", "lower"]
    assert len(driver.block.data()) == 0


def test_a_radio_that_cannot_be_muted_is_an_error_in_the_log_and_no_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = Driver()
    driver.lower_error = OSError("gone")
    sink = sink_of(driver)
    with caplog.at_level(logging.ERROR, "gened.radio"):
        run(sink, np.ones(10))
    assert caplog.messages == ["test: COULD NOT BE MUTED (gone); unplug it if it may not transmit"]


@pytest.mark.parametrize(
    "ending", ["pass", "raise SystemExit(3)", "raise RuntimeError('bug')", "os.kill(os.getpid(), 2)"]
)
def test_the_radio_is_mute_however_the_program_ends(ending: str) -> None:
    code = f"""
    import os, time
    from gnuradio import blocks, gr
    from gened.flowgraphs.radios.radio_events import EventReporter
    from gened.flowgraphs.radios.radio_sink import radio_sink

    class Driver:
        tail_s, block = 0.0, blocks.null_sink(8)
        def raise_gain(self): print("raise", flush=True)
        def lower_gain(self): print("lower", flush=True)
        def now_s(self): return 0.0

    tb = gr.top_block()
    sink = radio_sink("test", Driver(), backoff_db=0, sample_rate=1e6, events=EventReporter("test"))
    tb.connect(blocks.null_source(8), sink)
    tb.start()
    {ending}
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd="/", capture_output=True, text=True, timeout=120
    )
    assert result.stdout.split() == ["raise", "lower"], result.stderr


# Scaling and timing


def test_the_back_off_is_from_mean_power_to_full_scale() -> None:
    driver = Driver()
    run(sink_of(driver, backoff_db=12.0), np.full(100, 1j))
    assert np.allclose(driver.block.data(), 1j * 10 ** (-12 / 20), atol=1e-6)


def test_peaks_are_cut_to_full_scale_and_keep_their_phase() -> None:
    driver = Driver()
    sink = sink_of(driver)
    run(sink, np.array([3 + 4j, 0.6 + 0.8j, 0.1, np.nan, np.inf]))
    assert np.allclose(driver.block.data(), [0.6 + 0.8j, 0.6 + 0.8j, 0.1, 0, 0], atol=1e-6)
    assert sink.gate.n_clipped == 1


def test_tags_of_bursts_reach_the_driver() -> None:
    driver = Driver()
    sink = sink_of(driver)
    run(sink, np.ones(30), [packet(0, 10), packet(10, 20)])
    tags = driver.block.tags()
    assert [(tag.offset, pmt.symbol_to_string(tag.key), pmt.to_long(tag.value)) for tag in tags] == [
        (0, "packet_len", 10),
        (10, "packet_len", 20),
    ]
    assert sink.gate.n_bursts == 2
    assert sink.n_taken == 30


def test_timed_bursts_start_after_the_lead_and_never_overlap() -> None:
    driver = Driver()
    sink = sink_of(driver, lead_s=0.25, sample_rate=1000.0)
    run(sink, np.ones(30), [packet(0, 10), packet(10, 20)])
    times = [
        (tag.offset, pmt.to_uint64(pmt.tuple_ref(tag.value, 0)) + pmt.to_double(pmt.tuple_ref(tag.value, 1)))
        for tag in driver.block.tags()
        if pmt.symbol_to_string(tag.key) == "tx_time"
    ]
    assert times == [(0, pytest.approx(100.25)), (10, pytest.approx(100.25 + 0.010 + MIN_PAUSE_S))]


def test_without_a_lead_no_burst_is_timed_and_the_clock_is_not_asked() -> None:
    def now_s() -> float:
        raise AssertionError("asked")

    gate = tx_gate(backoff_db=0, sample_rate=1e6, on_start=lambda: None, on_stop=lambda: None, now_s=now_s)
    tb, sink = gr.top_block(), blocks.vector_sink_c()
    tb.connect(blocks.vector_source_c([1.0] * 10, False, 1, [packet(0, 10)]), gate, sink)
    tb.run()
    assert [pmt.symbol_to_string(tag.key) for tag in sink.tags()] == ["packet_len"]


# Gaps at the receiver


def rx_time(offset: int, time_s: float) -> Any:
    value = pmt.make_tuple(pmt.from_uint64(int(time_s)), pmt.from_double(time_s - int(time_s)))
    return gr.tag_utils.python_to_tag((offset, pmt.intern("rx_time"), value, pmt.PMT_F))


@pytest.mark.parametrize(("second_s", "n_lost"), [(5.001, 0), (5.101, 100), (5.0, 0)])
def test_a_time_that_jumps_is_an_overflow(second_s: float, n_lost: int) -> None:
    lines: list[str] = []
    events = EventReporter("b200", lines.append)
    watch = rx_watch(1000.0, events)
    run(watch, np.ones(10), [rx_time(0, 5.0), rx_time(1, second_s)])
    assert watch.n_lost == n_lost
    assert events.counts() == ({"O": 1} if n_lost else {})
    assert lines == ([f"b200: 1 x {EVENTS['O']} [100 samples lost]"] if n_lost else [])


# Imitated devices


class Range:
    """gr-uhd's and gr-soapy's ranges in one."""

    def start(self) -> float:
        return LOWEST_DB

    def stop(self) -> float:
        return HIGHEST_DB

    def step(self) -> float:
        return 0.5

    minimum, maximum = start, stop


class Imitation(gr.sync_block):
    """A device that keeps what it is told; `wrong` values are told back instead."""

    wrong: dict[str, float] = {}
    made: list[Imitation] = []

    def __init__(self, is_sink: bool, arguments: tuple[Any, ...]) -> None:
        ports = [np.complex64]
        gr.sync_block.__init__(
            self, name="imitation", in_sig=ports if is_sink else None, out_sig=None if is_sink else ports
        )
        self.arguments = arguments
        self.log: list[tuple[str, Any]] = []
        self.values: dict[str, Any] = {}
        self.message_port_register_out(pmt.intern("async_msgs"))
        Imitation.made.append(self)

    def work(self, input_items: Any, output_items: Any) -> int:
        if output_items:
            output_items[0][:] = 0
            return len(output_items[0])
        return len(input_items[0])

    def keep(self, name: str, value: Any) -> None:
        self.log.append((name, value))
        self.values[name] = value

    def told(self, name: str) -> Any:
        return self.wrong.get(name, self.values.get(name))

    def get_gain_range(self, _channel: int) -> Range:
        return Range()

    def told_antennas(self, _channel: int) -> list[str]:
        return ["TX/RX", "RX2"]

    get_antennas = list_antennas = told_antennas


class Sensor:
    def __init__(self, value: bool) -> None:
        self.value = value

    def to_bool(self) -> bool:
        return self.value


class Usrp(Imitation):
    is_locked = True

    def set_samp_rate(self, rate: float) -> None:
        self.keep("rate", rate)

    def get_samp_rate(self) -> float:
        return float(self.told("rate"))

    def set_center_freq(self, request: Any, _channel: int) -> None:
        self.keep("freq", request.target_freq)

    def get_center_freq(self, _channel: int) -> float:
        return float(self.told("freq"))

    def set_gain(self, gain_db: float, _channel: int) -> None:
        self.keep("gain", gain_db)

    def get_gain(self, _channel: int) -> float:
        return float(self.told("gain"))

    def set_antenna(self, antenna: str, _channel: int) -> None:
        self.keep("antenna", antenna)

    def set_bandwidth(self, bandwidth: float, _channel: int) -> None:
        self.keep("bandwidth", bandwidth)

    def set_clock_source(self, source: str, _board: int) -> None:
        self.keep("clock", source)

    def get_clock_sources(self, _board: int) -> list[str]:
        return ["internal", "external"]

    def set_time_now(self, _time: Any) -> None:
        self.keep("time", "now")

    def get_time_now(self) -> Any:
        from gnuradio import uhd

        return uhd.time_spec(7.5)

    def get_sensor_names(self, _channel: int) -> list[str]:
        return ["lo_locked"]

    def get_mboard_sensor_names(self, _board: int) -> list[str]:
        return ["ref_locked"]

    def get_sensor(self, _name: str) -> Sensor:
        return Sensor(self.is_locked)

    get_mboard_sensor = get_sensor


class Soapy(Imitation):
    def set_sample_rate(self, _channel: int, rate: float) -> None:
        self.keep("rate", rate)

    def get_sample_rate(self, _channel: int) -> float:
        return float(self.told("rate"))

    def set_frequency(self, _channel: int, freq: float) -> None:
        self.keep("freq", freq)

    def get_frequency(self, _channel: int) -> float:
        return float(self.told("freq"))

    def set_gain(self, _channel: int, gain_db: float) -> None:
        self.keep("gain", gain_db)

    def get_gain(self, _channel: int) -> float:
        return float(self.told("gain"))

    def set_antenna(self, _channel: int, antenna: str) -> None:
        self.keep("antenna", antenna)

    def set_bandwidth(self, _channel: int, bandwidth: float) -> None:
        self.keep("bandwidth", bandwidth)

    def has_gain_mode(self, _channel: int) -> bool:
        return True

    def set_gain_mode(self, _channel: int, is_automatic: bool) -> None:
        self.keep("agc", is_automatic)

    def set_length_tag_name(self, name: str) -> None:
        self.keep("tag", name)


@pytest.fixture
def imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    """gr-uhd and gr-soapy with imitated devices behind their makers."""
    uhd = pytest.importorskip("gnuradio.uhd", exc_type=ImportError)
    soapy = pytest.importorskip("gnuradio.soapy", exc_type=ImportError)
    monkeypatch.setattr(Imitation, "wrong", {})
    monkeypatch.setattr(Imitation, "made", [])
    monkeypatch.setattr(Usrp, "is_locked", True)
    for module, name, kind in (
        (uhd, "usrp_sink", Usrp), (uhd, "usrp_source", Usrp), (soapy, "sink", Soapy), (soapy, "source", Soapy),
    ):  # fmt: skip
        is_sink = name.endswith("sink")
        maker: Callable[..., Any] = lambda *a, kind=kind, is_sink=is_sink: kind(is_sink, a)  # noqa: E731
        monkeypatch.setattr(module, name, maker)


def usrp_sink(**overrides: str) -> Any:
    hardware = load_profile("usrp-b200", {key.replace("__", "."): value for key, value in overrides.items()})
    return make_sink(radio_profile(hardware, "tx", may_transmit=True))


@pytest.mark.usefixtures("imitated")
@pytest.mark.parametrize("name", [name for name in HARDWARE if load_profile(name).driver != "iio"])
def test_a_radio_is_at_its_lowest_gain_before_it_is_tuned(name: str) -> None:
    sink = make_sink(radio_profile(load_profile(name), "tx", may_transmit=True))
    device = Imitation.made[0]
    order = [what for what, _ in device.log]
    assert device.log[0] == ("gain", LOWEST_DB)
    assert order.count("gain") == 1
    assert device.values["freq"] == 2449.5e6
    del sink


@pytest.mark.usefixtures("imitated")
def test_the_profile_reaches_the_usrp() -> None:
    sink = usrp_sink(
        tx__gain_db="20",
        tx__bandwidth="2e6",
        clock_source="external",
        device_args="num_send_frames=8",
        sample_rate="2e6",
    )
    device = Imitation.made[0]
    assert device.arguments[0] == "type=b200,num_send_frames=8"
    assert device.arguments[1].cpu_format == "fc32"
    assert device.arguments[2] == "packet_len"
    run(sink, np.ones(100), [packet(0, 100)])
    expected = {"rate": 2e6, "freq": 2449.5e6, "antenna": "TX/RX", "bandwidth": 2e6, "clock": "external", "time": "now"}
    assert expected.items() <= device.values.items()
    assert [value for what, value in device.log if what == "gain"] == [LOWEST_DB, 20.0, LOWEST_DB]


@pytest.mark.usefixtures("imitated")
def test_bursts_of_a_usrp_are_timed_by_its_own_clock() -> None:
    sink = usrp_sink(tx__lead_s="0.05")
    assert sink.gate._now_s() == 7.5
    assert sink.tail_s >= 1.05


@pytest.mark.usefixtures("imitated")
def test_a_continuous_usrp_gets_no_burst_tags() -> None:
    usrp_sink(tx__is_continuous="true")
    assert Imitation.made[0].arguments[2] == ""


@pytest.mark.usefixtures("imitated")
@pytest.mark.parametrize(
    ("name", "side", "what", "value", "message"),
    [
        ("usrp-b200", "tx", "rate", 1.0001e6, "runs at 1000100 samples/s, not at 1000000"),
        ("usrp-b200", "rx", "freq", 2.45e9, "tuned to 2450 MHz, not to 2449.5"),
        ("usrp-b200", "tx", "gain", 60.0, "its gain is 60 dB, not -5"),
        ("soapy", "rx", "rate", 1e6, "runs at 1000000 samples/s, not at 2000000"),
        ("soapy", "tx", "freq", 0.0, "tuned to 0 MHz"),
        ("soapy", "tx", "gain", 60.0, "its gain is 60 dB, not -5"),
    ],
)
def test_a_radio_that_does_something_else_is_an_error(
    name: str, side: Any, what: str, value: float, message: str
) -> None:
    Imitation.wrong[what] = value
    profile = radio_profile(load_profile(name), side, may_transmit=True)
    with pytest.raises(LinkError, match=message):
        make_sink(profile) if side == "tx" else make_source(profile)


@pytest.mark.usefixtures("imitated")
@pytest.mark.parametrize(
    ("side", "overrides", "message"),
    [
        ("tx", {"tx.gain_db": "70"}, r"tx.gain_db is 70; this radio takes -5 to 60 dB"),
        ("rx", {"rx.gain_db": "-6"}, r"rx.gain_db is -6; this radio takes -5 to 60 dB"),
        ("tx", {"tx.antenna": "J1"}, r"tx.antenna is 'J1'; this radio has TX/RX, RX2"),
        ("rx", {"clock_source": "gpsdo"}, r"clock_source is 'gpsdo'; this radio has internal, external"),
    ],
)
def test_what_this_device_does_not_take_is_told_with_what_it_takes(
    side: Any, overrides: dict[str, str], message: str
) -> None:
    profile = radio_profile(load_profile("usrp-b200", overrides), side, may_transmit=True)
    with pytest.raises(ConfigError, match=message):
        make_sink(profile) if side == "tx" else make_source(profile)


@pytest.mark.usefixtures("imitated")
def test_an_oscillator_that_does_not_lock_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Usrp, "is_locked", False)
    monkeypatch.setattr("gened.flowgraphs.radios.uhd.LOCK_S", 0.05)
    with pytest.raises(LinkError, match="its oscillator does not lock"):
        make_source(radio_profile(load_profile("usrp-b200"), "rx"))


@pytest.mark.usefixtures("imitated")
def test_messages_of_a_usrp_are_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    sink = usrp_sink()
    device = Imitation.made[0]
    names = pmt.list1(pmt.intern("underflow"))
    message = pmt.cons(pmt.intern("uhd_async_msg"), pmt.dict_add(pmt.make_dict(), pmt.intern("event_code"), names))
    tb = gr.top_block()
    # A stream that ended would take the thread of the message's reader with it.
    tb.connect(blocks.null_source(8), blocks.throttle(8, 1e5), sink)
    with caplog.at_level(logging.WARNING, "gened.radio"):
        tb.start()
        device.message_port_pub(pmt.intern("async_msgs"), message)
        wait_until(lambda: bool(sink.events.counts()))  # the message crosses a thread of GNU Radio
        tb.stop()
        tb.wait()
    assert sink.events.counts() == {"U": 1}
    assert caplog.messages == [f"usrp-b200 at type=b200: 1 x {EVENTS['U']}"]


@pytest.mark.usefixtures("imitated")
@pytest.mark.parametrize("name", ["usrp-b200", "soapy"])
def test_a_receiver_is_set_up_and_gives_samples(name: str) -> None:
    source = make_source(radio_profile(load_profile(name, {"rx.gain_db": "10"}), "rx"))
    device = Imitation.made[0]
    assert device.values["gain"] == 10
    tb, head, sink = gr.top_block(), blocks.head(8, 1000), blocks.vector_sink_c()
    tb.connect(source, head, sink)
    tb.run()
    assert len(sink.data()) == 1000


@pytest.mark.usefixtures("imitated")
def test_a_soapy_radio_turns_its_automatic_gain_off_and_sends_bursts_if_told_to() -> None:
    source = make_source(radio_profile(load_profile("soapy"), "rx"))
    sink = make_sink(radio_profile(load_profile("soapy", {"tx.is_continuous": "false"}), "tx", may_transmit=True))
    receiver, transmitter = Imitation.made
    assert receiver.arguments[0] == "driver=hackrf"
    assert receiver.values["agc"] is False
    assert transmitter.values["tag"] == "packet_len"
    del source, sink


# A virtual Pluto


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SERVER = """
import sys
from gened.virtual_pluto.server import ServerConfig, VirtualPlutos
with VirtualPlutos(ServerConfig(port=int(sys.argv[1]))) as plutos:
    print(plutos.uris[0], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def virtual_pluto() -> Any:
    """A virtual Pluto that hears itself, its address, and its device as pyadi-iio sees it.

    In a process of its own: gr-iio's constructors keep Python's lock while they wait for an answer.
    """
    pytest.importorskip("gened.virtual_pluto.server")
    needs("virtual-pluto")
    adi = importlib.import_module("adi")
    command = [sys.executable, "-c", SERVER, str(free_port())]
    with subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        uri = server.stdout.readline().strip()
        yield uri, adi.Pluto(uri)
        gc.collect()  # gr-iio's threads end the process when their server goes first
        server.communicate("", timeout=30)


def test_a_virtual_pluto_is_loud_only_while_the_flowgraph_runs(virtual_pluto: Any) -> None:
    uri, device = virtual_pluto
    phy = device.ctx.find_device("ad9361-phy")
    oscillator = phy.find_channel("altvoltage1", True).attrs["powerdown"]
    hardware = load_profile("virtual-pluto", {"address": uri, "sample_rate": "1.5e6", "tx.gain_db": "-20.25"})
    sink = make_sink(radio_profile(hardware, "tx"))
    assert device.tx_hardwaregain_chan0 == -89.75
    assert (device.tx_lo, device.sample_rate, device.tx_rf_bandwidth) == (2_449_500_000, 1_500_000, 1_000_000)
    tb = gr.top_block()
    tb.connect(blocks.null_source(8), sink)
    tb.start()
    # The scheduler starts blocks in threads of its own.
    wait_until(lambda: device.tx_hardwaregain_chan0 == -20.25)
    assert (device.tx_hardwaregain_chan0, oscillator.value.strip()) == (-20.25, "0")
    time.sleep(1.2)  # GNU Radio 3.10.5's gr-iio hangs in its destructor when it ran for less than a second
    tb.stop()
    tb.wait()
    assert (device.tx_hardwaregain_chan0, oscillator.value.strip()) == (-89.75, "1")
    assert math.isclose(sink.tail_s, (8 + 2) * 32768 / 1.5e6)
    del tb, sink


def test_what_is_no_virtual_pluto_does_not_transmit_unasked(
    virtual_pluto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a tunnel there may be a real one, at an address of this machine."""
    uri, device = virtual_pluto
    hardware = load_profile("virtual-pluto", {"address": uri})
    monkeypatch.setattr("gened.flowgraphs.radios.iio.VIRTUAL_MARK", "of another program")
    before = device.tx_hardwaregain_chan0
    with pytest.raises(ConfigError, match="--transmit"):
        make_sink(radio_profile(hardware, "tx"))
    assert device.tx_hardwaregain_chan0 == before
    make_sink(radio_profile(hardware, "tx", may_transmit=True))


def test_a_tone_goes_out_of_a_virtual_pluto_and_comes_back(virtual_pluto: Any) -> None:
    uri, device = virtual_pluto
    hardware = load_profile("virtual-pluto", {"address": uri})
    sink = make_sink(radio_profile(hardware, "tx"))
    source = make_source(radio_profile(hardware, "rx"))
    assert (device.rx_lo, device.gain_control_mode_chan0, device.rx_hardwaregain_chan0) == (2_449_500_000, "manual", 30)
    n = 10_000
    tone = np.exp(2j * np.pi * 0.1 * np.arange(n)).astype(np.complex64)  # 1000 whole turns
    tb, head, taken = gr.top_block(), blocks.head(8, 1_500_000), blocks.vector_sink_c()
    tb.connect(blocks.vector_source_c(tone.tolist(), True), sink)
    tb.connect(source, head, taken)
    tb.start()
    # At 1 MS/s: more than the second for which gr-iio has to run.
    wait_until(lambda: taken.nitems_read(0) >= 1_500_000)
    tb.stop()
    tb.wait()
    samples = np.array(taken.data()[-n:], np.complex64)
    spectrum = np.abs(np.fft.fft(samples)) ** 2
    assert spectrum.argmax() == n // 10
    assert spectrum.max() > 0.9 * spectrum.sum()
    del tb, sink, source
