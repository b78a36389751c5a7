# SPDX-License-Identifier: GPL-3.0-or-later
"""frame_modulator: frames to samples with a tag on each burst."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pmt
import pytest
from gnuradio import blocks

from gened.gr_blocks.frame_modulator import QUEUED_FRAMES, frame_modulator
from gened.gr_blocks.pdu.frame_pdus import encoded_to_pdu, report_from_pdu
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame


class Sending:
    """A modulator whose samples are collected."""

    def __init__(self, bench: Any, *arguments: Any) -> None:
        self.block = frame_modulator(*arguments)
        self.encoded = bench.source_of(self.block, "encoded")
        self.reports = bench.sink_of(self.block, "reports")
        self.sink = blocks.vector_sink_c()
        bench.tb.connect(self.block, self.sink)
        bench.start()

    def bursts(self) -> list[tuple[int, int]]:
        """Offset and length of each tagged packet."""
        return [
            (tag.offset, pmt.to_python(tag.value)) for tag in self.sink.tags() if pmt.to_python(tag.key) == "packet_len"
        ]


def test_samples_are_the_modulators_and_each_burst_is_tagged(bench: Any, frame_of: Any, until: Any) -> None:
    sending = Sending(bench)
    frames = [frame_of(number=number, seed=number) for number in range(3)]
    for frame in frames:
        sending.encoded.send(encoded_to_pdu(frame))
    expected = [burst for frame in frames for burst in modulate_frame(frame)]
    n_samples = sum(map(len, expected))
    assert until(lambda: len(sending.sink.data()) == n_samples)
    assert np.array_equal(np.array(sending.sink.data(), np.complex64), np.concatenate(expected))
    starts = np.cumsum([0, *map(len, expected)])[:-1]
    assert sending.bursts() == [(start, len(burst)) for start, burst in zip(starts, expected, strict=True)]


def test_a_gap_belongs_to_its_packet(bench: Any, frame_of: Any, until: Any) -> None:
    sending = Sending(bench, 100)
    for number in range(2):
        sending.encoded.send(encoded_to_pdu(frame_of(number=number)))
    n_burst = len(modulate_frame(frame_of())[0])
    assert until(lambda: len(sending.sink.data()) == 2 * (n_burst + 100))
    assert sending.bursts() == [(0, n_burst + 100), (n_burst + 100, n_burst + 100)]
    assert not np.any(sending.sink.data()[n_burst : n_burst + 100])


def test_without_frames_nothing_is_sent(bench: Any, frame_of: Any, until: Any) -> None:
    sending = Sending(bench)
    sending.encoded.send(encoded_to_pdu(frame_of()))
    sending.reports.wait(1)
    n_burst = len(modulate_frame(frame_of())[0])
    assert until(lambda: len(sending.sink.data()) == n_burst)
    assert not until(lambda: len(sending.sink.data()) > n_burst, 0.2)


def test_a_continuous_stream_is_zero_between_bursts(bench: Any, frame_of: Any, until: Any) -> None:
    block = frame_modulator(0, True)
    encoded, throttle, sink = bench.source_of(block, "encoded"), blocks.throttle(8, 2e6), blocks.vector_sink_c()
    bench.tb.connect(block, throttle, sink)
    bench.start()
    assert until(lambda: len(sink.data()) > 1000)
    encoded.send(encoded_to_pdu(frame_of()))
    assert until(lambda: len(sink.tags()) == 1)
    start, burst = sink.tags()[0].offset, modulate_frame(frame_of())[0]
    assert until(lambda: len(sink.data()) > start + len(burst) + 1000)
    bench.stop()
    data = np.array(sink.data(), np.complex64)
    assert np.array_equal(data[start : start + len(burst)], burst)
    assert not data[:start].any()
    assert not data[start + len(burst) :].any()


def test_a_large_frame_is_several_bursts_and_one_report(bench: Any, frame_of: Any, until: Any) -> None:
    sending = Sending(bench)
    frame = frame_of(size=(1024, 512))  # 65,536 symbols
    sending.encoded.send(encoded_to_pdu(frame, {"name": "large"}))
    report = report_from_pdu(sending.reports.wait(1)[0])
    expected = modulate_frame(frame)
    assert len(expected) == 4
    assert report["n_bursts"] == 4
    assert report["on_air_samples"] == sum(map(len, expected))
    assert report["analog_symbols"] == 65536
    assert report["payload_symbols"] == 65536 + report["side_symbols"] + report["caption_symbols"]
    assert report["name"] == "large"
    assert until(lambda: len(sending.bursts()) == 4)


def test_a_frame_that_cannot_be_sent_is_reported_and_the_next_one_goes_out(bench: Any, frame_of: Any) -> None:
    sending = Sending(bench)
    too_many = dataclasses.replace(frame_of(), encoded=frame_of(size=(128, 128)).encoded)
    sending.encoded.send(encoded_to_pdu(too_many, {"name": "bad"}))
    sending.encoded.send(encoded_to_pdu(frame_of(), {"name": "good"}))
    reports = [report_from_pdu(message) for message in sending.reports.wait(2)]
    assert [report["name"] for report in reports] == ["bad", "good"]
    assert "rate 1/24 allows" in reports[0]["error"]
    assert "error" not in reports[1]


def test_a_symbol_that_is_no_number_costs_itself_and_is_named_once(
    bench: Any, frame_of: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sending, expected = Sending(bench), []
    for number in range(2):
        frame = frame_of(number=number)
        frame.encoded.symbols[[3, 40]] = np.nan, np.inf
        sending.encoded.send(encoded_to_pdu(frame))
        frame.encoded.symbols[[3, 40]] = 0
        expected += modulate_frame(frame)
    assert until(lambda: len(sending.sink.data()) == sum(map(len, expected)))
    assert np.array_equal(np.array(sending.sink.data(), np.complex64), np.concatenate(expected))
    reports = [report_from_pdu(message) for message in sending.reports.wait(2)]
    assert not any("error" in report for report in reports)
    assert sending.block.stats()["n_bad_symbols"] == 4
    (line,) = caplog.messages
    assert "frame 0: 2 of" in line and "sent as 0" in line


def test_a_radio_that_is_behind_makes_frames_drop_with_a_report(bench: Any, frame_of: Any, until: Any) -> None:
    block = frame_modulator()
    encoded, reports = bench.source_of(block, "encoded"), bench.sink_of(block, "reports")
    bench.tb.connect(block, blocks.throttle(8, 1000), blocks.null_sink(8))  # a burst takes seconds
    bench.start()
    for number in range(60):
        encoded.send(encoded_to_pdu(frame_of(number=number)))
    assert until(lambda: block.stats().get("n_dropped_frames", 0) > 0)
    assert until(
        lambda: any("radio is behind" in report_from_pdu(found).get("error", "") for found in reports.messages)
    )
    assert len(block.core._frames) <= QUEUED_FRAMES


def test_hostile_messages_are_counted_and_the_next_frame_goes_out(bench: Any, frame_of: Any, hostile: Any) -> None:
    sending = Sending(bench)
    sending.encoded.send(hostile)
    sending.encoded.send(encoded_to_pdu(frame_of(number=4)))
    assert report_from_pdu(sending.reports.wait(1)[0])["frame"] == 4
    assert sending.block.stats()["n_bad_pdus"] == 1


def test_a_flowgraph_can_be_started_again(bench: Any, frame_of: Any) -> None:
    sending = Sending(bench)
    sending.encoded.send(encoded_to_pdu(frame_of()))
    sending.reports.wait(1)
    bench.stop()
    bench.start()
    sending.encoded.send(encoded_to_pdu(frame_of()))
    assert len(sending.reports.wait(2)) == 2
