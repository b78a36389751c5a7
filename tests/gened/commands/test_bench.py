# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened bench` as a shell sees it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gened import gr_blocks
from gened.cli import main
from gened.commands.loopback import _caption
from gened.commands.receive import line_of
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.coding.modes import MODES
from gened.reports.report import frame_report

QUICK = [
    "bench", "link", "--frames", "1", "--snr", "10", "--noise-samples", "0", "--no-costs", "--no-gnuradio", "--quiet",
]  # fmt: skip


def test_json_is_all_of_stdout_and_the_file_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "link.json"
    assert main([*QUICK, "--conditions", "awgn,short", "--json", "--seed", "3", "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(out.read_text())
    assert [row["condition"] for row in result["rows"]] == ["awgn", "short"]
    assert result["meta"]["seed"] == 3 and result["meta"]["frames"] == 1
    assert result["speed"] is result["overhead"] is result["gnuradio"] is result["false_frames"] is None


def test_without_json_there_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--conditions", "awgn"]) == 0
    assert "awgn" in capsys.readouterr().out


@pytest.mark.parametrize(("wrong", "part"), [
    (["--conditions", "fog"], "tdl-a-1"), (["--snr", "loud"], "1,4,7,10"), (["--signals", "whistle"], "chirp"),
    (["--out", "/"], "folder"),
])  # fmt: skip
def test_wrong_values_are_one_line_with_what_is_possible(
    wrong: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *wrong]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and part in error


def test_the_digital_path_is_measured_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ldpc.json"
    command = [
        "bench",
        "ldpc",
        "--modes",
        "qpsk-1/2",
        "--frames",
        "4",
        "--analog",
        "50",
        "--blocks",
        "0",
        "--broken",
        "0",
        "--quiet",
    ]
    assert main([*command, "--json", "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(out.read_text())
    assert {row["mode"] for row in result["rows"]} == {"qpsk-1/2"} and result["meta"]["analog"] == 50
    assert main([*command, "--modes", "none"]) == 0


def test_an_unknown_digital_mode_is_one_line_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ldpc", "--modes", "morse", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "64qam-3/4" in error


def test_the_help_of_caption_modes_and_companion_list_them_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["transmit", "--help"]) == 0
    assert f"One of {', '.join(MODES)}, auto." in capsys.readouterr().out
    block = yaml.safe_load((Path(gr_blocks.__file__).parent / "grc" / "gened_caption_encoder.block.yml").read_text())
    (mode,) = (one for one in block["parameters"] if one["id"] == "mode_name")
    assert mode["options"] == ["auto", *MODES] and len(mode["option_labels"]) == len(mode["options"])


def test_a_damaged_caption_is_told_as_damaged() -> None:
    facts = FrameFacts(frame=3, crc_ok=False, caption_partial="a red \ufffd", received="000003.png")
    assert line_of(facts) == 'frame 3 received, caption damaged: "a red \ufffd"'
    assert line_of(replace(facts, caption_partial=None)) == "frame 3 received, caption lost"
    report = frame_report(received=facts)
    assert (report.caption, report.caption_partial) == (None, "a red \ufffd")
    assert _caption(report) == "[red]CRC failed[/] a red \ufffd"
