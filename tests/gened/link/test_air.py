# SPDX-License-Identifier: GPL-3.0-or-later
"""Air between a sender and a receiver that are sockets of this test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from waiting import wait_until

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link.air import Air
from gened.link.config import AirConfig
from gened.link.control import (
    Burst,
    ControlSocket,
    Done,
    End,
    Hello,
    PortInUseError,
    Ready,
    Status,
    attach,
    configure,
    free_ports,
)

QUIET = ChannelConfig(snr_db=60.0)


class Ends:
    """Both neighbours of an air that runs in a thread."""

    def __init__(self, **options: Any) -> None:
        ports = free_ports(4)
        self.names = dict(
            zip(
                ("tx_address", "rx_address", "tx_control", "rx_control"),
                (f"tcp://127.0.0.1:{port}" for port in ports),
                strict=True,
            )
        )
        self.context: zmq.Context[Any] = zmq.Context()
        self.air = Air(AirConfig(**{"channel": QUIET, **self.names, **options}))
        self.kept: list[Any] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.air.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def sender(self) -> tuple[Any, ControlSocket]:
        samples = self.context.socket(zmq.PUSH)
        configure(samples, queued=64)
        attach(samples, self.names["tx_address"], binds=True)
        control = ControlSocket(self.context, zmq.DEALER, self.names["tx_control"], binds=True)
        self.kept += [samples, control]
        return samples, control

    def watcher(self) -> ControlSocket:
        self.kept.append(ControlSocket(self.context, zmq.SUB, self.names["rx_control"], binds=False))
        return self.kept[-1]  # type: ignore[no-any-return]

    def receiver(self) -> Any:
        samples = self.context.socket(zmq.PULL)
        configure(samples, queued=64)
        attach(samples, self.names["rx_address"], binds=False)
        self.kept.append(samples)
        return samples

    def close(self) -> None:
        self.stop.set()
        self.thread.join(3)
        self.context.destroy(linger=0)
        assert not self.thread.is_alive()


@pytest.fixture
def ends() -> Iterator[Any]:
    made: list[Ends] = []

    def make(**options: Any) -> Ends:
        made.append(Ends(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def hear(control: ControlSocket, kind: type, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        control.socket.poll(50)
        for message in control.receive():
            if isinstance(message, kind):
                return message
    return None


def greet(control: ControlSocket, session: int) -> None:
    # ZMQ tells only by sending whether the other end is connected.
    assert wait_until(lambda: control.send(Hello(session=session, sample_rate=1e6)))
    assert hear(control, Ready) == Ready(session=session)


def collect(samples: Any, enough: Any, timeout_s: float = 5.0) -> np.ndarray:
    parts: list[np.ndarray] = [np.zeros(0, np.complex64)]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not enough(np.concatenate(parts)):
        if samples.poll(100):
            parts.append(np.frombuffer(samples.recv(), np.complex64))
    return np.concatenate(parts)


def n_loud(samples: np.ndarray) -> int:
    return int((np.abs(samples) > 0.5).sum())


def test_noise_comes_without_a_transmitter_at_the_level_of_the_snr(ends: Any) -> None:
    receiver = ends(channel=ChannelConfig(snr_db=3.0)).receiver()
    noise = collect(receiver, lambda got: len(got) > 200_000)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(256 / 204 * 10**-0.3, rel=0.02)


def test_air_keeps_the_clock_of_the_sample_rate(ends: Any) -> None:
    link = ends(sample_rate=2e5)
    receiver = link.receiver()
    collect(receiver, lambda got: len(got) > 0)
    rates = []
    for _ in range(10):  # a busy machine holds air up now and then
        begin, count = time.monotonic(), link.air.stats.samples
        time.sleep(1.0)  # it is the clock that is measured
        rates.append((link.air.stats.samples - count) / (time.monotonic() - begin))
        if rates[-1] == pytest.approx(2e5, rel=0.1):
            break
    assert rates[-1] == pytest.approx(2e5, rel=0.1), rates


def test_a_burst_arrives_whole_and_the_end_is_confirmed(ends: Any) -> None:
    link = ends()
    receiver = link.receiver()
    samples, control = link.sender()
    greet(control, 7)
    control.send(Burst(session=7, start=0, length=50_000))
    for _ in range(10):
        samples.send(np.ones(5_000, np.complex64).tobytes())
    received = collect(receiver, lambda got: n_loud(got) >= 50_000)
    (where,) = np.nonzero(np.abs(received) > 0.5)
    assert len(where) == 50_000 and where[-1] - where[0] == 49_999
    control.send(End(session=7, frames=1, bursts=1, samples=50_000))
    assert hear(control, Done) == Done(session=7)


def test_receivers_are_told_the_channel_and_the_end(ends: Any) -> None:
    link = ends(channel=ChannelConfig(snr_db=12.5, freq_offset_hz=-3e3))
    watcher = link.watcher()
    status = hear(watcher, Status)
    assert (status.snr_db, status.freq_offset_hz, status.sample_rate, status.is_over) == (12.5, -3e3, 1e6, False)
    samples, control = link.sender()
    greet(control, 1)
    control.send(End(session=1, frames=5, bursts=0, samples=0))
    assert hear(control, Done) is not None
    assert any(hear(watcher, Status).is_over for _ in range(10))
    assert hear(watcher, Status).frames == 5


def test_nobody_reading_costs_samples_and_nothing_else(ends: Any) -> None:
    link = ends(sample_rate=1e7)
    assert wait_until(lambda: link.air.stats.unread_samples >= 1e6)
    assert link.thread.is_alive()
    assert len(collect(link.receiver(), lambda got: len(got) > 1000)) > 1000


def test_a_receiver_that_vanishes_can_come_back(ends: Any) -> None:
    link = ends()
    first = link.receiver()
    collect(first, lambda got: len(got) > 10_000)
    first.close(linger=0)
    assert len(collect(link.receiver(), lambda got: len(got) > 10_000)) > 10_000


def test_unpaced_air_is_faster_than_the_rate_and_loses_nothing(ends: Any) -> None:
    link = ends(speed=0, sample_rate=1e4)  # 400,000 samples are 40 s on the clock
    receiver = link.receiver()
    samples, control = link.sender()
    greet(control, 1)
    control.send(Burst(session=1, start=0, length=400_000))
    begin = time.monotonic()
    for _ in range(8):
        samples.send(np.ones(50_000, np.complex64).tobytes())
    received = collect(receiver, lambda got: n_loud(got) >= 400_000)
    assert n_loud(received) == 400_000 and time.monotonic() - begin < 20


def test_a_second_transmitter_follows_the_first_without_losing_its_end(ends: Any) -> None:
    link = ends()
    receiver = link.receiver()
    for session in (1, 2):
        samples, control = link.sender()
        greet(control, session)
        control.send(Burst(session=session, start=0, length=100_000))
        samples.send(np.ones(100_000, np.complex64).tobytes())
        control.send(End(session=session, frames=1, bursts=1, samples=100_000))
        assert hear(control, Done) == Done(session=session)
        samples.close(linger=0)
        control.socket.close(linger=0)
    assert n_loud(collect(receiver, lambda got: n_loud(got) >= 200_000)) == 200_000
    assert link.air.stream.n_bursts == 2


def test_bursts_chosen_for_loss_are_silent(ends: Any) -> None:
    link = ends(drop_bursts=frozenset({1}))
    receiver = link.receiver()
    samples, control = link.sender()
    greet(control, 1)
    for index in range(3):
        control.send(Burst(session=1, start=10_000 * index, length=10_000))
        samples.send(np.ones(10_000, np.complex64).tobytes())
    received = collect(receiver, lambda got: n_loud(got) >= 20_000)
    (where,) = np.nonzero(np.abs(received) > 0.5)
    assert len(where) == 20_000 and np.diff(where).max() == 10_001


def test_hostile_samples_and_messages_are_survived(ends: Any) -> None:
    link = ends()
    receiver = link.receiver()
    samples, control = link.sender()
    greet(control, 1)
    samples.send(b"1234567")
    samples.send(np.full(1000, np.nan, np.complex64).tobytes())
    control.socket.send(b"\xc1")
    control.send(Burst(session=1, start=0, length=2000))
    samples.send(np.full(1000, 1e30, np.complex64).tobytes())
    received = collect(receiver, lambda got: len(got) > 100_000)
    assert np.isfinite(received).all() and n_loud(received) == 0
    assert link.air.stats.bad_messages == 1 and link.thread.is_alive()


def test_the_tap_shows_those_who_only_look_the_samples_of_the_receiver(ends: Any) -> None:
    link = ends(tap=f"tcp://127.0.0.1:{free_ports(1)[0]}", sample_rate=2e5)
    receiver = link.receiver()
    seen = [collect(onlooker(link), lambda got: len(got) >= 5_000)[:5_000] for _ in range(2)]
    parts = [each.tobytes() for each in seen]
    received = collect(receiver, lambda got: all(part in got.tobytes() for part in parts))
    assert [len(each) for each in seen] == [5_000, 5_000]
    assert all(part in received.tobytes() for part in parts)


def test_an_onlooker_who_does_not_read_takes_nothing_from_the_receiver(ends: Any) -> None:
    link = ends(tap=f"tcp://127.0.0.1:{free_ports(1)[0]}", sample_rate=5e6)
    receiver = link.receiver()
    idle = onlooker(link, queued=2)
    assert idle.poll(3000) and receiver.poll(3000)  # both are connected; this one reads no more
    n_before = link.air.stats.unread_samples
    received = collect(receiver, lambda got: len(got) >= 2_000_000, 8.0)
    assert len(received) >= 2_000_000 and link.air.stats.unread_samples == n_before


def onlooker(link: Any, queued: int = 1000) -> Any:
    """A socket that only looks at the samples."""
    watcher = link.context.socket(zmq.SUB)
    link.kept.append(watcher)
    configure(watcher, queued=queued)
    watcher.subscribe(b"")
    attach(watcher, link.air.config.tap, binds=False)
    return watcher


def test_an_address_in_use_ends_in_one_clear_line(ends: Any) -> None:
    link = ends()
    with pytest.raises(PortInUseError, match="in use"):
        Air(AirConfig(**{**link.names, "tx_address": "tcp://127.0.0.1:1"}))


@pytest.mark.parametrize(
    "options", [{"sample_rate": 0.0}, {"sample_rate": float("nan")}, {"rx_address": "here"}, {"tap": "tcp://x"}]
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AirConfig(**options)
