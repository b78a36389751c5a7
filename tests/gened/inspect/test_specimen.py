# SPDX-License-Identifier: GPL-3.0-or-later
"""Bursts and what surrounds them come out of a stream however it is cut, with those whose header fails among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gened.bench.link_frames import random_frame
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.header import HeaderFault
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.sync.detector import Miss
from gened.gr_blocks.phy.types import ComplexArray
from gened.inspect.specimen import HISTORY, MARGIN, MISS_SPAN, Specimen, SpecimenFinder

GAP = 2500
HEADER = slice(528 + 272, 528 + 816)


def burst(number: int = 0) -> ComplexArray:
    return modulate_burst(plan_bursts(random_frame(number, np.random.default_rng(number), n_analog=900))[0])


def with_a_wrong_header(samples: ComplexArray) -> ComplexArray:
    spoilt = samples.copy()
    spoilt[HEADER] = complex_noise(np.random.default_rng(3), HEADER.stop - HEADER.start, 1.0)
    return spoilt


def stream(bursts: Sequence[ComplexArray], noise_var: float = 0.05) -> ComplexArray:
    gap = np.zeros(GAP, np.complex64)
    samples = np.concatenate([gap, *(piece for one in bursts for piece in (one, gap))])
    noise = complex_noise(np.random.default_rng(1), len(samples), noise_var)
    return np.asarray(samples + noise, np.complex64)


def find(samples: ComplexArray, chunk_len: int = 10**9, first: int = 0) -> list[Specimen]:
    finder, found = SpecimenFinder(first), []
    for at in range(0, len(samples), chunk_len):
        found += finder.push(samples[at : at + chunk_len])
    return found + finder.flush()


@pytest.mark.parametrize("chunk_len", [37, 4096, 70_000])
def test_chunk_sizes_change_nothing(chunk_len: int) -> None:
    samples = stream([burst(0), with_a_wrong_header(burst(1)), burst(2)])
    whole, pieces = find(samples), find(samples, chunk_len)
    assert [type(one.found) for one in whole] == [Capture, Miss, Capture]
    assert [(one.start, one.end, one.first) for one in pieces] == [(one.start, one.end, one.first) for one in whole]
    for one, other in zip(pieces, whole, strict=True):
        assert np.array_equal(one.samples, other.samples)


def test_samples_around_a_burst_are_those_of_the_stream() -> None:
    samples = stream([burst(0), burst(1)])
    for one in find(samples, 5000, first=1_000_000):
        at = one.first - 1_000_000
        assert np.array_equal(one.samples, samples[at : at + len(one.samples)])
        assert (one.start - one.first, len(one.samples)) == (MARGIN, one.end - one.start + 2 * MARGIN)


def test_a_wrong_header_is_told_once_with_its_place_and_reason() -> None:
    samples = stream([with_a_wrong_header(burst())], noise_var=0.001)
    (one,) = find(samples * np.exp(2j * np.pi * 0.03 * np.arange(len(samples))))
    assert isinstance(one.found, Miss)
    assert abs(one.start - GAP) <= 2
    assert one.found.cfo_norm == pytest.approx(0.03, abs=1e-4)
    assert one.found.fault is HeaderFault.CHECKSUM
    assert one.end - one.start == MISS_SPAN


def test_a_burst_that_the_end_cuts_off_is_kept_as_far_as_it_goes() -> None:
    samples = stream([burst()])[: GAP + 2000]
    (one,) = find(samples, 700)
    assert isinstance(one.found, Miss) and one.found.fault is None
    assert one.first + len(one.samples) == len(samples)


def test_noise_silence_and_what_is_no_number_give_nothing() -> None:
    samples = complex_noise(np.random.default_rng(5), 200_000, 1.0)
    samples[50_000:90_000] = 0
    samples[10:20] = np.nan
    samples[100:110] = np.inf
    assert find(samples, 30_000) == []


def test_memory_stays_bounded_however_long_nothing_comes() -> None:
    finder, noise = SpecimenFinder(), complex_noise(np.random.default_rng(6), 50_000, 1.0)
    for _ in range(8):
        finder.push(noise)
    assert len(finder._history) <= HISTORY
