# SPDX-License-Identifier: GPL-3.0-or-later
"""burst_detector: bursts out of a stream, however the scheduler slices it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gnuradio import blocks, gr

from gened.gr_blocks.burst_detector import burst_detector
from gened.gr_blocks.pdu.frame_pdus import capture_from_pdu
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.sample_player import sample_player


class slicer(gr.sync_block):  # noqa: N801
    """Passes samples on in pieces of at most a given length."""

    def __init__(self, max_len: int) -> None:
        gr.sync_block.__init__(self, name="slicer", in_sig=[np.complex64], out_sig=[np.complex64])
        self._max_len = max_len

    def work(self, input_items: Any, output_items: Any) -> int:
        n = min(self._max_len, len(output_items[0]))
        output_items[0][:n] = input_items[0][:n]
        return n


def detected(bench: Any, until: Any, samples: Any, max_len: int = 100_000) -> tuple[list[Any], Any]:
    block, player, piece = burst_detector(), sample_player(samples), slicer(max_len)
    bench.kept += [player, piece]
    bursts = bench.sink_of(block, "bursts")
    bench.tb.connect(player, piece, block)
    bench.start()
    assert until(lambda: block.stats()["samples"] >= len(samples) + 40_000, 20)
    bench.stop()
    return [capture_from_pdu(message) for message in bursts.messages], block


@pytest.mark.parametrize("max_len", [37, 1000, 100_000])
def test_bursts_are_found_whatever_the_slices(bench: Any, until: Any, frame_of: Any, max_len: int) -> None:
    gap = np.zeros(777, np.complex64)
    parts = [part for number in range(3) for part in (gap, modulate_frame(frame_of(number=number))[0])]
    starts = [int(n) for n in np.cumsum([len(part) for part in parts])[::2]]
    samples = SampleChannel(ChannelConfig(snr_db=6.0, freq_offset_hz=30_000.0), 1e6).process(
        np.concatenate([*parts, gap])
    )
    captures, _ = detected(bench, until, samples, max_len)
    assert [capture.header.frame for capture in captures] == [0, 1, 2]
    assert all(abs(capture.start - start) <= 16 for capture, start in zip(captures, starts, strict=True))
    assert all(abs(capture.cfo_norm - 0.03) < 1e-3 for capture in captures)


def test_noise_gives_nothing(bench: Any, until: Any, rng: np.random.Generator) -> None:
    captures, block = detected(bench, until, complex_noise(rng, 300_000, 1.0))
    assert captures == []
    assert "n_errors" not in block.stats()


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e38, -np.inf * 1j])
def test_rubbish_gives_nothing_and_the_next_burst_is_found(
    bench: Any, until: Any, frame_of: Any, rubbish: complex
) -> None:
    gap = complex_noise(np.random.default_rng(1), 5000, 0.01)
    samples = np.concatenate([gap, np.full(20_000, rubbish, np.complex64), gap, modulate_frame(frame_of())[0], gap])
    captures, block = detected(bench, until, samples)
    assert [capture.header.frame for capture in captures] == [0]
    assert "n_errors" not in block.stats()


def test_a_burst_that_is_cut_off_is_not_in_the_way_of_the_next(bench: Any, until: Any, frame_of: Any) -> None:
    burst = modulate_frame(frame_of())[0]
    gap = complex_noise(np.random.default_rng(1), 8000, 0.01)
    samples = np.concatenate([gap, burst[:400], gap, modulate_frame(frame_of(number=8))[0], gap])
    assert [capture.header.frame for capture in detected(bench, until, samples)[0]] == [8]


def test_an_error_inside_costs_samples_and_not_the_flowgraph(bench: Any, until: Any, frame_of: Any) -> None:
    block = burst_detector()
    player = sample_player(np.concatenate([np.zeros(60_000, np.complex64), modulate_frame(frame_of())[0]]))
    bench.kept.append(player)
    bursts = bench.sink_of(block, "bursts")
    bench.tb.connect(player, block)

    def fails_once(_: Any) -> Any:
        raise RuntimeError("a bug")

    block._detector.push = fails_once
    bench.start()
    assert len(bursts.wait(1)) == 1
    assert block.stats()["n_errors"] == 1


def test_two_million_samples_of_noise_pass_through(bench: Any, rng: np.random.Generator) -> None:
    block = burst_detector()
    bench.kept.append(block)
    samples = complex_noise(rng, 2_000_000, 1.0)
    bench.tb.connect(blocks.vector_source_c(samples.tolist()), block)
    bench.tb.run()
    assert block.stats()["samples"] == len(samples)
