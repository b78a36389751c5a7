# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey: a row a frame, lost ones among them; what they come to; over an air, a virtual pair, and its recording."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.fieldwork import survey as module
from gened.fieldwork.config import SurveyConfig
from gened.fieldwork.survey import Survey, SurveyRow, run_survey
from gened.fieldwork.survey_report import line_of, summary_lines, write_survey
from gened.fieldwork.survey_summary import drift_per_s, summarize, wilson_interval
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.link.config import ReceiveConfig
from gened.link.events import Ended, Ready
from gened.link.link_errors import NoFrameError

TIMEOUT_S = 120


def facts(number: int, **others: Any) -> FrameFacts:
    """Facts of a received frame."""
    plain = {"frame": number, "session": 7, "snr_est_db": 10.0, "cfo_est_hz": 100.0, "sfo_est_ppm": 1.0,
             "erased_fraction": 0.0, "caption": "a bus", "crc_ok": True, "airtime_s": 0.013}  # fmt: skip
    return FrameFacts.from_wire(plain | others)


@pytest.fixture
def hear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a survey of what a receiver tells; an exception in it is raised by the receiver."""

    def survey(*told: Any, **options: Any) -> tuple[Survey, list[SurveyRow]]:
        def receive(config: Any, *, stop: Any, on_event: Any) -> None:
            for each in told:
                if isinstance(each, Exception):
                    raise each
                on_event(each)

        monkeypatch.setattr(module, "run_receive", receive)
        rows: list[SurveyRow] = []
        config = SurveyConfig(receive=ReceiveConfig(out=tmp_path), **options)
        return run_survey(config, stop=threading.Event(), on_row=rows.append), rows

    return survey


def numbers(survey: Survey) -> list[tuple[int, bool]]:
    return [(row.frame, row.is_received) for row in survey.rows]


def test_a_number_that_was_passed_over_is_a_lost_frame(hear: Any) -> None:
    survey, told = hear(facts(3), facts(4), facts(7))
    assert numbers(survey) == [(3, True), (4, True), (5, False), (6, False), (7, True)]
    assert told == survey.rows
    times = [row.time_s for row in survey.rows]
    assert times == sorted(times)
    assert "LOST: never came" in line_of(survey.rows[2])
    assert "10.0 dB SNR" in line_of(survey.rows[0]) and "caption whole" in line_of(survey.rows[0])


def test_numbers_wrap_around_and_a_sender_that_begins_again_has_lost_nothing(hear: Any) -> None:
    survey, _ = hear(facts(65534), facts(0), facts(0, session=8), facts(1, session=8))
    assert numbers(survey) == [(65534, True), (65535, False), (0, True), (0, True), (1, True)]


def test_a_jump_that_no_link_makes_fills_no_memory(hear: Any) -> None:
    survey, _ = hear(facts(0), facts(20000), facts(5))
    assert numbers(survey) == [(0, True), (20000, True), (5, True)]


def test_a_frame_that_came_but_gave_no_picture_is_lost_with_its_reason(hear: Any) -> None:
    survey, _ = hear(facts(0, error="unknown codec"), facts(1, is_lost=True))
    assert [row.is_received for row in survey.rows] == [False, False]
    assert survey.rows[0].reason == "unknown codec"
    assert survey.rows[1].reason and survey.rows[1].snr_est_db == 10.0


def test_an_error_of_the_link_keeps_what_came_before(hear: Any) -> None:
    survey, _ = hear(Ready(), facts(0), Ended({"overflow": 3}), NoFrameError("no frame"))
    assert numbers(survey) == [(0, True)]
    assert survey.causes == {"overflow": 3}
    assert isinstance(survey.failure, NoFrameError)


def test_psnr_is_against_the_photograph_whose_turn_it_was(hear: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    paths = []
    for index in range(2):
        pixels = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        paths.append(tmp_path / f"photo{index}.png")
        Image.fromarray(pixels).save(paths[-1])
        Image.fromarray((pixels // 2 + 60).astype(np.uint8)).save(tmp_path / f"received-000{index}.png")
    told = [facts(n, received=f"received-000{n % 2}.png") for n in range(3)]
    survey, _ = hear(*told, references=tuple(paths))
    assert all(row.psnr_db is not None and 8 < row.psnr_db < 25 for row in survey.rows)
    turned, _ = hear(facts(0, received="received-0001.png"), references=tuple(paths))
    assert turned.rows[0].psnr_db < survey.rows[0].psnr_db
    without, _ = hear(*told)
    assert without.rows[0].psnr_db is None


def test_a_survey_either_listens_or_sends(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either listens or sends"):
        SurveyConfig()
    with pytest.raises(ConfigError, match="--out"):
        SurveyConfig(receive=ReceiveConfig())


# Figures


@pytest.mark.parametrize(
    ("n_events", "n", "expected"), [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (5, 20, (0.1119, 0.4687))]
)
def test_the_interval_is_wilson_s(n_events: int, n: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(n_events, n) == pytest.approx(expected, abs=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says(rng: np.random.Generator) -> None:
    draws = rng.binomial(40, 0.08, 4000)
    inside = [low <= 0.08 <= high for low, high in (wilson_interval(int(n), 40) for n in draws)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def rows_of(n: int, **others: Any) -> list[SurveyRow]:
    return [SurveyRow(frame=i, time_s=float(i), is_received=True, snr_est_db=10.0, **others) for i in range(n)]


def test_the_drift_of_the_carrier_is_found_beside_outliers() -> None:
    rows = [replace(row, cfo_est_hz=500.0 - 3.0 * row.time_s) for row in rows_of(30)]
    rows[4], rows[20] = replace(rows[4], cfo_est_hz=9e3), replace(rows[20], cfo_est_hz=-9e3)
    assert drift_per_s(rows) == pytest.approx(-3.0, abs=0.01)
    assert drift_per_s(rows[:2]) is None


def test_the_summary_counts_lost_frames_and_leaves_out_what_is_not_known() -> None:
    rows = rows_of(8, crc_ok=True, airtime_s=0.5)
    rows += [SurveyRow(frame=8 + i, time_s=8.0 + i, is_received=False, reason="never came") for i in range(2)]
    summary = summarize(rows)
    assert (summary["frames_sent"], summary["frames_received"], summary["lost_fraction"]) == (10, 8, 0.2)
    assert summary["snr_db_p05"] == summary["snr_db_median"] == 10.0
    assert (summary["captions_whole"], summary["captions_sent"], summary["airtime_s"]) == (8, 8, 4.0)
    assert summary["psnr_db_mean"] is None and summary["cfo_hz_mean"] is None


def test_what_is_left_can_be_read_again_even_when_nothing_came(tmp_path: Path) -> None:
    rows = [replace(row, cfo_est_hz=1.0, sfo_est_ppm=float("nan"), psnr_db=30.0) for row in rows_of(5)]
    rows.append(SurveyRow(frame=5, time_s=5.0, is_received=False, reason="never came"))
    told = write_survey(tmp_path, Survey(rows, {"overflow": 1}, None), ["gened", "survey"], seed=1)
    assert json.loads((tmp_path / "survey.json").read_text()) == told
    assert told["frames"][0]["sfo_est_ppm"] is None and told["causes"] == {"overflow": 1}
    with (tmp_path / "survey.csv").open() as file:
        assert [row["frame"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "4", "5"]
    assert np.asarray(Image.open(tmp_path / "survey.png").convert("L")).std() > 5
    empty = write_survey(tmp_path / "empty", Survey([], {}, NoFrameError("none")), ["gened"], seed=0)
    assert summary_lines(empty["summary"]) == ["no frame came"] and empty["failure"] == "none"


# The command, over a virtual pair


def test_the_command_sends_over_a_virtual_pair_and_keeps_all_at_ctrl_c(virtual_pair: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    rows, columns = np.mgrid[0:64, 0:80]
    Image.fromarray(np.stack([rows * 3, columns * 3, 255 - columns], axis=2).astype(np.uint8)).save(photo)
    options = ["--codec", "softcast", "--frames", "500", "--interval", "0.3", "--caption", "a slope"]
    with virtual_pair("--snr", "14", "--freq-offset-ppm", "2") as pair:
        command = [sys.executable, "-m", "gened", "survey", "--radio", "virtual-pluto", *pair.options]
        process = subprocess.Popen(
            [*command, "--send", str(photo), *options, "--out", str(tmp_path / "out"), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            while "frame     4" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
            process.communicate()
        assert pair.is_mute()
    assert process.returncode == 130
    told = json.loads(output)
    summary = told["summary"]
    assert summary["frames_received"] >= 4 and summary["captions_whole"] >= 4
    assert summary["snr_db_median"] == pytest.approx(14.0, abs=1.0)
    assert summary["cfo_hz_mean"] == pytest.approx(2 * 2449.5, abs=5.0)
    assert summary["psnr_db_mean"] > 20
    assert (tmp_path / "out" / "survey.png").is_file()
