# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened inspect` as a shell sees it: a figure and its numbers, or one line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the figure is drawn with it")

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter

CAPTION = "words alone"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same burst as a recording, as raw samples, and noise alone."""
    text = pack_records(Records(caption=CAPTION))
    frame = Frame(1, 2, 3, ImageSize(64, 64), Fraction(1, 24), 10.0, Encoded(np.zeros(0, np.complex64)), text)
    samples = complex_noise(np.random.default_rng(1), 9000, 0.05)
    (burst,) = modulate_frame(frame)
    samples[3000 : 3000 + len(burst)] += burst
    writer = RecordingWriter(tmp_path / "a", RecordingInfo(sample_rate=2e6))
    writer.open()
    writer.write(samples)
    writer.close()
    samples.tofile(tmp_path / "a.cf32")
    samples[:2500].tofile(tmp_path / "noise.cf32")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def begin(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    yield begin
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("file", "options", "rate"), [("a.sigmf-meta", (), 2e6), ("a.cf32", ("1e6",), 1e6)])
def test_a_burst_of_a_file_becomes_a_figure_and_json(
    run: Callable[..., tuple[int, str, str]], folder: Path, file: str, options: tuple[str, ...], rate: float
) -> None:
    given = [word for value in options for word in ("--sample-rate", value)]
    out = folder / "new" / "figure.png"
    code, told, error = run("inspect", str(folder / file), *given, "--out", str(out), "--json")
    assert code == 0, error
    found = json.loads(told)
    assert (found["figure"], found["caption"], found["sample_rate"]) == (str(out), CAPTION, rate)
    assert abs(found["start"] - 3000) <= 2
    assert out.read_bytes().startswith(b"\x89PNG")
    assert CAPTION in error


def test_a_place_without_a_burst_is_drawn_with_the_reason(
    run: Callable[..., tuple[int, str, str]], folder: Path
) -> None:
    out = folder / "figure.svg"
    code, told, error = run(
        "inspect", str(folder / "noise.cf32"), "--sample-rate", "1e6", "--at", "1200", "--out", str(out)
    )
    assert (code, told.strip()) == (0, str(out))
    assert "no preamble" in error
    assert "<svg" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("DIR/a.cf32",), "a.cf32 is raw and tells no sample rate; add --sample-rate"),
        (("DIR/a.sigmf-meta", "--sample-rate", "1e6"), "tells its sample rate"),
        (("DIR/none.sigmf-meta",), "none.sigmf-meta: No such file or directory"),
        (("DIR/none.cf32", "--sample-rate", "1e6"), "none.cf32: No such file or directory"),
        (("DIR/none",), "none.sigmf-meta: No such file or directory"),
        (("DIR/noise.cf32", "--sample-rate", "1e6"), "no burst in noise.cf32"),
        (("DIR/a.sigmf-meta", "--burst", "1"), "no burst 1 in a.sigmf-meta: it holds one burst, number 0"),
        (("DIR/a.sigmf-meta", "--at", "9000"), "it has 9000, counted from 0"),
        (("DIR/a.sigmf-meta", "--out", "DIR/a.txt"), "a figure ends in .png, .svg, .pdf"),
        (("DIR/a.sigmf-meta", "--out", "DIR/a.cf32/b.png"), "cannot write"),
        (("DIR/a.sigmf-meta", "--live"), "name a recording, or say --live: one of them"),
        ((), "name a recording, or say --live: one of them"),
        (("DIR/a.sigmf-meta", "--radio", "pluto"), "--radio is for --live"),
        (("--live", "--at", "5"), "--at is a place in a file"),
        (("--live", "--radio", "pluto", "--tap", "tcp://127.0.0.1:9"), "leave one of them out"),
    ],
)
def test_a_mistake_is_one_line(
    run: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], message: str, folder: Path
) -> None:
    pytest.importorskip("gnuradio") if "--live" in arguments else None
    code, told, error = run("inspect", *(word.replace("DIR", str(folder)) for word in arguments))
    assert code != 0 and told == ""
    (line,) = error.splitlines()
    assert line.startswith("gened: ") and message in line
