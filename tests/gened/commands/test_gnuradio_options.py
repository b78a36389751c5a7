# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands where GNU Radio is not installed: what works without it, and one line for what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from no_gnuradio import hide_gnuradio
from PIL import Image

from gened.cli import main
from gened.commands import gnuradio_options


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.fixture
def no_gnuradio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hidden").mkdir()
    for name, value in hide_gnuradio(tmp_path / "hidden").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gnuradio_options, "has_gnuradio", lambda: False)


@pytest.mark.parametrize("command", ["loopback", "transmit"])
def test_a_link_without_gnuradio_names_the_option(
    command: str, photo: str, no_gnuradio: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, photo]) == 11
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gened: GNU Radio is not installed here; add --no-gnuradio") and f"gened {command}" in line


def test_a_receiver_without_gnuradio_names_the_option(no_gnuradio: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receive"]) == 11
    assert "--no-gnuradio" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--radio", "pluto"], "--radio"),
        (["--set", "tx.gain_db=-20"], "--set"),
        (["--transmit"], "--transmit"),
    ],
)
def test_options_of_radios_are_refused(
    options: list[str], named: str, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["loopback", photo, "--no-gnuradio", *options]) == 2
    assert capsys.readouterr().err == f"gened: {named} needs GNU Radio; leave it or --no-gnuradio out\n"


def test_a_recording_cannot_be_made_without_gnuradio(
    tmp_path: Path, no_gnuradio: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receive", "--no-gnuradio", "--record", str(tmp_path / "kept.sigmf-meta")]) == 2
    assert capsys.readouterr().err == "gened: --record needs GNU Radio; leave it or --no-gnuradio out\n"
    assert main(["receive", "--from", "any.sigmf-meta", "--record", str(tmp_path / "kept.sigmf-meta")]) == 11
    assert "--record needs GNU Radio, which is not installed here" in capsys.readouterr().err


def test_loopback_with_the_option_ends_in_a_report(
    photo: str, tmp_path: Path, no_gnuradio: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [
        "--no-gnuradio",
        "--codec",
        "softcast",
        "--caption",
        "grey",
        "--speed",
        "0",
        "--out",
        str(out),
        "--quiet",
    ]
    assert main(["loopback", photo, *arguments]) == 0
    assert (out / "report.json").is_file() and "1 of 1 frames received" in capsys.readouterr().out
