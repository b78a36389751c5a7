# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened check --codec` as a shell sees it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from unfair_codecs import install

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.models.evaluation.run.check_codec import RULES

SUPPORT = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The unfair codecs are installed; signal handlers are put back afterwards."""
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(SUPPORT), *([before] if before else [])]))
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_fair_codec_is_a_table_and_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--codec", "fair", "--rate", "1/12"]) == 0
    done = capsys.readouterr()
    assert "codec fair, rate 1/12" in done.out and "broken" not in done.out
    assert all(rule in done.out for rule in RULES)


def test_an_unfair_codec_is_json_a_line_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--codec", "loud", "--json"]) == 6
    done = capsys.readouterr()
    result = json.loads(done.out)
    assert [one["rule"] for one in result["rules"]] == list(RULES)
    power = next(one for one in result["rules"] if one["rule"] == "power")
    assert power["is_kept"] is False and "+20.00 dB" in power["text"]
    assert result["codec"] == "loud" and result["meta"]["commit"]
    lines = [line for line in done.err.splitlines() if line.startswith("gened: ")]
    assert len(lines) == 1 and "codec loud breaks the contract: power" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--codec", "absent"], "unknown codec 'absent'"),
        (["--codec", "fair", "--codec-option", "gain=2"], "no option 'gain'"),
        (["--codec-option", "gain=2"], "name it with --codec"),
        (["--codec", "fair", "--rate", "much"], "much"),
    ],
)
def test_what_was_asked_wrongly_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["check", *arguments]) != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1 and text in lines[0], lines
