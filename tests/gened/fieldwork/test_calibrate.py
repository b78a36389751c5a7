# SPDX-License-Identifier: GPL-3.0-or-later
"""The level sweep on a virtual pair: it finds what was set, writes it down, and leaves the transmitter mute."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError, LinkError
from gened.fieldwork.calibrate import Calibration, run_calibrate
from gened.fieldwork.calibrate_report import COLUMNS, conclusions, row, write_calibrated, write_calibration
from gened.fieldwork.config import CalibrateConfig
from gened.fieldwork.level_plan import plan_levels
from gened.flowgraphs.radios.radio_sink import GainRange
from gened.hw_config.profile import load_profile

PPM, CENTER_HZ, SNR_DB = 12.0, 2449.5e6, 20.0
"""Of the pair: the SNR is that of -10 dB."""
TIMEOUT_S = 60
GAINS = GainRange(-89.75, 0.0, 0.25)


@pytest.fixture(scope="module")
def pair(virtual_pair: Any) -> Iterator[Any]:
    with virtual_pair("--snr", str(SNR_DB), "--freq-offset-ppm", str(PPM), "--sfo-ppm", "12") as started:
        yield started


def swept(pair: Any, profile: str | Path = "virtual-pluto", *, stop: Any = None, **options: Any) -> Calibration:
    settings = pair.settings | options.pop("settings", {}) if profile == "virtual-pluto" else {}
    config = CalibrateConfig(
        hardware=load_profile(profile, settings),
        **{"n_bursts": 8, "min_gain_db": -40.0, "step_db": 10.0} | options,
    )
    return run_calibrate(config, stop=stop or threading.Event())


def test_the_offset_that_was_set_is_found_written_and_then_gone(pair: Any, tmp_path: Path) -> None:
    result = swept(pair)
    assert [level.tx_gain_db for level in result.levels] == [-40.0, -30.0, -20.0, -10.0, 0.0]
    assert result.offset is not None
    assert result.offset.cfo_hz.median == pytest.approx(PPM * 1e-6 * CENTER_HZ, abs=3.0)
    assert result.correction_ppm == pytest.approx(PPM, abs=0.002)
    assert result.offset.sfo_ppm.median == pytest.approx(12.0, abs=2.0)
    for level in result.levels[-3:]:
        assert level.n_found == level.n_sent == 8
        assert level.snr_est_db == pytest.approx(SNR_DB + 10 + level.tx_gain_db, abs=1.0)
        assert level.snr_evm_db == pytest.approx(SNR_DB + 10 + level.tx_gain_db, abs=1.0)
        power = 10 ** ((-12 + level.tx_gain_db) / 10) + 10 ** (result.noise_dbfs / 10)
        assert level.rx_dbfs == pytest.approx(10 * np.log10(power), abs=0.3)  # 30 dB of gain are 10 under the usual
    assert result.noise_dbfs == pytest.approx(-12 - 10 - SNR_DB + 10 * np.log10(256 / 204), abs=0.5)
    assert pair.is_mute()

    path = tmp_path / "mine.yaml"
    write_calibrated(path, "virtual-pluto", pair.settings, result)
    assert load_profile(path).tx.gain_db == 0.0
    again = swept(pair, path, min_gain_db=-10.0)
    assert again.offset is not None and abs(again.offset.cfo_hz.median) < 3.0
    assert again.correction_ppm == pytest.approx(PPM, abs=0.002)

    told = write_calibration(tmp_path / "out", result, ["gened", "calibrate"], seed=0)
    assert json.loads((tmp_path / "out" / "calibrate.json").read_text()) == told
    assert told["recommended"] == {"tx_gain_db": 0.0, "backoff_db": 12.0}
    assert np.asarray(Image.open(tmp_path / "out" / "calibrate.png").convert("L")).std() > 10
    assert len(row(result.levels[0])) == len(COLUMNS)
    assert any("correction: rx.freq_correction_ppm=12.0" in line for line in conclusions(result))


def test_a_receiver_that_clips_ends_the_sweep_and_no_such_level_is_recommended(pair: Any) -> None:
    result = swept(pair, min_gain_db=-30.0, step_db=6.0, settings={"rx.gain_db": "55"})
    assert result.levels[-1].clipped_fraction > 0.02 and result.levels[-1].tx_gain_db < 0
    assert "the receiver clips" in result.ending
    assert result.recommendation.level is not result.levels[-1]


def test_a_smaller_back_off_is_a_higher_level_until_the_transmitter_clips(pair: Any) -> None:
    result = swept(pair, sweep="backoff", min_gain_db=None, step_db=12.0, settings={"tx.gain_db": "-20"})
    assert [level.backoff_db for level in result.levels] == [36.0, 24.0, 12.0, 0.0]
    assert {level.tx_gain_db for level in result.levels} == {-20.0}
    *_, usual, loud = result.levels
    assert usual.tx_clipped_fraction < 1e-3 < loud.tx_clipped_fraction
    assert loud.rx_dbfs > usual.rx_dbfs + 9


def test_an_interruption_keeps_what_was_measured_and_mutes(pair: Any) -> None:
    stop = threading.Event()
    config = CalibrateConfig(hardware=load_profile("virtual-pluto", pair.settings), n_bursts=4, min_gain_db=-20.0)
    told: list[Any] = []

    def on_level(figures: Any) -> None:
        told.append(figures)
        if len(told) == 3:  # the noise and two levels
            stop.set()

    result = run_calibrate(config, stop=stop, on_level=on_level)
    assert len(result.levels) == 2 and result.ending == "interrupted"
    assert pair.is_mute()


def test_an_error_on_the_way_mutes(pair: Any) -> None:
    config = CalibrateConfig(hardware=load_profile("virtual-pluto", pair.settings), n_bursts=4, min_gain_db=-20.0)

    def on_level(figures: Any) -> None:
        if not isinstance(figures, float):
            assert not pair.is_mute()
            raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        run_calibrate(config, stop=threading.Event(), on_level=on_level)
    assert pair.is_mute()


def test_ctrl_c_on_the_command_mutes_and_leaves_the_report(pair: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gened", "calibrate", "--radio", "virtual-pluto", *pair.options]
    process = subprocess.Popen(
        [*command, "--min-gain", "-20", "--step", "0.25", "--out", str(tmp_path / "out"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("gain"):
            assert process.poll() is None
        assert not pair.is_mute()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert pair.is_mute()
    assert json.loads(output)["ending"] == "interrupted"
    assert (tmp_path / "out" / "calibrate.json").is_file()


# What is refused before a device is opened


@pytest.mark.parametrize(
    ("profile", "settings", "options", "message"),
    [
        ("pluto", {}, {}, r"would transmit at 2449\.5 MHz with up to -89\.75 dB gain; nothing was sent"),
        ("usrp-b200", {}, {"max_gain_db": 30.0}, "with up to 30 dB gain; nothing was sent"),
        ("pluto", {"tx.center_freq": "868e6"}, {"may_transmit": True}, "leaves allowed_bands"),
        ("loopback", {}, {}, "is no radio; a level sweep needs one"),
        ("virtual-pluto", {}, {"step_db": 0.1}, "a step of 0.1 dB; from 0.25 to 30 is possible"),
        ("virtual-pluto", {}, {"sweep": "frequency"}, "there are gain and backoff"),
    ],
)
def test_what_cannot_be_swept_is_one_line(profile: str, settings: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_calibrate(CalibrateConfig(hardware=load_profile(profile, settings), **options), stop=threading.Event())


def test_a_radio_that_is_not_there_is_one_line() -> None:
    hardware = load_profile("virtual-pluto", {"address": "ip:127.0.0.1:9"})
    with pytest.raises(LinkError, match="nobody answers"):
        run_calibrate(CalibrateConfig(hardware=hardware), stop=threading.Event())


# Levels


def gains_of(profile: str = "virtual-pluto", **options: Any) -> list[float]:
    return [gain for gain, _ in plan_levels(CalibrateConfig(hardware=load_profile(profile), **options), GAINS)]


def test_the_sweep_rises_from_the_lowest_gain_to_the_limit_and_never_above() -> None:
    assert gains_of(step_db=30.0) == [-89.75, -59.75, -29.75, 0.0]
    assert gains_of(step_db=30.0, max_gain_db=-20.1) == [-89.75, -59.75, -29.75, -20.25]
    assert gains_of(min_gain_db=-20.0, step_db=10.0) == [-20.0, -10.0, 0.0]


def test_hardware_is_swept_to_its_profile_s_gain_unless_more_is_said() -> None:
    assert gains_of("pluto") == [-89.75]
    assert gains_of("pluto", max_gain_db=-80.0) == [-89.75, -84.75, -80.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_gain_db": 3.0}, "--max-gain 3: the transmitter takes -89.75 to 0 dB"),
        ({"min_gain_db": -95.0}, "--min-gain -95"),
        ({"min_gain_db": -10.0, "max_gain_db": -20.0}, "would begin at -10 dB, over its limit of -20"),
    ],
)
def test_a_limit_that_cannot_be_is_one_line(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gains_of(**options)
