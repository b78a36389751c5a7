# SPDX-License-Identifier: GPL-3.0-or-later
"""Radio profiles: every shipped file opens and is safe as it stands; what is wrong is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gened.errors import ConfigError
from gened.hw_config.profile import (
    FOLDER,
    HardwareProfile,
    find_profile,
    load_profile,
    parse_overrides,
    shipped_profiles,
)
from gened.hw_config.reading import MAX_BYTES, parse_yaml

NAMES = (
    "loopback", "pluto", "pluto-pair", "soapy", "usrp-b200", "usrp-b210", "usrp-n210", "usrp-x310", "virtual-pluto",
)  # fmt: skip
HARDWARE = tuple(name for name in NAMES if name not in ("loopback", "virtual-pluto"))


def refusal(name: str, **overrides: str) -> str:
    """The line that a wrong profile gives; `__` in a name stands for a dot."""
    with pytest.raises(ConfigError) as caught:
        load_profile(name, {key.replace("__", "."): value for key, value in overrides.items()})
    line = str(caught.value)
    assert "\n" not in line
    return line


# The shipped files


def test_these_are_shipped() -> None:
    assert shipped_profiles() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_opens(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == f"{name}.yaml"
    assert profile.description and profile.law and profile.tried


@pytest.mark.parametrize("name", NAMES)
def test_every_file_begins_with_its_licence_and_can_be_read_without_looking_aside(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# SPDX-License-Identifier: GPL-3.0-or-later"
    assert lines[1].startswith("# ")
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("name", HARDWARE)
def test_a_hardware_radio_ships_with_its_lowest_gain_inside_a_band_that_needs_no_licence(name: str) -> None:
    profile = load_profile(name)
    assert profile.is_hardware
    assert profile.tx.gain_db == {"iio": -89.75, "uhd": 0.0, "soapy": None}[profile.driver]
    assert [(band.low_hz, band.high_hz) for band in profile.allowed_bands] == [(2400e6, 2483.5e6)]
    profile.require_allowed_band()
    assert profile.tried.startswith("Nothing.")  # change with the first contact, and say which device


@pytest.mark.parametrize("name", HARDWARE)
def test_a_file_says_how_to_raise_the_gain_and_what_to_put_between(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert "Raise it in steps, over a cable" in text
    assert "attenuators" in text


@pytest.mark.parametrize("name", ["loopback", "virtual-pluto"])
def test_a_simulated_radio_is_none_of_hardware(name: str) -> None:
    assert not load_profile(name).is_hardware


def test_the_pair_has_two_addresses() -> None:
    profile = load_profile("pluto-pair")
    assert (profile.tx_address, profile.rx_address) == ("ip:192.168.2.1", "ip:192.168.3.1")


# Finding


def test_a_bare_name_and_its_file_name_are_the_shipped_profile() -> None:
    assert find_profile("pluto") == find_profile("pluto.yaml") == FOLDER / "pluto.yaml"


def test_a_file_of_ones_own_is_taken_from_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (FOLDER / "pluto.yaml").read_text().replace("192.168.2.1", "192.168.9.9")
    (tmp_path / "pluto.yaml").write_text(text)
    assert load_profile(tmp_path / "pluto.yaml").address == "ip:192.168.9.9"
    monkeypatch.chdir(tmp_path)
    assert load_profile("pluto.yaml").address == "ip:192.168.9.9"
    assert load_profile("pluto").address == "ip:192.168.2.1"


@pytest.mark.parametrize("name", ["plutto", "missing.yaml", "/nowhere/pluto.yaml", "../hw_config/pluto"])
def test_an_unknown_name_lists_the_shipped_ones(name: str) -> None:
    line = refusal(name)
    assert line.startswith(f"no radio profile '{name}'")
    assert all(known in line for known in NAMES)


# What is wrong: file, key, value, what is allowed


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("driver", "hackrf", "zeromq, iio, uhd, soapy"),
        ("sample_rate", "fast", "a number from 100000 to 6.144e+07"),
        ("sample_rate", "10", "a number from 100000 to 6.144e+07"),
        ("sample_rate", "1e400", "a number from 100000 to 6.144e+07"),
        ("tx.backoff_db", "-3", "a number from 0 to 60"),
        ("tx.gain_db", "true", "a number from -100 to 100"),
        ("tx.gain_db", "3", "from -89.75 to 0 in steps of 0.25"),
        ("tx.gain_db", "-10.1", "from -89.75 to 0 in steps of 0.25"),
        ("tx.is_continuous", "yes", "true or false"),
        ("tx.is_continuous", "false", "true, with the driver iio"),
        ("tx.channel", "1", "0, with the driver iio"),
        ("tx.lead_s", "0.1", "belong to the driver uhd"),
        ("rx.lo_offset_hz", "1000", "belong to the driver uhd"),
        ("clock_source", "external", "belong to the driver uhd"),
        ("clock_source", "sun", "internal, external, gpsdo, mimo"),
        ("tx.buffer_len", "10", "a whole number from 1024"),
        ("tx.buffer_len", "4096.5", "a whole number from 1024"),
        ("tx.center_freq", "null", "a radio needs one"),
        ("rx.gain_mode", "agc", "manual, slow_attack, fast_attack, hybrid"),
        ("rx.gain_db", "80", "from -3 to 73"),
        ("address", "usb:1.4.5", "ip:HOST"),
        ("device_args", "a=b", "empty, with the driver iio"),
        ("law", "none", "20 characters or more"),
        ("tx", "5", "keys of the transmitting side"),
        ("allowed_bands", "all", "a list of"),
        ("allowed_bands.0.high_hz", "2e9", "more than low_hz"),
        ("allowed_bands.0.low_hz", "2.4", "a number from 1e+06 to 1e+10"),
    ],
)
def test_a_wrong_value_names_file_key_value_and_what_is_allowed(key: str, value: str, allowed: str) -> None:
    line = refusal("pluto", **{key: value})
    assert line.startswith(f"pluto.yaml: {key} is ")
    assert "(--set)" in line
    assert f"allowed: {allowed}" in line or allowed in line.partition("allowed: ")[2]


@pytest.mark.parametrize(
    ("name", "key", "value", "allowed"),
    [
        ("usrp-b200", "address", "b200", "KEY=VALUE"),
        ("usrp-b200", "device_args", "x,y=1", "KEY=VALUE"),
        ("usrp-b200", "tx.buffer_len", "4096", "null"),
        ("usrp-b200", "rx.n_buffers", "8", "null"),
        ("pluto", "rx.n_buffers", "0", "64"),
        ("usrp-b200", "rx.gain_mode", "slow_attack", "manual"),
        ("soapy", "rx.channel", "1", "0, with the driver soapy"),
        ("soapy", "time_source", "gpsdo", "none"),
        ("loopback", "tx.address", "udp://x", "tcp://127.0.0.1:5550"),
        ("virtual-pluto", "address", "ip:192.168.2.1", "ip:127.0.0.1"),
        ("usrp-b200", "is_virtual", "true", "ip:127.0.0.1"),
    ],
)
def test_each_driver_has_its_rules(name: str, key: str, value: str, allowed: str) -> None:
    line = refusal(name, **{key: value})
    assert line.startswith(f"{name}.yaml: ")
    assert allowed in line.partition("allowed: ")[2]


def test_timed_bursts_and_a_continuous_stream_exclude_each_other() -> None:
    assert "tx.lead_s is 0.1" in refusal("usrp-b200", tx__lead_s="0.1", tx__is_continuous="true")


@pytest.mark.parametrize("key", ["tx.gian_db", "gain_db", "rx.backoff_db", "allowed_bands.0.colour"])
def test_an_unknown_key_lists_the_known_ones(key: str) -> None:
    line = refusal("pluto", **{key: "1"})
    assert line.startswith(f"pluto.yaml: {key} is 1, but there is no such key")
    assert "allowed: " in line


def test_a_mistyped_key_gets_the_near_one() -> None:
    assert "did you mean gain_db?" in refusal("pluto", tx__gian_db="1")


@pytest.mark.parametrize("key", ["sample_rate.x", "allowed_bands.7.low_hz", "allowed_bands.x"])
def test_a_key_below_what_has_none_is_an_error(key: str) -> None:
    assert f"--set {key}=1: there is no such key" in refusal("pluto", **{key: "1"})


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("driver: iio\naddress: ip:192.168.2.1\n")
    line = refusal(str(tmp_path / "mine.yaml"))
    assert line.startswith("mine.yaml: description is missing; allowed: ")
    assert line.endswith("2 more to mend")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("driver: [", "mine.yaml, line"),
        ("- driver", "no mapping"),
        ("", "no mapping"),
        ("driver: iio\ndriver: uhd", "the key 'driver' stands twice"),
        ("a: &x 1\nb: *x", "an alias"),
        ("driver: !!python/object/apply:os.system ['true']", "mine.yaml, line 1"),
        ("name: other", "there is no key 'name'"),
        ("x: " + "y" * MAX_BYTES, "at most"),
    ],
)
def test_what_is_no_profile_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert message in refusal(str(tmp_path / "mine.yaml"))


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    assert "no UTF-8 text" in refusal(str(tmp_path / "mine.yaml"))


# Setting


def test_any_key_can_be_set() -> None:
    profile = load_profile(
        "pluto",
        {
            "tx.gain_db": "-40", "rx.gain_mode": "slow_attack", "tx.address": "ip:pluto.local", "sample_rate": "2.5e6",
            "allowed_bands.0.high_hz": "2450e6", "rx.bandwidth": "null", "description": "mine", "tx.antenna": "",
        },
    )  # fmt: skip
    assert profile.tx.gain_db == -40
    assert profile.rx.gain_mode == "slow_attack"
    assert (profile.tx_address, profile.rx_address) == ("ip:pluto.local", "ip:192.168.2.1")
    assert profile.sample_rate == 2.5e6
    assert profile.allowed_bands[0].high_hz == 2450e6
    assert profile.rx.bandwidth is None
    assert (profile.description, profile.tx.antenna) == ("mine", "")


def test_a_whole_list_can_be_set() -> None:
    profile = load_profile("pluto", {"allowed_bands": "[{low_hz: 430e6, high_hz: 440e6}]"})
    assert str(profile.allowed_bands[0]) == "430 to 440 MHz"


def test_texts_of_the_command_line_are_taken_apart_at_the_first_equals_sign() -> None:
    assert parse_overrides(["address=type=b200,serial=1", "a.b = 2", "a.b=3"]) == {
        "address": "type=b200,serial=1",
        "a.b": "3",
    }


@pytest.mark.parametrize("item", ["tx.gain_db", "=3", ""])
def test_a_text_that_sets_nothing_is_an_error(item: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_overrides([item])


def test_a_profile_cannot_be_changed_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_profile("pluto").sample_rate = 3e6  # type: ignore[misc]


# Bands


@pytest.mark.parametrize(
    ("center_freq", "is_allowed"),
    [
        ("2400.41e6", True),  # 0.8008 MHz of signal: 0.4004 MHz from the edge is the nearest
        ("2400.39e6", False),
        ("2483.09e6", True),
        ("2483.11e6", False),
        ("433.92e6", False),
    ],
)
def test_the_whole_signal_must_lie_inside_a_band(center_freq: str, is_allowed: bool) -> None:
    profile = load_profile("pluto", {"tx.center_freq": center_freq})
    if is_allowed:
        profile.require_allowed_band()
    else:
        with pytest.raises(
            ConfigError, match=r"pluto.yaml: tx.center_freq .* leaves allowed_bands \(2400 to 2483.5 MHz"
        ):
            profile.require_allowed_band()


def test_two_bands_side_by_side_are_not_one() -> None:
    bands = "[{low_hz: 2400e6, high_hz: 2449.5e6}, {low_hz: 2449.5e6, high_hz: 2483.5e6}]"
    with pytest.raises(ConfigError, match="leaves allowed_bands"):
        load_profile("pluto", {"allowed_bands": bands}).require_allowed_band()


def test_without_a_band_nothing_may_be_sent() -> None:
    with pytest.raises(ConfigError, match=r"allowed_bands \(none\)"):
        load_profile("pluto", {"allowed_bands": "[]"}).require_allowed_band()


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.4e9", 2.4e9), ("1e6", 1e6), ("-89.75", -89.75), ("1_000_000", 1_000_000), (".5", 0.5), ("0", 0), ("-3", -3),
        ("null", None), ("~", None), ("true", True), ("false", False), ("yes", "yes"), ("off", "off"), ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"), ("ip:127.0.0.1", "ip:127.0.0.1"), ("TX/RX", "TX/RX"), ("A:0", "A:0"),
        ("010", "010"), (".", "."), ("e5", "e5"), ("192.168.2.1", "192.168.2.1"),
    ],
)  # fmt: skip
def test_words_and_numbers_are_what_they_look_like(text: str, value: object) -> None:
    parsed = parse_yaml(text, "text")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("name", NAMES)
def test_other_readers_of_yaml_see_the_same_keys(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert set(yaml.safe_load(text)) <= set(HardwareProfile.model_fields) - {"name"}
