# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver without GNU Radio, on recordings and on noise; where GNU Radio is installed, beside the flowgraph."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.flowgraphs.radios.profiles import recording_profile
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import ComplexArray, Frame, ImageSize
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.link.config import ReceiveConfig
from gened.link.events import Ended, LinkEvent
from gened.link.link_errors import NoFrameError
from gened.link.receive import run_receive
from gened.models.codecs.registry import load_codec
from gened.models.data.images import load_image

CAPTION = "squares and nothing else"
N_FRAMES = 3
GAP = 3000


def recording_of(path: Path, samples: list[ComplexArray]) -> Path:
    writer = RecordingWriter(path, RecordingInfo(sample_rate=1e6))
    writer.open()
    for piece in samples:
        writer.write(piece)
    writer.close()
    return path


def bursts_of_frames(codec_id: int | None = None) -> list[ComplexArray]:
    """Bursts with gaps, over a channel at 12 dB and an offset of 5 kHz."""
    codec = load_codec("softcast", device="numpy")
    x = np.repeat(np.repeat(np.random.default_rng(3).random((3, 8, 8), np.float32), 16, 1), 16, 2)  # [3, 128, 128]
    rate = Fraction(1, 24)
    channel = SampleChannel(ChannelConfig(snr_db=12.0, freq_offset_hz=5000.0, seed=4), 1e6)
    gap, pieces = np.zeros(GAP, np.complex64), []
    for number in range(N_FRAMES):
        frame = Frame(
            session=9, number=number, codec_id=codec.codec_id if codec_id is None else codec_id,
            size=ImageSize(128, 128), rate=rate, snr_design_db=12.0,
            encoded=codec.encode(x, rate=rate, snr_db=12.0), text_mode="qpsk-1/2",
            text=pack_records(Records(caption=CAPTION, station="N0CALL")),
        )  # fmt: skip
        for burst in modulate_frame(frame):
            pieces.append(channel.process(np.concatenate([gap, burst, gap]), [GAP]))
    return pieces


def received(path: Path, out: Path, **options: Any) -> tuple[list[FrameFacts], dict[str, int]]:
    """Facts of the frames of a recording, and the causes of faults."""
    profile = recording_profile(path)
    config = ReceiveConfig(radio=profile, sample_rate=profile.sample_rate, out=out, timeout_s=60.0, **options)
    events: list[LinkEvent] = []
    frames = run_receive(config, stop=threading.Event(), on_event=events.append)
    (ended,) = [event for event in events if isinstance(event, Ended)]
    return frames, ended.causes


def test_every_frame_of_a_recording_is_received_with_caption_and_picture(tmp_path: Path) -> None:
    path = recording_of(tmp_path / "three.sigmf-meta", bursts_of_frames())
    frames, causes = received(path, tmp_path / "out", without_gnuradio=True)
    assert [facts.frame for facts in frames] == list(range(N_FRAMES)) and causes == {}
    for facts in frames:
        assert (facts.caption, facts.station, facts.crc_ok) == (CAPTION, "N0CALL", True)
        assert facts.snr_est_db == pytest.approx(12, abs=1) and facts.cfo_est_hz == pytest.approx(5000, abs=100)
        assert facts.erased_fraction == 0 and facts.error is None and facts.is_lost is False
        assert load_image(tmp_path / "out" / str(facts.received)).shape == (128, 128, 3)
    assert {"report.json", "side_by_side.png", "constellation.png", "received.png"} <= {
        file.name for file in (tmp_path / "out").iterdir()
    }


def test_it_receives_what_the_flowgraph_receives(tmp_path: Path) -> None:
    pytest.importorskip("gnuradio", reason="the flowgraph is GNU Radio's")
    path = recording_of(tmp_path / "three.sigmf-meta", bursts_of_frames())
    ours, our_causes = received(path, tmp_path / "numpy", without_gnuradio=True)
    theirs, their_causes = received(path, tmp_path / "gnuradio")
    assert [replace(one, decode_ms=None) for one in ours] == [replace(one, decode_ms=None) for one in theirs]
    assert our_causes == their_causes
    names = sorted(file.name for file in (tmp_path / "gnuradio").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "numpy").iterdir())
    for name in names:
        if name.startswith("received"):
            assert (tmp_path / "numpy" / name).read_bytes() == (tmp_path / "gnuradio" / name).read_bytes(), name


def test_frames_of_other_weights_are_named_as_such(tmp_path: Path) -> None:
    path = recording_of(tmp_path / "other.sigmf-meta", bursts_of_frames(codec_id=0xDEADBEEF))
    frames, causes = received(path, tmp_path / "out", without_gnuradio=True)
    assert [facts.error_code for facts in frames] == ["other-weights"] * N_FRAMES
    assert causes == {"other weights": N_FRAMES}


def test_a_recording_of_noise_ends_in_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal(2**17) + 1j * rng.standard_normal(2**17)).astype(np.complex64)
    path = recording_of(tmp_path / "noise.sigmf-meta", [noise])
    with pytest.raises(NoFrameError, match=r"no frame among 131072 samples \(0 preambles, 0 headers read\)"):
        received(path, tmp_path / "out", without_gnuradio=True)
