# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's parts, each with what it may meet: programs that hang, radios of all kinds, weights that are cut off."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from gened.doctor import examine as examination
from gened.doctor import findings, limits, machine, radio_checks, radios, weights
from gened.doctor.companion_blocks import judged
from gened.doctor.findings import Entry, Finding, Visit
from gened.doctor.probe import PROBES, _function
from gened.doctor.programs import ProbeError, ProbeTimeout, probe, run_program
from gened.hw_config.profile import load_profile
from gened.paths import WEIGHTS

PLUTO = limits.SideLimits(
    sample_rate=[(520_833, 61.44e6)], center_freq=[(325e6, 3.8e9)], gain_db=[(-3, 71)], bandwidth=[(2e5, 56e6)],
    antennas=[],
)  # fmt: skip
USRP = limits.SideLimits(
    sample_rate=[(1e5, 1e5), (1e6, 1e6), (25e6, 25e6)], center_freq=[(1e9, 2e9)], gain_db=[(0, 31.5)], bandwidth=[],
    antennas=["TX/RX", "RX2"],
)  # fmt: skip


# Checks and how they are run


def test_every_problem_and_note_has_a_next_step_and_every_check_a_docstring() -> None:
    entries = examination.all_checks()
    assert len(entries) >= 12
    assert all(entry.check.__doc__ for entry in entries)
    assert len({entry.check.__name__ for entry in entries}) == len(entries)


def test_a_check_that_breaks_or_hangs_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(visit: Visit) -> list[Finding]:
        raise KeyError("of some\ndriver")

    def hangs(visit: Visit) -> list[Finding]:
        time.sleep(30)  # longer than the doctor waits
        return []

    def works(visit: Visit) -> list[Finding]:
        return [Finding(subject="it", level="ok", text="works")]

    entries = [Entry("One", breaks, False), Entry("One", hangs, False), Entry("Two", works, True)]
    monkeypatch.setattr(examination, "all_checks", lambda: entries)
    monkeypatch.setattr(examination, "TOGETHER_S", 0.3)
    sections = examination.examine(Visit())
    assert [section.title for section in sections] == ["One", "Two"]
    broken, late = sections[0].findings
    assert "KeyError: 'of some\\ndriver'" in broken.text and "no answer within 0.3 s" in late.text
    assert broken.next_step and late.next_step
    assert examination.can_start(sections)


@pytest.mark.parametrize(("level", "expected"), [("ok", True), ("note", True), ("problem", False)])
def test_only_a_problem_stands_in_the_way(level: Any, expected: bool) -> None:
    found = Finding(subject="a", level=level, text="b", next_step="c")
    assert examination.can_start([examination.Section("T", [found])]) is expected


# Programs and probes


def test_a_program_that_hangs_is_ended_with_what_it_started() -> None:
    begun_s = time.monotonic()
    outcome = run_program(["sh", "-c", "echo begun; sleep 60 & sleep 60"], 0.5)
    assert time.monotonic() - begun_s < 5
    assert outcome.problem == "no answer within 0.5 s" and outcome.code is None and outcome.out == "begun\n"


def test_a_program_that_is_not_there_is_told() -> None:
    assert run_program(["no-such-program-of-any-driver"], 1).problem.endswith("is not installed")


@pytest.mark.parametrize("name", list(PROBES))
def test_every_probe_is_there(name: str) -> None:
    assert callable(_function(name))


def test_a_probe_gives_one_line_where_it_fails_and_does_not_wait_for_ever() -> None:
    with pytest.raises(ProbeError, match="no-such-module"):
        probe("module", {"name": "no-such-module"}, 30)
    with pytest.raises(ProbeTimeout, match=r"no answer within 0\.01 s"):
        probe("gnuradio", {"modules": []}, 0.01)


def test_the_parts_are_tried_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def tried(name: str, arguments: Any, timeout_s: float) -> dict[str, Any]:
        asked.append(name)
        raise ProbeError("it fell over")

    monkeypatch.setattr(findings, "probe", tried)
    visit = Visit()
    for _ in range(2):
        with pytest.raises(ProbeError, match="it fell over"):
            visit.parts()
    assert asked == ["parts"]


# What programs of drivers print


def test_devices_in_the_words_of_uhd() -> None:
    text = """[INFO] [UHD] linux; GNU C++ version 12.2.0
--------------------------------------------------
-- UHD Device 0
--------------------------------------------------
Device Address:
    serial: 30F9A2B
    name: MyB210
    product: B210
    type: b200


--------------------------------------------------
-- UHD Device 1
--------------------------------------------------
Device Address:
    serial: F4D3C1
    addr: 192.168.10.2
    name:\x20
    type: usrp2
"""
    first, second = radios.uhd_devices(text)
    assert first == {"serial": "30F9A2B", "name": "MyB210", "product": "B210", "type": "b200"}
    assert second["addr"] == "192.168.10.2" and second["name"] == ""
    assert radios._usrp(first).next_step == "gened doctor --radio usrp-b210 --set address=type=b200,serial=30F9A2B"
    assert radios._usrp(second).next_step == "gened doctor --radio usrp-n210"  # where the profile looks anyway
    assert radios.uhd_devices("No UHD Devices Found\n") == []


def test_devices_in_the_words_of_soapysdr() -> None:
    text = "####\n\nFound device 0\n  driver = hackrf\n  label = HackRF One #0 c66c63dc\n  serial = 0000c66c\n\n"
    assert radios.soapy_devices(text) == [{"driver": "hackrf", "label": "HackRF One #0 c66c63dc", "serial": "0000c66c"}]
    assert radios.soapy_devices("No devices found! \n") == []


def test_a_pluto_on_usb_in_the_words_of_libiio() -> None:
    text = "Available contexts:\n\t0: 0456:b673 (Analog Devices Inc. PlutoSDR), serial=1044 [usb:3.7.5]\n"
    assert radios.usb_contexts(text) == [("0456:b673 (Analog Devices Inc. PlutoSDR), serial=1044", "usb:3.7.5")]
    assert radios.usb_contexts("No IIO context found.\n") == []


def test_without_any_radio_it_says_what_can_be_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_plutos", "_usb_plutos", "_usrps", "_soapy_radios"):
        monkeypatch.setattr(radios, name, lambda *_: [])
    (found,) = radios.radios(Visit())
    assert found.level == "note" and "gened loopback" in found.next_step and "virtual-pluto" in found.next_step


# Profile and radio


@pytest.mark.parametrize(
    ("overrides", "told", "step"),
    [
        ({"rx.center_freq": "100e6"}, "rx.center_freq is 100 MHz; this radio takes 325 to 3800 MHz", "=325000000"),
        ({"rx.center_freq": "5.8e9"}, "rx.center_freq is 5800 MHz", "=3800000000"),
        ({"rx.gain_db": "73"}, "rx.gain_db is 73 dB; this radio takes -3 to 71 dB", "rx.gain_db=71"),
        ({"rx.bandwidth": "1e5"}, "rx.bandwidth is 0.1 MHz", "=200000"),
    ],
)
def test_what_a_pluto_cannot_do_is_a_problem_with_the_nearest_it_can(
    overrides: dict[str, str], told: str, step: str
) -> None:
    (found,) = limits.compare(load_profile("pluto", overrides), "rx", PLUTO)
    assert found.level == "problem" and told in found.text and step in found.next_step


def test_what_a_radio_can_do_is_one_line_with_its_ranges() -> None:
    (found,) = limits.compare(load_profile("pluto"), "rx", PLUTO)
    assert found.level == "ok" and "325 to 3800 MHz" in found.text


def test_a_usrp_has_rates_one_by_one_and_connectors_by_name() -> None:
    hardware = load_profile("usrp-n210", {"sample_rate": "3e6", "rx.antenna": "RX7"})
    found = limits.compare(hardware, "rx", USRP)
    assert [one.text.partition(" ")[0] for one in found] == ["sample_rate", "rx.center_freq", "rx.antenna"]
    assert "0.1, 1, 25 Msample/s" in found[0].text and "TX/RX, RX2" in found[2].text


def test_limits_cross_a_process_unchanged() -> None:
    assert limits.SideLimits.from_plain(json.loads(json.dumps(USRP.plain()))) == USRP


@pytest.mark.parametrize(
    ("overrides", "level"),
    [({}, "ok"), ({"rx.bandwidth": "0.7e6"}, "problem"), ({"rx.bandwidth": "0.85e6"}, "note")],
)
def test_filters_leave_room_for_crystals_that_differ(overrides: dict[str, str], level: str) -> None:
    (found,) = limits.filters(load_profile("pluto", overrides))
    assert found.level == level


def rate_facts(**changed: Any) -> dict[str, Any]:
    return {
        "n_samples": 4_000_000, "seconds": 4.0, "cpu_share": 0.05, "events": {}, "n_full_scale": 0, "mean_db": -40.0,
        "floor_db": -41.0,
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "ok"),
        ({"n_samples": 3_970_000}, "ok"),
        ({"n_samples": 3_600_000}, "problem"),
        ({"events": {"O": 2}}, "note"),
        ({"n_samples": 3_600_000, "events": {"O": 9}}, "problem"),
    ],
)
def test_the_rate_that_arrives_is_judged(changed: dict[str, Any], level: str) -> None:
    found = radio_checks.rate_finding(1e6, rate_facts(**changed))
    assert found.level == level and bool(found.next_step) == (level != "ok")
    assert ("overflow" in found.text) and ("x overflow" in found.text) == bool(changed.get("events"))


def test_a_converter_at_its_end_is_told() -> None:
    (found,) = radio_checks.level_findings(rate_facts(n_full_scale=40_000))
    assert found.level == "note" and "1 % clipped" in found.text
    assert radio_checks.level_findings(rate_facts(mean_db=None)) == []


def test_a_band_that_may_not_be_used_is_a_problem_before_anything_is_opened() -> None:
    (found,) = radio_checks.bands(Visit(load_profile("pluto", {"tx.center_freq": "868e6"})))
    assert found.level == "problem" and "leaves allowed_bands" in found.text and found.next_step


def test_the_simulated_link_needs_no_radio() -> None:
    visit = Visit(load_profile("loopback"))
    assert radio_checks.bands(visit)[0].level == "ok"
    assert radio_checks.profile(visit) == radio_checks.rate(visit) == []


# The machine


def written(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(("name", "level"), [("powersave", "note"), ("performance", "ok")])
def test_the_governor_of_the_cores(tmp_path: Path, name: str, level: str) -> None:
    root = written(tmp_path, sys__devices__system__cpu__cpu0__cpufreq__scaling_governor=name)
    assert machine.governors(root)[0].level == level
    assert machine.governors(tmp_path / "none") == []


def test_small_network_buffers_come_with_the_command_that_enlarges_them(tmp_path: Path) -> None:
    root = written(tmp_path, proc__sys__net__core__rmem_max="212992", proc__sys__net__core__wmem_max="4000000")
    (found,) = machine.network_limits(root)
    assert found.level == "note" and found.next_step == "sudo sysctl -w net.core.rmem_max=50000000"


@pytest.mark.parametrize(("megabytes", "level"), [("16", "note"), ("1000", "ok"), ("0", "ok")])
def test_the_memory_for_usb(tmp_path: Path, megabytes: str, level: str) -> None:
    root = written(tmp_path, sys__module__usbcore__parameters__usbfs_memory_mb=megabytes)
    assert machine.usb_limit(root)[0].level == level
    assert machine.usb_limit(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("buffer_len", "n_buffers", "level", "step"),
    [
        (2048, 64, "note", "rx.buffer_len=32768"),
        (32768, 16, "ok", ""),
        (32768, 2, "note", "rx.n_buffers=7"),
        (1_048_576, 4, "note", "rx.buffer_len=32768"),
    ],
)
def test_buffers_of_a_pluto_are_neither_too_short_nor_too_long(
    buffer_len: int, n_buffers: int, level: str, step: str
) -> None:
    found = machine.buffer_advice("rx", buffer_len, n_buffers, 1e6)
    assert found.level == level and step in found.next_step


@pytest.mark.parametrize(("speed", "level"), [(8e6, "ok"), (1.2e6, "note"), (0.7e6, "problem")])
def test_a_machine_must_keep_up_with_the_radio(speed: float, level: str) -> None:
    assert machine.speed_finding(speed, 1e6).level == level


# Weights and blocks


def test_the_weights_that_ship_are_whole() -> None:
    for name in weights.FOLDERS:
        digest, n_bytes = weights.require_whole(WEIGHTS / name)
        data = (WEIGHTS / name / "model.safetensors").read_bytes()
        assert digest == hashlib.sha256(data).hexdigest() and n_bytes == len(data)


@pytest.mark.parametrize("damage", ["cut", "empty", "pointer", "gone", "config"])
def test_damaged_weights_are_told_with_the_remedy(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "softcast"
    shutil.copytree(WEIGHTS / "softcast", folder)
    file = folder / "model.safetensors"
    if damage == "gone":
        file.unlink()
    elif damage == "config":
        (folder / "config.json").write_text("{")
    else:
        data = file.read_bytes()
        file.write_bytes({"cut": data[:-1], "empty": b"", "pointer": b"version https://git-lfs.github.com/"}[damage])
    found = weights._judged("softcast", folder, None)
    assert found.level == "problem" and found.next_step


def test_a_codec_that_does_not_load_is_told_beside_its_hash() -> None:
    folder = WEIGHTS / "gened"
    found = weights._judged("gened", folder, {"is_ok": False, "text": "no module named torch"})
    assert found.level == "note" and "SHA-256" in found.text and "torch" in found.text


@pytest.mark.parametrize(
    ("with_us", "without", "level", "told"),
    [
        (["a", "b"], [], "ok", "by itself shows none"),
        (["a", "b"], ["a"], "ok", "by itself lacks some"),
        (["a", "b"], ["a", "b"], "ok", "so does Companion"),
        (["a"], [], "note", "lacks b"),
    ],
)
def test_what_companion_shows(with_us: list[str], without: list[str], level: str, told: str) -> None:
    found = judged(["a", "b"], with_us, without)
    assert found.level == level and told in found.text
