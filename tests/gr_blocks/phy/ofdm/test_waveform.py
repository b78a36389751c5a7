# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire's fixed numbers, and the power physics that every SNR rests on."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gened.bench.link import random_frame
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import burst_grid, modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM, preamble_papr_db

PREAMBLE_QUADRANTS_SHA256 = "a1483fb7cd509b93a16f7d3b6583c332c5efe48b9720570c6ff5793231e5a284"
PILOT_QUADRANTS_SHA256 = "e291c718c2ec6af6d217784c9b43af13115b72003713256e4cada2663dd34603"


def quadrants_hash(symbols: np.ndarray) -> str:
    """Hash of QPSK symbols by quadrant, so that a last-bit difference between libraries plays no part."""
    quadrants = (2 * (symbols.imag < 0) + (symbols.real < 0)).astype(np.uint8)
    return hashlib.sha256(quadrants.tobytes()).hexdigest()


def test_preamble_and_pilots_are_those_of_the_frozen_wire() -> None:
    assert quadrants_hash(WAVEFORM.preamble_freq) == PREAMBLE_QUADRANTS_SHA256
    assert quadrants_hash(WAVEFORM.pilot_grid(100)) == PILOT_QUADRANTS_SHA256


def test_preamble_peak_is_low() -> None:
    assert preamble_papr_db(17722) < 6.2


def test_dc_and_band_edges_stay_free() -> None:
    spectrum = np.fft.fft(WAVEFORM.to_time(np.ones((1, 204)))[0])
    used = np.flatnonzero(np.abs(spectrum) > 1e-3)
    assert set(used) == {c % 256 for c in range(-102, 103) if c}


def test_every_fifth_carrier_is_a_pilot_within_four_symbols() -> None:
    mask = WAVEFORM.pilot_mask(8)
    assert np.array_equal(np.flatnonzero(mask[:4].any(0)), np.arange(0, 204, 5))
    assert np.array_equal(mask[:4], mask[4:])
    assert mask.mean() == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize("n_elements", [0, 1, 193, 194, 195, 774, 775, 776, 8192, 9232])
def test_symbol_count_is_the_smallest_that_holds_the_cells(n_elements: int) -> None:
    n = WAVEFORM.n_payload_symbols(n_elements)
    room = (~WAVEFORM.pilot_mask(3 + n)[3:]).sum(1)
    assert room.sum() >= n_elements
    assert n == 0 or room[:-1].sum() < n_elements


def test_cells_survive_the_trip_to_samples_and_back_with_their_power() -> None:
    rng = np.random.default_rng(0)
    cells = np.exp(2j * np.pi * rng.random((50, 204)))
    samples = WAVEFORM.to_time(cells)
    assert np.mean(np.abs(samples) ** 2) == pytest.approx(1, rel=1e-5)
    assert np.allclose(WAVEFORM.to_freq(samples), cells, atol=1e-5)


def test_a_burst_has_mean_power_one_and_the_length_that_is_announced() -> None:
    content = plan_bursts(random_frame(0, np.random.default_rng(1)))[0]
    samples = modulate_burst(content)
    assert samples.dtype == np.complex64
    assert len(samples) == WAVEFORM.burst_len(content.header.n_elements)
    assert np.mean(np.abs(samples) ** 2) == pytest.approx(1, abs=0.02)
    body = samples[WAVEFORM.preamble_len :].reshape(-1, WAVEFORM.symbol_len)
    assert np.array_equal(body[:, :16], body[:, -16:])
    assert np.array_equal(samples[16:272], samples[272:528])
    assert np.array_equal(samples[:16], samples[256:272])


def test_payload_cells_stand_in_time_order_behind_the_header() -> None:
    content = plan_bursts(random_frame(0, np.random.default_rng(1)), version=1)[0]
    grid = burst_grid(content)
    mask = WAVEFORM.pilot_mask(len(grid))
    assert np.array_equal(grid[3:][~mask[3:]][: len(content.symbols)], content.symbols)
    assert np.array_equal(grid[mask], WAVEFORM.pilot_grid(len(grid))[mask])


@pytest.mark.parametrize("snr_db", [-2.0, 0.0, 10.0])
def test_snr_is_energy_over_noise_on_an_occupied_carrier(snr_db: float) -> None:
    rng = np.random.default_rng(2)
    variance = WAVEFORM.noise_var_per_sample(snr_db)
    noise = np.sqrt(variance / 2) * (rng.standard_normal((2000, 256)) + 1j * rng.standard_normal((2000, 256)))
    measured = np.mean(np.abs(WAVEFORM.to_freq(noise)) ** 2)  # cells have energy 1
    assert -10 * np.log10(measured) == pytest.approx(snr_db, abs=0.03)
    assert WAVEFORM.element_noise_var(variance) == pytest.approx(10 ** (-snr_db / 10))
