# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at a radio's samples: levels, full scale, lines, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from gnuradio import blocks, gr

from gened.gr_blocks.signal_probe import N_TOGETHER, signal_probe

N = 64 * N_TOGETHER


def noise(rng: np.random.Generator, power: float, n: int = N) -> np.ndarray:
    values = rng.standard_normal((n, 2)) * np.sqrt(power / 2)
    return (values[:, 0] + 1j * values[:, 1]).astype(np.complex64)


def probed(samples: np.ndarray) -> signal_probe:
    """A probe that a flowgraph has shown these samples."""
    top, probe = gr.top_block(), signal_probe(1e6)
    top.connect(blocks.vector_source_c(samples.tolist(), False), probe)
    top.run()
    return probe


def test_noise_is_no_signal(rng: np.random.Generator) -> None:
    level = probed(noise(rng, 1e-4)).level()
    assert level is not None and not level.has_signal
    assert level.mean_db == pytest.approx(-40, abs=0.1) and level.floor_db == pytest.approx(-40, abs=0.6)


def test_a_short_burst_in_noise_is_a_signal(rng: np.random.Generator) -> None:
    samples = noise(rng, 1e-4)
    samples[100_000:102_000] += noise(rng, 1e-2, 2000)
    level = probed(samples).level()
    assert level is not None and level.has_signal and level.loud_share == pytest.approx(2000 / N, rel=0.3)


def test_a_steady_tone_is_a_signal_with_a_place(rng: np.random.Generator) -> None:
    tone = 0.02 * np.exp(2j * np.pi * 0.125 * np.arange(N))
    level = probed((noise(rng, 1e-4) + tone).astype(np.complex64)).level()
    assert level is not None and level.has_signal and level.loud_share == 0
    assert level.line_hz == pytest.approx(125e3, abs=4000)


def test_a_constant_offset_is_the_receivers_own(rng: np.random.Generator) -> None:
    level = probed(noise(rng, 1e-4) + np.complex64(0.02)).level()
    assert level is not None and not level.has_signal


@pytest.mark.parametrize("value", [1.0, -1.0, 2047 / 2048, 1j * 32767 / 32768])
def test_each_sample_at_full_scale_is_counted_once(rng: np.random.Generator, value: complex) -> None:
    samples = noise(rng, 1e-6)
    samples[[5, 70_000, 70_001]] = value
    assert probed(samples).n_full_scale == 3


def test_what_lies_below_full_scale_is_not_counted(rng: np.random.Generator) -> None:
    samples = np.full(N, 0.99 + 0.99j, np.complex64)
    assert probed(samples).n_full_scale == 0


def test_what_is_no_number_does_no_harm(rng: np.random.Generator) -> None:
    samples = noise(rng, 1e-4)
    samples[1000] = complex(np.nan, np.inf)
    probe = probed(samples)
    level = probe.level()
    assert level is not None and np.isfinite(level.floor_db) and probe.n_samples == N


def test_a_reading_is_of_the_samples_since_the_last_one(rng: np.random.Generator) -> None:
    probe = probed(noise(rng, 1e-4))
    assert probe.level() is not None
    assert probe.level() is None
