# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard recordings through the flowgraph of `gened receive --from`: the same frames as through NumPy alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gnuradio", reason="the receiver is a GNU Radio flowgraph")

from gened.flowgraphs.radios.profiles import recording_profile
from gened.flowgraphs.receiver import Receiver
from gened.gr_blocks.phy.receiver import Receiver as NumpyReceiver
from gened.gr_blocks.phy.types import ReceivedFrame
from gened.gr_blocks.recording.reader import read_recording

FOLDER = Path(__file__).resolve().parents[1] / "gr_blocks" / "phy" / "recordings"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def played(path: Path) -> dict[tuple[int, int], ReceivedFrame]:
    frames: list[ReceivedFrame] = []
    receiver = Receiver(
        recording_profile(path), on_frame=lambda packed, _: frames.append(packed.unpack()), timeout_s=0.2
    )
    receiver.start()
    try:
        assert receiver.drain(60)
    finally:
        receiver.stop()
        receiver.wait()
    return {(frame.session, frame.number): frame for frame in frames}


@pytest.mark.parametrize("name", ["edges", "out-of-order"])
def test_a_flowgraph_gives_the_frames_of_a_recording_as_numpy_does(name: str) -> None:
    path = FOLDER / f"{name}.sigmf-meta"
    receiver = NumpyReceiver()
    alone = {(f.session, f.number): f for f in receiver.push(read_recording(path).samples[:]) + receiver.flush()}
    got: dict[Any, ReceivedFrame] = played(path)
    assert set(got) == set(alone) == {(one["session"], one["frame"]) for one in EXPECTED[name]}
    for key, frame in got.items():
        assert (frame.text, frame.n_bursts_received) == (alone[key].text, alone[key].n_bursts_received)
        assert abs(frame.received.symbols - alone[key].received.symbols).max() < 1e-3
