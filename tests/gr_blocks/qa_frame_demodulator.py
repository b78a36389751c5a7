# SPDX-License-Identifier: GPL-3.0-or-later
"""frame_demodulator: captured bursts to frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gened.gr_blocks.frame_demodulator import QUEUE_LEN, frame_demodulator
from gened.gr_blocks.pdu.frame_pdus import capture_to_pdu, received_from_pdu, received_to_pdu
from gened.gr_blocks.pdu.pdus import from_pdu
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.sync.detector import BurstDetector


def captures_of(frame: Any, snr_db: float = 20.0) -> list[Any]:
    gap = np.zeros(3000, np.complex64)
    samples = np.concatenate(
        [part for burst in modulate_frame(frame, reduces_papr=False) for part in (gap, burst)] + [gap]
    )
    detector = BurstDetector()
    arrived = SampleChannel(ChannelConfig(snr_db=snr_db, freq_offset_hz=5000.0), 1e6).process(samples)
    return detector.push(arrived) + detector.flush()


def test_a_burst_becomes_a_frame_with_what_was_measured(bench: Any, frame_of: Any) -> None:
    frame = frame_of(number=12)
    block = frame_demodulator()
    bursts, frames, symbols = (
        bench.source_of(block, "bursts"),
        bench.sink_of(block, "frames"),
        bench.sink_of(block, "symbols"),
    )
    bench.start()
    bursts.send(capture_to_pdu(captures_of(frame)[0]))
    received, meta = received_from_pdu(frames.wait(1)[0])
    assert (received.number, received.session, received.codec_id) == (12, 77, frame.codec_id)
    assert (received.received.size, received.received.rate) == (frame.size, frame.rate)
    assert received.text == frame.text
    assert received.received.side_info == b"s"
    assert np.mean(np.abs(received.received.symbols - frame.encoded.symbols) ** 2) < 0.02
    assert received.snr_est_db == pytest.approx(20.0, abs=1.0)
    assert received.cfo_est_norm == pytest.approx(0.005, abs=1e-4)
    assert meta["analog_symbols"] == len(frame.encoded.symbols)
    shown = from_pdu(symbols.wait(1)[0], np.complex64)[1]
    assert len(shown) == received.text_symbols
    assert np.mean(np.abs(np.abs(shown) - 1)) < 0.1  # QPSK


def test_a_frame_with_a_burst_missing_comes_when_its_time_is_over(bench: Any, frame_of: Any) -> None:
    block = frame_demodulator(0.3)
    bursts, frames = bench.source_of(block, "bursts"), bench.sink_of(block, "frames")
    bench.start()
    captures = captures_of(frame_of(size=(512, 512)))
    assert len(captures) == 2
    bursts.send(capture_to_pdu(captures[1]))
    received = received_from_pdu(frames.wait(1)[0])[0]
    assert (received.n_bursts, received.n_bursts_received) == (2, 1)
    assert received.erased_fraction == pytest.approx(0.5, abs=0.01)


def test_what_is_missing_stays_missing_on_the_way_through_a_pdu(bench: Any, frame_of: Any) -> None:
    block = frame_demodulator(0.1)
    bursts, frames = bench.source_of(block, "bursts"), bench.sink_of(block, "frames")
    bench.start()
    bursts.send(capture_to_pdu(captures_of(frame_of(size=(512, 512)))[0]))
    received = received_from_pdu(frames.wait(1)[0])[0]
    again = received_from_pdu(received_to_pdu(received))[0]
    assert np.isinf(again.received.noise_var).sum() == np.isinf(received.received.noise_var).sum() > 0


def test_the_same_burst_twice_is_one_frame(bench: Any, frame_of: Any, until: Any) -> None:
    block = frame_demodulator()
    bursts, frames = bench.source_of(block, "bursts"), bench.sink_of(block, "frames")
    bench.start()
    for _ in range(2):
        bursts.send(capture_to_pdu(captures_of(frame_of())[0]))
    assert until(lambda: block.stats().get("n_bursts", 0) == 2)
    assert len(frames.wait(2, 0.2)) == 1


def test_a_flood_of_bursts_is_bounded_and_counted(
    bench: Any, frame_of: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = frame_demodulator()
    bursts = bench.source_of(block, "bursts")
    message = capture_to_pdu(captures_of(frame_of())[0])
    monkeypatch.setattr(block, "_step", lambda _: until(lambda: False, 0.3))
    bench.start()
    for _ in range(3 * QUEUE_LEN):
        bursts.send(message)
    assert until(lambda: block.stats().get("n_dropped_bursts", 0) > 0)
    assert block.n_pending <= QUEUE_LEN + 1


def test_hostile_messages_are_counted_and_the_next_burst_is_demodulated(
    bench: Any, frame_of: Any, hostile: Any
) -> None:
    block = frame_demodulator()
    bursts, frames = bench.source_of(block, "bursts"), bench.sink_of(block, "frames")
    bench.start()
    bursts.send(hostile)
    bursts.send(capture_to_pdu(captures_of(frame_of())[0]))
    assert len(frames.wait(1)) == 1
    assert block.stats()["n_bad_pdus"] == 1


def test_no_state_is_left_from_one_run_to_the_next(bench: Any, frame_of: Any) -> None:
    block = frame_demodulator()
    bursts, frames = bench.source_of(block, "bursts"), bench.sink_of(block, "frames")
    for n_frames in (1, 2):  # the same frame again: a receiver that is restarted shows it again
        bench.start()
        bursts.send(capture_to_pdu(captures_of(frame_of())[0]))
        assert len(frames.wait(n_frames)) == n_frames
        bench.stop()
