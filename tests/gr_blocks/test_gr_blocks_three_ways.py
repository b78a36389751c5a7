# SPDX-License-Identifier: GPL-3.0-or-later
"""One burst on three ways, NumPy alone, GNU Radio in one process, over ZMQ from another: the same symbols come out."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import make_source
from gened.gr_blocks import frame_modulator as modulator
from gened.gr_blocks.burst_detector import burst_detector
from gened.gr_blocks.frame_demodulator import frame_demodulator
from gened.gr_blocks.pdu.frame_pdus import encoded_to_pdu, received_from_pdu
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ReceivedFrame
from gened.link.control import free_ports

GAP = 20_000
TOLERANCE = 1e-3
SENDER = Path(__file__).resolve().parents[1] / "support" / "burst_sender.py"


def by_numpy(frame: Frame, reduces_papr: bool) -> ReceivedFrame:
    receiver = Receiver()
    bursts = modulate_frame(frame, reduces_papr=reduces_papr)
    samples = np.concatenate([*bursts, np.zeros(GAP, np.complex64)])
    (got,) = receiver.push(samples) + receiver.flush()
    return got


def receiving(bench: Any, source: Any) -> Any:
    """A receiver's blocks behind a source of samples, and a probe for what comes out."""
    detector, demodulator = burst_detector(), frame_demodulator()
    bench.kept += [source, detector]
    bench.tb.connect(source, detector)
    bench.tb.msg_connect(detector, "bursts", demodulator, "bursts")
    return bench.sink_of(demodulator, "frames")


def one_frame(probe: Any) -> ReceivedFrame:
    (message,) = probe.wait(1)
    return received_from_pdu(message)[0]


def in_one_process(bench: Any, frame: Frame) -> ReceivedFrame:
    block = modulator.frame_modulator(GAP)
    encoded, frames = bench.source_of(block, "encoded"), receiving(bench, block)
    bench.start()
    encoded.send(encoded_to_pdu(frame))
    got = one_frame(frames)
    bench.stop()
    return got


def over_a_socket(bench: Any, frame: Frame, reduces_papr: bool) -> ReceivedFrame:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    frames = receiving(bench, make_source(RadioProfile(address=address)))
    bench.start()
    command = [sys.executable, str(SENDER), address, "reduced" if reduces_papr else "plain"]
    sender = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        assert sender.stdin is not None
        pickle.dump(frame, sender.stdin)
        sender.stdin.flush()
        got = one_frame(frames)
        sender.communicate(timeout=60)
        assert sender.returncode == 0
        return got
    finally:
        sender.kill()
        sender.communicate()


@pytest.fixture
def frame(frame_of: Any) -> Frame:
    """A burst with text, side information in cells of its own, and analogue symbols."""
    made: Frame = frame_of(number=31, size=(96, 128))
    return replace(made, encoded=Encoded(made.encoded.symbols[:900], bytes(range(20))))


@pytest.mark.parametrize("reduces_papr", [True, False], ids=["lowered peaks", "plain"])
def test_a_burst_gives_the_same_symbols_on_three_ways(
    make_bench: Any, frame: Frame, reduces_papr: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = functools.partial(modulator.modulate_burst, reduces_papr=reduces_papr)
    monkeypatch.setattr(modulator, "modulate_burst", plain)
    ways = {
        "numpy": by_numpy(frame, reduces_papr),
        "one process": in_one_process(make_bench(), frame),
        "socket": over_a_socket(make_bench(), frame, reduces_papr),
    }
    first = ways["numpy"].received
    for name, got in ways.items():
        assert (got.session, got.number, got.text) == (frame.session, frame.number, frame.text), name
        assert got.received.side_info == frame.encoded.side_info, name
        assert np.abs(got.received.symbols - first.symbols).max() < TOLERANCE, name
        assert np.allclose(got.received.noise_var, first.noise_var, rtol=TOLERANCE, atol=TOLERANCE), name
        if reduces_papr:
            assert got.evm_db == pytest.approx(ways["numpy"].evm_db, abs=0.1) and got.evm_db < -15, name
        else:  # nothing was taken from the peaks, and there is no noise
            assert np.abs(got.received.symbols - frame.encoded.symbols).max() < TOLERANCE, name
