# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a run: named, seldom, counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gened.flowgraphs.radios.iio import OVERFLOW, STATUS_REGISTER, UNDERFLOW, _StatusWatch
from gened.flowgraphs.radios.profiles import RadioProfile, radio_profile
from gened.flowgraphs.radios.radio_events import LOG_EVERY_S, EventReporter
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.hw_config.profile import load_profile
from gened.monitor.causes import SignalLevel
from gened.monitor.link_monitor import WINDOW_S, ReceiverMonitor, TransmitterMonitor, watching

BURSTS = SignalLevel(mean_db=-30, floor_db=-50.0, loud_share=0.02, line_db=4.0, line_hz=1e5)


def end(events: EventReporter | None = None, **more: Any) -> Any:
    """A source or a sink as a monitor sees it."""
    return SimpleNamespace(events=events or EventReporter(""), poll=lambda: None, **more)


class Run:
    """A receiver's run of which a test decides the numbers, a fifth of a second at a time."""

    def __init__(self, name: str = "virtual-pluto", events: EventReporter | None = None) -> None:
        self.now_s = 0.0
        self.stats = dict.fromkeys(("samples", "preambles", "headers", "bad_headers", "foreign_versions"), 0)
        self.level: SignalLevel | None = None
        self.probe = SimpleNamespace(n_samples=0, n_full_scale=0, level=lambda: self.level)
        self.lines: list[str] = []
        receiver: Any = SimpleNamespace(
            profile=radio_profile(load_profile(name), "rx"), probe=self.probe, source=end(events),
            detector=SimpleNamespace(stats=lambda: self.stats),
        )  # fmt: skip
        self.monitor = ReceiverMonitor(receiver, self.lines.append, clock=lambda: self.now_s)

    def go(self, seconds: float, share: float = 1.0) -> None:
        for _ in range(round(seconds / 0.2)):
            self.now_s += 0.2
            self.probe.n_samples += round(0.2e6 * share)
            self.monitor.poll()


def test_a_quiet_run_has_nothing_to_tell() -> None:
    run = Run()
    run.go(30)
    run.monitor.close()
    assert run.lines == [] and run.monitor.counts() == {} and run.monitor.why() is None


def test_power_without_bursts_is_told_at_once_and_then_seldom() -> None:
    run = Run()
    run.level = BURSTS
    run.go(WINDOW_S + 0.4)
    assert len(run.lines) == 1 and run.lines[0].startswith("receiver: 1 x no burst found: ")
    run.go(60)
    n_told = len(run.lines)
    assert n_told <= 1 + 60 / LOG_EVERY_S
    run.monitor.close()
    assert sum(int(line.split()[1]) for line in run.lines) == run.monitor.counts()["no burst found"]
    assert "compare center_freq" in str(run.monitor.why())


def test_the_end_of_a_burst_that_was_read_is_no_riddle() -> None:
    run = Run()
    run.stats["headers"] = 1
    run.go(WINDOW_S + 0.2)
    run.level = BURSTS
    run.go(WINDOW_S)
    assert run.lines == []
    run.go(WINDOW_S + 0.2)
    assert len(run.lines) == 1


def test_samples_that_are_missing_are_an_overflow_where_the_driver_is_silent() -> None:
    run = Run()
    run.go(10)
    run.go(0.4, share=0.0)
    run.go(6)
    assert run.monitor.counts() == {"overflow": 1} and "400000 samples less" in run.lines[0].replace("399", "400")


def test_what_the_driver_has_told_is_not_told_twice() -> None:
    for delay_s in (0.0, 3.0):  # before the clock shows it, or after
        events = EventReporter("a radio")
        run = Run(events=events)
        run.go(10)
        run.go(0.4, share=0.0)
        run.go(delay_s)
        events.report("O")
        run.go(8)
        assert run.monitor.counts() == {"overflow": 1} and run.lines[0].startswith("a radio: 1 x O (overflow)")


def test_samples_that_are_missing_at_the_start_are_nobodys() -> None:
    run = Run()
    run.go(1.4, share=0.1)
    run.go(20)
    assert run.lines == []


def test_frames_without_a_radio_are_looked_at_too() -> None:
    lines: list[str] = []
    receiver: Any = SimpleNamespace(
        profile=RadioProfile(), probe=None, source=end(), detector=SimpleNamespace(stats=dict)
    )
    monitor = ReceiverMonitor(receiver, lines.append)
    monitor.frame(FrameFacts(frame=0, cfo_est_hz=120e3, sfo_est_ppm=2.0))
    assert lines[0].startswith("receiver: 1 x carrier too far off")


def test_a_sender_tells_of_peaks_that_were_cut() -> None:
    lines: list[str] = []
    sink = end(n_clipped=0)
    transmitter: Any = SimpleNamespace(sink=sink, n_samples_sent=0, n_bad_symbols=0)
    monitor = TransmitterMonitor(transmitter, lines.append)
    sink.n_clipped, transmitter.n_samples_sent = 700, 100_000
    monitor.close()
    assert lines[0].startswith("transmitter: 700 x output clipping") and monitor.counts() == {"output clipping": 700}


def test_a_sender_names_symbols_that_it_sent_as_zero() -> None:
    lines: list[str] = []
    transmitter: Any = SimpleNamespace(sink=end(n_clipped=0), n_samples_sent=100_000, n_bad_symbols=0)
    monitor = TransmitterMonitor(transmitter, lines.append)
    monitor.poll()
    transmitter.n_bad_symbols = 3
    monitor.close()
    assert lines[0].startswith("transmitter: 3 x bad symbols") and monitor.counts() == {"bad symbols": 3}


def test_a_watch_that_fails_ends_nothing_but_itself(caplog: pytest.LogCaptureFixture) -> None:
    def poll() -> None:
        raise RuntimeError("the radio\nhas gone")

    monitor: Any = SimpleNamespace(poll=poll, close=poll)
    with watching(monitor):
        while not caplog.records:
            pass
    assert "the monitor has ended: the radio has gone" in caplog.text


# A Pluto's status register


class Core:
    """A converter's core: a bit stays until it is written."""

    def __init__(self) -> None:
        self.status = OVERFLOW | UNDERFLOW  # of an earlier run

    def reg_read(self, register: int) -> int:
        assert register == STATUS_REGISTER
        return self.status

    def reg_write(self, register: int, value: int) -> None:
        assert register == STATUS_REGISTER
        self.status &= ~value


def test_an_overflow_in_the_register_is_counted_once_and_cleared() -> None:
    core, events, now_s = Core(), EventReporter("a radio", lambda _: None), [0.0]
    watch = _StatusWatch(core, OVERFLOW, "O", events, clock=lambda: now_s[0])
    watch.poll()
    assert core.status == UNDERFLOW  # the other bit is not ours
    core.status |= OVERFLOW
    now_s[0] = 0.5
    watch.poll()
    assert events.counts() == {} and core.status == UNDERFLOW  # of an earlier run, and of the start
    core.status |= OVERFLOW
    now_s[0] = 1.5
    watch.poll()
    watch.poll()
    assert events.counts() == {"O": 1}


def test_letters_that_a_driver_prints_are_counted_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, int] = {"O": 5, "U": 2}
    monkeypatch.setattr("gened.monitor.link_monitor.letter_counts", lambda: dict(heard))
    events = EventReporter("a radio")
    named, silent = Run(events=events), Run()
    for run in (named, silent):
        run.go(3)
        assert run.monitor.counts() == {}  # of earlier runs, and of the start
    heard["O"] += 2
    for run in (named, silent):
        run.go(1)
        assert run.monitor.counts() == {"overflow": 2}


def test_a_radio_without_registers_is_asked_once() -> None:
    class Blind(Core):
        n_asked = 0

        def reg_read(self, register: int) -> int:
            self.n_asked += 1
            raise OSError

    core = Blind()
    watch = _StatusWatch(core, OVERFLOW, "O", EventReporter("a radio"))
    for _ in range(3):
        watch.poll()
    assert core.n_asked == 1
