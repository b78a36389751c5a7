# SPDX-License-Identifier: GPL-3.0-or-later
"""`report.json` has its fixed keys, and nothing that is not true gets into it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gened.errors import LinkError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.provenance import commit, run_meta
from gened.reports.report import (
    FRAME_KEYS,
    Report,
    checked_report,
    frame_report,
    report_text,
    shared_settings,
    write_report,
)

KEYS = [
    "frame", "photograph", "sent", "received", "psnr_db", "ms_ssim", "snr_set_db", "snr_est_db", "cfo_set_hz",
    "cfo_est_hz", "sfo_est_ppm", "erased_fraction", "caption", "caption_partial", "crc_ok", "analog_symbols",
    "side_symbols", "caption_symbols", "payload_symbols", "on_air_samples", "airtime_s", "encode_ms", "decode_ms",
    "edited", "edit_reason", "editor_ms",
]  # fmt: skip


def test_the_keys_are_those_that_others_rely_on() -> None:
    assert list(FRAME_KEYS) == KEYS


def test_unknown_is_null_and_never_absent() -> None:
    written = json.loads(
        report_text(Report(meta={}, frames=[checked_report({"frame": 3, "snr_est_db": float("nan")})]))
    )
    assert list(written["frames"][0]) == KEYS
    assert written["frames"][0]["frame"] == 3
    assert all(value is None for key, value in written["frames"][0].items() if key != "frame")


def test_payload_is_the_sum_of_its_parts() -> None:
    parts = {"frame": 0, "analog_symbols": 8000, "side_symbols": 192, "caption_symbols": 426}
    assert checked_report(parts).payload_symbols == 8618
    with pytest.raises(LinkError, match="frame 0"):
        checked_report({**parts, "payload_symbols": 8619})


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame": -1},
        {"frame": 0, "erased_fraction": 1.5},
        {"frame": 0, "caption": b"bytes"},
        {"frame": 0, "crc_ok": "yes"},
        {},
    ],
)
def test_facts_of_the_wrong_kind_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LinkError, match="cannot be reported"):
        checked_report(wrong)


def test_facts_of_other_names_are_left_out() -> None:
    assert checked_report({"frame": 0, "height": 64, "text_mode": "qpsk-1/2"}) == checked_report({"frame": 0})


def test_the_sender_counts_its_symbols_and_the_receiver_what_it_alone_knows() -> None:
    sent = SentFacts(frame=4, sent="sent.png", analog_symbols=8000, side_symbols=192, caption_symbols=426, caption="a")
    received = FrameFacts(frame=4, received="received.png", analog_symbols=7000, on_air_samples=13_000, caption="b")
    report = frame_report(received=received, sent=sent, psnr_db=20.0)
    assert (report.frame, report.sent, report.received) == (4, "sent.png", "received.png")
    assert (report.analog_symbols, report.payload_symbols, report.on_air_samples) == (8000, 8618, 13_000)
    assert (report.caption, report.psnr_db) == ("b", 20.0)
    lost = frame_report(sent=sent, erased_fraction=1.0)
    assert (lost.received, lost.caption, lost.erased_fraction, lost.analog_symbols) == (None, None, 1.0, 8000)


def test_settings_of_a_sender_are_those_that_all_frames_share() -> None:
    one = FrameFacts(frame=0, codec="softcast", rate_num=1, rate_den=24, snr_design_db=10.0)
    expected = {"codec": "softcast", "rate": "1/24", "snr_design_db": 10.0, "channel": None}
    assert shared_settings([one, one]) == expected
    other = FrameFacts(frame=1, codec="softcast", rate_num=1, rate_den=12, snr_design_db=4.0)
    assert shared_settings([one, other]) == {**expected, "rate": None, "snr_design_db": None}
    assert set(shared_settings([]).values()) == {None}


def test_a_report_is_written_whole_and_reads_back(tmp_path: Path) -> None:
    report = Report(
        meta=run_meta(["/usr/bin/gened", "loopback", "my cat.png"], seed=7),
        frames=[frame_report(received=FrameFacts(frame=0, caption="größe"))],
    )
    write_report(tmp_path / "report.json", report)
    assert Report.model_validate_json((tmp_path / "report.json").read_text()) == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_meta_says_how_a_result_came_about() -> None:
    meta = run_meta(["/usr/bin/gened", "loopback", "my cat.png"], seed=7)
    assert run_meta(["/x/gened/__main__.py", "check"], seed=7)["command"] == "gened check"
    assert meta["command"] == "gened loopback 'my cat.png'" and meta["seed"] == 7
    assert meta["versions"]["numpy"].startswith("1.26") and meta["versions"]["gnuradio"].startswith("3.10")
    assert {"av", "zfec", "scikit-image", "pytorch-msssim", "torch", "numba"} <= set(meta["versions"])
    assert meta["machine"]["n_cores"] >= 1


def test_the_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    found = commit()
    if head.returncode == 0:
        assert found is not None and head.stdout.startswith(found.rstrip("+"))
    else:
        assert found is None
