# SPDX-License-Identifier: GPL-3.0-or-later
"""channel: the channel of phy between samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr

from gened.errors import ConfigError
from gened.gr_blocks.channel import channel
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM


def through(block: Any, samples: Any, starts: tuple[int, ...] = ()) -> Any:
    """Samples through a flowgraph; bursts begin at `starts`."""
    tags = []
    for start in starts:
        tag = gr.tag_t()
        tag.offset, tag.key, tag.value = start, pmt.intern("packet_len"), pmt.from_long(1000)
        tags.append(tag)
    tb, source, sink = gr.top_block(), blocks.vector_source_c(samples.tolist(), False, 1, tags), blocks.vector_sink_c()
    tb.connect(source, block, sink)
    tb.run()
    assert not sink.tags()
    return np.array(sink.data(), np.complex64)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_noise_has_the_power_that_the_snr_asks_for(snr_db: float) -> None:
    noise = through(channel(1e6, snr_db, 0.0), np.zeros(200_000, np.complex64))
    assert len(noise) == 200_000
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(WAVEFORM.noise_var_per_sample(snr_db), rel=0.02)


def test_the_carrier_is_moved_upwards_by_a_positive_offset() -> None:
    moved = through(channel(1e6, 100.0, 12_500.0), np.ones(80_000, np.complex64))
    assert np.argmax(np.abs(np.fft.fft(moved))) == 1000
    assert np.allclose(moved[1:] / moved[:-1], np.exp(2j * np.pi * 0.0125), atol=1e-3)  # no jump between the chunks


@pytest.mark.parametrize(("sfo_ppm", "n_expected"), [(50.0, 999_950), (-50.0, 1_000_050), (0.0, 1_000_000)])
def test_a_fast_receiver_clock_gives_more_samples(sfo_ppm: float, n_expected: int) -> None:
    arrived = through(channel(1e6, 50.0, 0.0, sfo_ppm=sfo_ppm), np.zeros(1_000_000, np.complex64))
    assert abs(len(arrived) - n_expected) < 40


def test_block_fading_draws_a_gain_at_each_burst() -> None:
    starts = tuple(range(0, 50_000, 1000))
    arrived = through(channel(1e6, 100.0, 0.0, "rayleigh-block"), np.ones(50_000, np.complex64), starts)
    bursts = arrived.reshape(50, 1000)
    assert np.abs(bursts - bursts[:, :1]).max() < 1e-3  # one gain within a burst
    assert len(np.unique(np.round(np.abs(bursts[:, 0]), 4))) > 45  # another one for each
    assert 0.6 < np.mean(np.abs(bursts) ** 2) < 1.5


def test_lost_bursts_are_lost_whole() -> None:
    arrived = through(
        channel(1e6, 100.0, 0.0, drop=0.5), np.ones(100_000, np.complex64), tuple(range(0, 100_000, 1000))
    )
    power = np.abs(arrived.reshape(100, 1000)) ** 2
    is_lost = power.mean(axis=1) < 0.1
    assert 25 < is_lost.sum() < 75
    assert power[is_lost].max() < 0.01
    assert power[~is_lost].min() > 0.9


def test_snr_and_offset_can_be_changed_while_it_runs() -> None:
    block = channel(1e6, 100.0, 0.0)
    block.set_snr_db(0.0)
    block.set_freq_offset_hz(-5e4)
    assert (block.config.snr_db, block.config.freq_offset_hz) == (0.0, -5e4)
    arrived = through(block, np.full(100_000, 10, np.complex64))
    assert np.argmax(np.abs(np.fft.fft(arrived))) == 95_000
    residual = arrived * np.exp(2j * np.pi * 0.05 * np.arange(100_000)) - 10
    assert np.mean(np.abs(residual) ** 2) == pytest.approx(WAVEFORM.noise_var_per_sample(0.0), rel=0.03)


@pytest.mark.parametrize("arguments", [{"kind": "tunnel"}, {"snr_db": 1e9}, {"freq_offset_hz": 6e5}, {"drop": 2.0}])
def test_values_out_of_range_are_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        channel(**arguments)


def test_a_setter_out_of_range_changes_nothing() -> None:
    block = channel(1e6, 10.0, 100.0)
    with pytest.raises(ConfigError):
        block.set_freq_offset_hz(6e5)
    with pytest.raises(ConfigError):
        block.set_snr_db(float("nan"))
    assert (block.config.snr_db, block.config.freq_offset_hz) == (10.0, 100.0)
