# SPDX-License-Identifier: GPL-3.0-or-later
"""The lamp and the figures beside it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gened.commands import options
from gened.errors import ConfigError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.hostile import HostileError
from gened.monitor.live_figures import MAX_GAP, MAX_SESSIONS, SYNC_S, Figures, LiveFigures, line


class Bench:
    """A receiver of which a test decides the time and the counters."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.n_headers = self.n_samples = 0
        self.live = LiveFigures(clock=lambda: self.now_s)

    def go(self, seconds: float, *, n_samples: int = 1000, n_headers: int = 0) -> Figures:
        self.now_s += seconds
        self.n_samples += n_samples
        self.n_headers += n_headers
        self.live.update(n_headers=self.n_headers, n_samples=self.n_samples)
        return self.live.figures()

    def frames(self, *numbers: int, session: int = 7, **figures: Any) -> Figures:
        for number in numbers:
            self.live.frame(FrameFacts.from_wire({"session": session, "frame": number, **figures}))
        return self.live.figures()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_lamp_tells_samples_from_bursts(bench: Bench) -> None:
    assert line(bench.go(1.0, n_samples=0)) == "no samples; 0 frames"
    assert line(bench.go(1.0)) == "no sync yet; 0 frames"
    bench.go(1.0, n_headers=1)
    figures = bench.go(0.4)
    assert figures.is_synchronised and figures.since_burst_s == pytest.approx(0.4)
    assert line(figures) == "sync 0.4 s ago; 0 frames"
    bench.go(SYNC_S - 1)
    assert bench.go(0.5).is_synchronised
    assert line(bench.go(3.0)) == "no sync for 8 s; 0 frames"
    assert not bench.go(3.0, n_samples=0).has_samples


def test_the_figures_are_those_of_the_latest_frame(bench: Bench) -> None:
    bench.go(1.0, n_headers=1)
    bench.frames(0, snr_est_db=3.0, evm_db=-3.0, cfo_est_hz=1.0, sfo_est_ppm=1.0)
    figures = bench.frames(1, snr_est_db=10.04, evm_db=-20.0, cfo_est_hz=-2003.4, sfo_est_ppm=float("nan"))
    assert figures.evm_percent == pytest.approx(10.0) and figures.sfo_est_ppm is None
    assert line(figures) == "sync 0.0 s ago; 2 frames; SNR 10.0 dB, EVM -20.0 dB, -2,003 Hz"
    json.dumps(dataclasses.asdict(figures), allow_nan=False)


def test_numbers_that_were_passed_over_are_lost_frames(bench: Bench) -> None:
    assert bench.frames(10, 11, 14).n_lost == 2
    figures = bench.frames(15)
    assert (figures.n_received, figures.loss) == (4, pytest.approx(2 / 6))
    assert "4 frames, 2 lost (33.3 %)" in line(figures)


def test_a_frame_that_comes_late_was_not_lost(bench: Bench) -> None:
    assert bench.frames(1, 3, 2, 4).n_lost == 0


def test_numbers_wrap_and_sessions_count_for_themselves(bench: Bench) -> None:
    assert bench.frames(65534, 65535, 0, 1).n_lost == 0
    assert bench.frames(0, 1, session=8).n_lost == 0
    assert bench.frames(3).n_lost == 1
    assert bench.frames(5 + MAX_GAP).n_lost == 1  # a sender that began again, and not a thousand lost frames


def test_a_sender_of_endless_sessions_fills_no_memory(bench: Bench) -> None:
    for session in range(10 * MAX_SESSIONS):
        bench.frames(5, session=session)
    assert len(bench.live._newest) == MAX_SESSIONS


@pytest.mark.parametrize("facts", [{}, {"frame": None}, {"frame": "3", "session": 1}])
def test_what_is_no_frame_is_not_counted(bench: Bench, facts: dict[str, Any]) -> None:
    with pytest.raises(HostileError):
        bench.live.frame(FrameFacts.from_wire(facts))
    assert bench.live.figures().n_received == 0


def test_stdout_is_for_the_report_or_for_lines() -> None:
    assert options.live_s("json", has_json=False) == 1.0
    assert options.live_s("line", has_json=True) == 0.25
    with pytest.raises(ConfigError, match="one of --json and --live json"):
        options.live_s("json", has_json=True)
    with pytest.raises(ConfigError, match="line, json, none"):
        options.live_s("lamp", has_json=False)
