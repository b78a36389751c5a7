# SPDX-License-Identifier: GPL-3.0-or-later
"""Transmitter and Receiver: whole flowgraphs, a photograph through both."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from waiting import wait_until

from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.receiver import Receiver
from gened.flowgraphs.transmitter import MAX_IN_FLIGHT, Transmitter
from gened.gr_blocks import semantic_encoder
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.picture_source import load_picture

CAPTION = "a woman in an orange space suit"


def psnr_db(x: Any, x_hat: Any) -> float:
    return float(-10 * np.log10(np.mean((x / 255.0 - x_hat / 255.0) ** 2)))


def transmitted(image: Any, n_frames: int = 1, **options: Any) -> tuple[Any, list[Any]]:
    """Samples and reports of a picture sent n times."""
    reports: list[Any] = []
    transmitter = Transmitter(RadioProfile(kind="vector"), on_report=reports.append, gap_len=1000, **options)
    transmitter.start()
    try:
        for number in range(n_frames):
            assert transmitter.send(image, {"name": "photo", "frame": number}, timeout_s=30)
        assert transmitter.drain(60)
        sink: Any = transmitter.sink  # a vector sink
        return np.array(sink.data(), np.complex64), reports
    finally:
        transmitter.stop()
        transmitter.wait()


def received(samples: Any, **options: Any) -> tuple[list[Any], Any]:
    """Pictures with their facts, and the receiver's counters."""
    pictures: list[Any] = []
    receiver = Receiver(
        RadioProfile(kind="vector", samples=samples),
        on_picture=lambda image, mask, facts: pictures.append((image, facts)),
        **options,
    )
    receiver.start()
    try:
        assert receiver.drain(60), receiver.stats()
        return pictures, receiver.stats()
    finally:
        receiver.stop()
        receiver.wait()


@pytest.fixture(scope="module")
def image() -> Any:
    return load_picture(max_side=128)


@pytest.fixture(scope="module")
def sent(image: Any) -> tuple[Any, list[Any]]:
    return transmitted(image, 2, caption=CAPTION, station="N0CALL", session=99)


def test_every_picture_is_reported_with_its_counts(sent: Any) -> None:
    samples, reports = sent
    assert [report.frame for report in reports] == [0, 1]
    for report in reports:
        assert report.error is None
        assert report.name == "photo"
        assert report.analog_symbols + report.side_symbols <= 128 * 128 * 3 // 24
        assert report.encode_ms > 0
    assert len(samples) == sum(report.on_air_samples + 1000 for report in reports)


def test_a_transmitter_on_numpy_never_loads_pytorch_into_its_worker(
    image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1] / "support"))
    monkeypatch.setattr(semantic_encoder, "CODEC_SERVICE", "codec_spy:CodecSpy")
    transmitter = Transmitter(RadioProfile(kind="vector"), device="numpy")
    transmitter.start()
    try:
        assert transmitter.send(image)
        assert transmitter.drain(30)
        assert transmitter.encoder.stats() == {"n_encoded": 1}
        assert transmitter.encoder.worker.call("loaded") == ["numpy"]
    finally:
        transmitter.stop()
        transmitter.wait()


def test_a_reported_frame_has_its_samples_counted(image: Any) -> None:
    counts: list[tuple[int, int]] = []
    transmitter = Transmitter(
        RadioProfile(kind="vector"),
        on_report=lambda facts: counts.append((transmitter.n_samples_sent, facts.on_air_samples)),
        gap_len=500,
    )
    sink: Any = transmitter.sink  # a vector sink
    transmitter.start()
    try:
        for _ in range(5):
            assert transmitter.send(image, timeout_s=30)
            assert transmitter.drain(30)
            assert len(sink.data()) == sum(length + 500 for _, length in counts)
    finally:
        transmitter.stop()
        transmitter.wait()
    assert [n_sent for n_sent, _ in counts] == list(np.cumsum([length + 500 for _, length in counts]))


def test_a_photograph_arrives_with_its_caption(image: Any, sent: Any, tmp_path: Path) -> None:
    channel = SampleChannel(ChannelConfig(snr_db=10.0, freq_offset_hz=20_000.0, seed=3), 1e6)
    arrived = channel.process(np.concatenate([np.zeros(4000, np.complex64), sent[0]]))
    pictures, stats = received(arrived, out_dir=tmp_path)
    assert [facts.frame for _, facts in pictures] == [0, 1]
    for decoded, facts in pictures:
        assert (facts.caption, facts.station, facts.crc_ok) == (CAPTION, "N0CALL", True)
        assert facts.session == 99
        assert facts.snr_est_db == pytest.approx(10, abs=1)
        assert facts.cfo_est_hz == pytest.approx(20_000, abs=100)
        assert facts.airtime_s == pytest.approx(facts.on_air_samples / 1e6)
        assert psnr_db(image, decoded) > 20
    assert len(list(tmp_path.iterdir())) == 2  # a receiver that has drained has written them
    assert np.array_equal(np.array(Image.open(tmp_path / "received-00099-00001.png")), pictures[1][0])
    assert not any(name in counters for counters in stats.values() for name in ("n_errors", "n_bad_pdus"))


def test_noise_gives_no_picture(rng: np.random.Generator) -> None:
    assert received(complex_noise(rng, 500_000, 1.0))[0] == []


def test_a_frame_of_another_codec_is_an_error_that_names_the_remedy(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gened.gr_blocks.phy.framing.header import Header

    unpack = Header.unpack.__func__  # type: ignore[attr-defined]

    def other(cls: Any, data: bytes) -> Any:
        header = unpack(cls, data)
        return header and dataclasses.replace(header, codec_id=1)

    monkeypatch.setattr(Header, "unpack", classmethod(other))
    pictures, _ = received(np.concatenate([sent[0], np.zeros(1000, np.complex64)]))
    assert [decoded for decoded, _ in pictures] == [None, None]
    assert all("00000001" in facts.error and "same weights" in facts.error for _, facts in pictures)
    assert [facts.error_code for _, facts in pictures] == ["other-weights"] * 2


def test_a_burst_that_is_lost_costs_part_of_a_large_picture() -> None:
    large = load_picture(max_side=512)
    samples, reports = transmitted(large, caption=CAPTION)
    assert reports[0].n_bursts == 2
    half = reports[0].on_air_samples // 2 + 500
    samples[:half] = 0
    noise = complex_noise(np.random.default_rng(1), len(samples), 0.05)
    (picture, facts), *others = received(samples + noise, timeout_s=0.5)[0]
    assert not others
    assert facts.erased_fraction == pytest.approx(0.5, abs=0.01)
    assert facts.caption == CAPTION
    assert psnr_db(large, picture) > 12


def test_an_unknown_codec_fails_each_picture_with_the_list_of_known_ones(image: Any) -> None:
    samples, reports = transmitted(image, codec="magic")
    assert len(samples) == 0
    assert "softcast" in reports[0].error


def test_no_more_pictures_are_taken_than_can_be_under_way(image: Any) -> None:
    transmitter = Transmitter(RadioProfile(kind="vector"))  # not started: nothing leaves
    assert [transmitter.send(image) for _ in range(MAX_IN_FLIGHT + 1)] == [True] * MAX_IN_FLIGHT + [False]


@pytest.mark.parametrize("is_receiver_first", [True, False])
def test_over_a_socket_whoever_starts_first(image: Any, is_receiver_first: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    pictures: list[Any] = []
    transmitter = Transmitter(RadioProfile(address=address), gap_len=20_000, caption=CAPTION)
    receiver = Receiver(
        RadioProfile(address=address), on_picture=lambda image, _, facts: pictures.append((image, facts))
    )
    first, second = (receiver, transmitter) if is_receiver_first else (transmitter, receiver)
    try:
        first.start()
        if not is_receiver_first:
            assert transmitter.send(image)
        second.start()
        for _ in range(3):
            transmitter.send(image, timeout_s=20)
        assert wait_until(lambda: len(pictures) >= 2)
        assert all(picture is not None and facts.crc_ok for picture, facts in pictures)
    finally:
        for flowgraph in (transmitter, receiver):
            flowgraph.stop()
            flowgraph.wait()


def test_nothing_is_written_to_stdout(image: Any, sent: Any, capfd: pytest.CaptureFixture[str]) -> None:
    received(sent[0][:2000])
    assert capfd.readouterr().out == ""
