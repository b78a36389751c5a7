# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened doctor` as a shell sees it: what is printed where, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.doctor import examine as examination
from gened.doctor.findings import Entry, Finding, Visit


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def found(level: str) -> Entry:
    def look(visit: Visit) -> list[Finding]:
        return [Finding(subject="it", level=level, text="a [text]", next_step="do that")]  # type: ignore[arg-type]

    return Entry("Section", look, False)


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("note", 0), ("problem", 13)])
def test_the_exit_code_says_whether_an_experiment_can_start(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "all_checks", lambda: [found(level)])
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert "a [text]" in out and "-> do that" in out
    assert ("cannot start: 1 problem" in err) == (code != 0)


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("problem", 13)])
def test_json_holds_every_finding_and_nothing_else(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "all_checks", lambda: [found(level)])
    assert main(["doctor", "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["can_start"] is (code == 0)
    assert told["findings"] == [
        {"title": "Section", "subject": "it", "level": level, "text": "a [text]", "next_step": "do that", "facts": {}}
    ]


def test_a_profile_with_a_mistake_is_a_finding_among_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "all_checks", lambda: [found("ok")])
    assert main(["doctor", "--radio", "pluto", "--set", "sample_rate=70e6"]) == 13
    assert "sample_rate is 70000000.0" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_of_it_ends_in_time_without_a_traceback_whatever_this_machine_has() -> None:
    command = [sys.executable, "-m", "gened", "doctor", "--json", "--radio", "pluto", "--set", "address=ip:127.0.0.9:9"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**os.environ, "TERM": "dumb"}, cwd="/"
    )
    assert done.returncode == 13 and "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert not told["can_start"]
    subjects = {one["subject"] for one in told["findings"] if one["level"] == "problem"}
    assert "profile, rx" in subjects
    assert all(one["next_step"] for one in told["findings"] if one["level"] != "ok")
