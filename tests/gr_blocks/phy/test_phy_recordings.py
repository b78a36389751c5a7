# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard bursts, kept in SigMF: the frames that came out of them once come out for ever."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
from make_hard import cases, error_db

from gened.gr_blocks.phy.framing.records import unpack_records
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ReceivedFrame
from gened.gr_blocks.recording.reader import read_recording

FOLDER = Path(__file__).parent / "recordings"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "expected.json").read_text())
NAMES = sorted(EXPECTED)
MAX_BYTES = 4 * 2**20
CHUNK = 4096


def received(name: str) -> list[ReceivedFrame]:
    """The frames of a recording, read and received a piece at a time."""
    recording = read_recording(FOLDER / f"{name}.sigmf-meta")
    receiver, frames = Receiver(recording.info.sample_rate), []
    for first in range(0, len(recording.samples), CHUNK):
        frames += receiver.push(recording.samples[first : first + CHUNK])
    return frames + receiver.flush()


def test_all_hard_recordings_are_there_and_small() -> None:
    assert sorted(cases()) == NAMES == sorted(path.stem for path in FOLDER.glob("*.sigmf-meta"))
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_hard_recording_gives_its_frames_and_no_others(name: str) -> None:
    case, frames = cases()[name], received(name)
    got = {(frame.session, frame.number): frame for frame in frames}
    assert len(got) == len(frames)
    sent = {(placed.frame.session, placed.frame.number): placed.frame for placed in case.placed}
    assert set(got) <= set(sent)
    for expected in EXPECTED[name]:
        key = expected["session"], expected["frame"]
        frame = got[key]
        caption = unpack_records(frame.text).caption if frame.text is not None else None
        assert (frame.n_bursts, frame.n_bursts_received) == (expected["n_bursts"], expected["n_bursts_received"])
        assert (frame.text is not None, caption) == (expected["crc_ok"], expected["caption"])
        assert frame.received.side_info == sent[key].encoded.side_info
        assert np.isfinite(frame.received.symbols).all()
        assert error_db(sent[key], frame) <= expected["max_error_db"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hard_recording_is_sigmf_with_a_note_of_each_burst(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the validator's, of our own optional extension
        signal = sigmf.sigmffile.fromfile(str(FOLDER / f"{name}.sigmf-meta"))  # compares the checksum
        signal.validate()
    assert signal.get_global_field("core:datatype") == "ci16_le"
    case, notes = cases()[name], read_recording(FOLDER / f"{name}.sigmf-meta").annotations
    placed = sorted(case.placed, key=lambda one: one.start)
    assert [(n.start, n.session, n.frame, n.burst) for n in notes] == [
        (one.start, one.frame.session, one.frame.number, one.burst) for one in placed
    ]
