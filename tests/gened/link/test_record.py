# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording and receiving from a recording: whole flowgraphs, no socket and no network."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="a recording is made by a flowgraph")

from gened.errors import ConfigError
from gened.flowgraphs.playback import Playback, Waiting
from gened.flowgraphs.radios.profiles import RadioProfile, recording_profile
from gened.flowgraphs.receiver import Receiver
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import Frame, ImageSize
from gened.gr_blocks.recording.metadata import RecordingError
from gened.gr_blocks.recording.reader import read_recording
from gened.gr_blocks.sample_recorder import sample_recorder
from gened.link.config import KeepConfig, ReceiveConfig, RecordConfig
from gened.link.link_errors import NoFrameError
from gened.link.receive import run_receive
from gened.link.record import run_record
from gened.models.codecs.registry import load_codec

SIZE = ImageSize(64, 96)
RATE = Fraction(1, 12)
CAPTION = "a ramp of colours"
GAP = 3000


def bursts(n_frames: int, size: ImageSize = SIZE) -> list[Any]:
    """A ramp of colours as bursts, frame for frame."""
    codec = load_codec("softcast")
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float32)
    picture = np.stack([x / size.width, y / size.height, 0.5 + 0 * x])
    encoded = codec.encode(picture, rate=RATE, snr_db=10.0)
    text = pack_records(Records(caption=CAPTION))
    frames = [Frame(77, number, codec.codec_id, size, RATE, 10.0, encoded, text) for number in range(n_frames)]
    return [burst for frame in frames for burst in modulate_frame(frame)]


def through_the_air(parts: list[Any], snr_db: float = 10.0, gap: int = GAP) -> Any:
    silence = np.zeros(gap, np.complex64)
    samples = np.concatenate([silence, *(piece for part in parts for piece in (part, silence))])
    return SampleChannel(ChannelConfig(snr_db=snr_db, freq_offset_hz=20_000.0, seed=3), 1e6).process(samples)


@pytest.fixture(scope="module")
def arrived() -> Any:
    """Two frames, then noise."""
    return through_the_air([*bursts(2), np.zeros(60_000, np.complex64)])


def recorded(path: Path, samples: Any, **options: Any) -> Any:
    keep = {key: options.pop(key) for key in ("seconds", "datatype", "overwrites") if key in options}
    config = RecordConfig(
        keep=KeepConfig(path=path, **keep), profile=RadioProfile(kind="vector", samples=samples), **options
    )
    return run_record(config, stop=threading.Event())


def received(path: Path, out: Path | None = None) -> list[Any]:
    profile = recording_profile(path)
    config = ReceiveConfig(radio=profile, sample_rate=profile.sample_rate, out=out)
    return run_receive(config, stop=threading.Event())


@pytest.mark.parametrize("datatype", ["cf32_le", "ci16_le"])
def test_a_recording_tells_of_each_burst_and_is_received_like_the_air(
    arrived: Any, datatype: str, tmp_path: Path
) -> None:
    done = recorded(tmp_path / "a", arrived, datatype=datatype, seconds=len(arrived) / 1e6)
    assert (done.n_samples, done.n_bursts, done.n_frames, done.n_clipped) == (len(arrived), 2, 2, 0)
    found = read_recording(done.path)
    assert np.allclose(found.samples, arrived, atol=0 if datatype == "cf32_le" else 1e-3)
    length = len(bursts(1)[0])
    for number, annotation in enumerate(found.annotations):
        assert abs(annotation.start - (GAP + number * (length + GAP))) <= 2
        assert (annotation.count, annotation.frame, annotation.session) == (length, number, 77)
        assert annotation.snr_est_db == pytest.approx(10, abs=1)
        assert annotation.cfo_est_hz == pytest.approx(20_000, abs=50)
        assert (annotation.crc_ok, annotation.caption) == (True, CAPTION)
    frames = received(done.path, tmp_path / "out")
    assert [facts.frame for facts in frames] == [0, 1]
    assert [facts.caption for facts in frames] == [CAPTION] * 2
    picture = np.asarray(Image.open(tmp_path / "out" / "received-0001.png"), np.float32) / 255
    ramp = np.broadcast_to(np.arange(96) / 96, (64, 96))
    assert np.mean((picture[..., 0] - ramp) ** 2) < 1e-3
    assert (tmp_path / "out" / "report.json").is_file()


def test_it_ends_after_so_many_frames(arrived: Any, tmp_path: Path) -> None:
    assert recorded(tmp_path / "a", arrived, n_frames=1).n_frames >= 1


def test_it_ends_when_told_and_all_is_there(arrived: Any, tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_when_found(state: dict[str, Any]) -> None:
        if state["n_bursts"] >= 2 and state["n_samples"] >= len(arrived):  # found before the last sample is kept
            stop.set()

    profile = RadioProfile(kind="vector", samples=arrived)
    config = RecordConfig(keep=KeepConfig(path=tmp_path / "a"), profile=profile)
    done = run_record(config, stop=stop, on_state=stop_when_found)
    assert done.n_frames == 2
    assert np.array_equal(read_recording(done.path).samples[: len(arrived)], arrived)


def test_a_part_of_a_second_is_kept_to_the_sample_and_its_last_burst_is_told(arrived: Any, tmp_path: Path) -> None:
    end = GAP + len(bursts(1)[0])
    assert recorded(tmp_path / "a", arrived, seconds=(end + 10) / 1e6).n_bursts == 1
    assert len(read_recording(tmp_path / "a").samples) == end + 10
    assert recorded(tmp_path / "b", arrived, seconds=(end - 10) / 1e6).n_bursts == 0


def test_without_samples_there_is_an_error_and_no_file(tmp_path: Path) -> None:
    profile = RadioProfile(kind="zeromq", address="tcp://127.0.0.1:9")
    config = RecordConfig(
        keep=KeepConfig(path=tmp_path / "a"), profile=profile, control="tcp://127.0.0.1:9", timeout_s=0.3
    )
    with pytest.raises(NoFrameError, match="no samples from tcp://127.0.0.1:9 for 0.3 s; is `gened air` running there"):
        run_record(config, stop=threading.Event())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_ends_it_with_what_was_written(
    arrived: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gened.gr_blocks.recording import writer

    to_file = writer.to_file

    def fails_later(samples: Any, name: str, full_scale: float) -> Any:
        if (tmp_path / "a.sigmf-data").stat().st_size > 0:
            raise RecordingError("the disk is full")
        return to_file(samples, name, full_scale)

    monkeypatch.setattr(writer, "to_file", fails_later)
    with pytest.raises(RecordingError, match="the disk is full"):
        recorded(tmp_path / "a", arrived)
    found = read_recording(tmp_path / "a")
    assert np.array_equal(found.samples, arrived[: len(found.samples)])
    assert all(one.start + one.count <= len(found.samples) for one in found.annotations)


def test_a_receiver_keeps_what_it_receives(arrived: Any, tmp_path: Path) -> None:
    done = recorded(tmp_path / "a", arrived, seconds=len(arrived) / 1e6)
    profile = recording_profile(done.path)
    config = ReceiveConfig(radio=profile, keep=KeepConfig(path=tmp_path / "b"))
    assert len(run_receive(config, stop=threading.Event())) == 2
    assert read_recording(tmp_path / "b").annotations == read_recording(tmp_path / "a").annotations


def test_a_recorder_that_is_late_still_annotates_the_last_frame(
    arrived: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = sample_recorder._frame

    def handle_late(self: sample_recorder, message: Any) -> None:
        time.sleep(0.3)  # as on a busy machine
        handle(self, message)

    done = recorded(tmp_path / "a", arrived, seconds=len(arrived) / 1e6)
    monkeypatch.setattr(sample_recorder, "_frame", handle_late)
    profile = recording_profile(done.path)
    for name, n_frames in (("b", None), ("c", 2)):
        config = ReceiveConfig(radio=profile, keep=KeepConfig(path=tmp_path / name), n_frames=n_frames)
        assert len(run_receive(config, stop=threading.Event())) == 2
        assert all(one.crc_ok for one in read_recording(tmp_path / name).annotations)


def test_noise_is_recorded_and_received_as_noise(tmp_path: Path) -> None:
    noise = through_the_air([np.zeros(50_000, np.complex64)])
    assert recorded(tmp_path / "a", noise, seconds=0.05).n_bursts == 0
    with pytest.raises(NoFrameError, match="no frame among"):
        received(tmp_path / "a")


def test_a_recording_is_played_no_faster_than_it_can_be_decoded(tmp_path: Path) -> None:
    samples = through_the_air(bursts(32), gap=600)
    recorded(tmp_path / "a", samples, seconds=len(samples) / 1e6)
    pictures: list[Any] = []
    receiver = Receiver(recording_profile(tmp_path / "a"), on_picture=lambda image, mask, facts: pictures.append(image))
    receiver.decoder.worker._queue_len = 12  # a third of the frames
    receiver.start()
    try:
        assert receiver.drain(60)
    finally:
        receiver.stop()
        receiver.wait()
    assert len(pictures) == 32
    assert all(picture is not None for picture in pictures)


def test_a_lost_burst_ends_its_frame_in_the_recordings_own_time(tmp_path: Path) -> None:
    parts = bursts(2, ImageSize(256, 384))
    assert len(parts) == 4  # two bursts a frame
    samples = through_the_air([parts[0], np.zeros(2_600_000, np.complex64), parts[1], parts[2], parts[3]])
    recorded(tmp_path / "a", samples, seconds=len(samples) / 1e6)
    frames = received(tmp_path / "a")
    assert [(facts.frame, facts.n_bursts_received) for facts in frames][0] == (0, 1)
    assert (1, 2) in [(facts.frame, facts.n_bursts_received) for facts in frames]


def test_time_does_not_pass_while_bursts_wait() -> None:
    played, waiting = [0], [Waiting(0, 0, 0)]
    playback = Playback(10_000, 1000.0, lambda: played[0], lambda: waiting[0])
    played[0] = 2000
    assert playback.time_s(None) == 2.0
    played[0], waiting[0] = 9000, Waiting(1, 0, 0)
    assert playback.time_s(None) == 2.0
    waiting[0] = Waiting(0, 0, 0)
    assert playback.time_s(None) == 9.0
    played[0] = 12_000
    assert 10.0 <= playback.time_s(None) < 10.1
    assert not playback.must_wait()
    waiting[0] = Waiting(0, 3, 0)
    assert playback.must_wait()


@pytest.mark.parametrize("values", [{"seconds": 0.0}, {"seconds": float("nan")}, {"datatype": "cu8"}])
def test_what_cannot_be_kept_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        KeepConfig(path=tmp_path / "a", **values)
