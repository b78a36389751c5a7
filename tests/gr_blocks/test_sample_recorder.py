# SPDX-License-Identifier: GPL-3.0-or-later
"""sample_recorder: annotations of bursts and frames, in whatever order their messages are handled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.gr_blocks.pdu.frame_pdus import capture_to_pdu, received_to_pdu
from gened.gr_blocks.pdu.pdus import with_entries
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.types import Received, ReceivedFrame
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.gr_blocks.sample_recorder import MAX_EARLY, sample_recorder

ZEROS = np.zeros(4, np.complex64)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[sample_recorder]:
    info = RecordingInfo(sample_rate=1e6, center_freq=0.0, hw="", description="", recorder="")
    block = sample_recorder(RecordingWriter(tmp_path / "a", info))
    block.open()
    block.work([np.zeros(1_000_000, np.complex64)], [])
    yield block
    block.close()


def bursts(frame: Any, start: int = 0) -> list[Any]:
    contents = plan_bursts(frame)
    return [
        capture_to_pdu(Capture(modulate_burst(content), start + 20_000 * n, content.header, 0.01))
        for n, content in enumerate(contents)
    ]


def frame_pdu(frame: Any, n_bursts: int, snr_est_db: float = 9.0) -> Any:
    received = ReceivedFrame(
        session=frame.session, number=frame.number, codec_id=frame.codec_id, text=b"", has_text=True,
        n_bursts=n_bursts, n_bursts_received=n_bursts, snr_est_db=snr_est_db, sfo_est_ppm=0.0, on_air_samples=1,
        text_symbols=0, side_symbols=0, received=Received(ZEROS, ZEROS.real, None, frame.size, frame.rate, 10.0),
        **{next(f.name for f in dataclasses.fields(ReceivedFrame) if f.name.startswith("cfo_est")): 0.02},
    )  # fmt: skip
    return with_entries(received_to_pdu(received), {"caption": "a fox", "crc_ok": True, "station": "N0CALL"})


@pytest.mark.parametrize("order", ["bbf", "bfb", "fbb"])
def test_a_burst_has_its_frames_figures_in_whatever_order_they_come(
    recorder: sample_recorder, frame_of: Any, order: str
) -> None:
    frame = frame_of(number=5, size=(512, 512))
    captures = bursts(frame)
    assert len(captures) == 2
    for kind in order:
        if kind == "b":
            recorder._burst(captures.pop(0))
        else:
            recorder._frame(frame_pdu(frame, 2))
    for annotation in recorder.annotations:
        assert (annotation.frame, annotation.snr_est_db, annotation.cfo_est_hz) == (5, 9.0, 20_000.0)
        assert (annotation.crc_ok, annotation.caption, annotation.station) == (True, "a fox", "N0CALL")
    assert recorder.stats() == {"n_bursts": 2, "n_frames": 1}
    recorder._burst(bursts(frame, 100_000)[0])  # of a later frame with the same number
    assert recorder.annotations[-1].snr_est_db is None


def test_frames_without_bursts_are_forgotten(recorder: sample_recorder, frame_of: Any) -> None:
    for number in range(2 * MAX_EARLY):
        recorder._frame(frame_pdu(frame_of(number=number), 1))
    assert len(recorder._early) == MAX_EARLY
    recorder._burst(bursts(frame_of(number=0))[0])
    assert recorder.annotations[0].snr_est_db is None


def test_an_earlier_frame_of_the_same_number_keeps_its_figures(recorder: sample_recorder, frame_of: Any) -> None:
    frame = frame_of(number=1)
    for start, snr_est_db in ((0, 5.0), (200_000, 7.0)):
        recorder._burst(bursts(frame, start)[0])
        recorder._frame(frame_pdu(frame, 1, snr_est_db))
    assert [one.snr_est_db for one in recorder.annotations] == [5.0, 7.0]
