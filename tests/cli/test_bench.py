# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened bench` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gened.cli import main

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
