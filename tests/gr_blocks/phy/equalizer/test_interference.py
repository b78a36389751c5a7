# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else is in the band: found where it is, at the level it has, and not where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.channel_estimation import BurstChannelEstimate, ReferenceSymbols
from gened.gr_blocks.phy.equalizer.interference import Interference, detect_interference
from gened.gr_blocks.phy.ofdm.resource_grid import ResourceGrid, resource_grid_of
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM

N_SYMBOLS = 40
NOISE_VAR = 0.1


def arrived(resource_grid: ResourceGrid, extra: Any = 0.0, seed: int = 0) -> Interference:
    """A burst through a channel of gain 1 with noise of variance `NOISE_VAR + extra`, [n_symbols, 204] or one."""
    rng = np.random.default_rng(seed)
    shape = (resource_grid.n_symbols, WAVEFORM.n_occupied)
    sent = complex_noise(rng, int(np.prod(shape)), 1.0)
    sent[resource_grid.reference_index] /= np.abs(sent[resource_grid.reference_index])
    noise = complex_noise(rng, len(sent), 1.0) * np.sqrt(np.broadcast_to(NOISE_VAR + extra, shape).ravel())
    grid = (sent + noise).reshape(shape)
    z = (grid.ravel() * np.conj(sent))[resource_grid.reference_index]
    trust = np.ones(len(z)), np.ones(WAVEFORM.n_occupied)
    reference = ReferenceSymbols(
        z.astype(np.complex64), trust[0], trust[0], np.zeros(WAVEFORM.n_occupied, complex), trust[1]
    )
    ones, nothing = np.ones(WAVEFORM.n_occupied, complex), np.zeros(WAVEFORM.n_occupied)
    level = float(np.mean(np.abs(z - 1) ** 2))  # what a fit that knows of nothing else would say
    estimate = BurstChannelEstimate(ones, nothing, level, level, np.zeros(resource_grid.n_symbols), 0.0)
    return detect_interference(resource_grid, reference, estimate, grid)


def test_plain_noise_is_taken_for_plain_noise() -> None:
    """Of 100 bursts none has a stretch or three carriers of its own."""
    for seed in range(100):
        found = arrived(resource_grid_of(N_SYMBOLS), seed=seed)
        assert not found.symbol_var.any()
        assert np.count_nonzero(found.carrier_var) < 3
        assert found.noise_var == pytest.approx(NOISE_VAR, rel=0.15)


def test_a_narrow_band_is_found_on_its_carriers_and_leaves_the_background_alone() -> None:
    extra = np.zeros(WAVEFORM.n_occupied)
    extra[[57, 58, 59]] = 4.0, 9.0, 3.0
    found = arrived(resource_grid_of(N_SYMBOLS), extra)
    assert np.flatnonzero(found.carrier_var).tolist() == [57, 58, 59]
    assert found.carrier_var[57:60] == pytest.approx(extra[57:60], rel=0.5)
    assert found.noise_var == pytest.approx(NOISE_VAR, rel=0.1)
    assert not found.symbol_var.any()


@pytest.mark.parametrize(("begin", "end"), [(3, 20), (15, 30), (25, 40)])
def test_a_burst_over_a_part_of_ours_is_found_where_it_is(begin: int, end: int) -> None:
    extra = np.zeros((N_SYMBOLS, 1))
    extra[begin:end] = 0.2
    found = arrived(resource_grid_of(N_SYMBOLS), extra, seed=1)
    hit = np.flatnonzero(found.symbol_var)
    assert abs(int(hit[0]) - begin) <= 1
    assert abs(int(hit[-1]) + 1 - end) <= 1
    assert found.symbol_var[hit] == pytest.approx(0.2, rel=0.25)
    assert found.noise_var == pytest.approx(NOISE_VAR, rel=0.15)


def test_both_at_once_and_trust_in_known_cells_falls_with_what_hits_them() -> None:
    resource_grid = resource_grid_of(N_SYMBOLS)
    extra = np.zeros((N_SYMBOLS, WAVEFORM.n_occupied))
    extra[20:] += 0.3
    extra[:, 100] += 5.0
    found = arrived(resource_grid, extra, seed=2)
    assert found.is_present
    weight = found.reference_weight(resource_grid)
    in_both = (resource_grid.rows >= 20) & (resource_grid.columns == 100)
    clean = (resource_grid.rows < 19) & (resource_grid.columns != 100)
    assert weight[clean].min() > 0.9
    assert weight[in_both].max() < 0.05
    assert found.element_var()[30, 3] == pytest.approx(0.4, rel=0.2)


def test_strong_symbols_are_not_taken_for_interference() -> None:
    """Analogue symbols whose powers spread far more than a Gaussian's."""
    resource_grid, rng = resource_grid_of(N_SYMBOLS), np.random.default_rng(3)
    n_hit = 0
    for _ in range(20):
        shape = (resource_grid.n_symbols, WAVEFORM.n_occupied)
        sent = complex_noise(rng, int(np.prod(shape)), 1.0) * np.where(rng.random(int(np.prod(shape))) < 0.05, 4.4, 0.2)
        sent[resource_grid.reference_index] /= np.abs(sent[resource_grid.reference_index])
        grid = (sent + complex_noise(rng, len(sent), NOISE_VAR)).reshape(shape)
        z = (grid.ravel() * np.conj(sent))[resource_grid.reference_index]
        reference = ReferenceSymbols(
            z.astype(np.complex64), np.ones(len(z)), np.ones(len(z)), np.zeros(204, complex), np.ones(204)
        )
        level = float(np.mean(np.abs(z - 1) ** 2))
        estimate = BurstChannelEstimate(
            np.ones(204, complex), np.zeros(204), level, level, np.zeros(resource_grid.n_symbols), 0.0
        )
        n_hit += np.count_nonzero(detect_interference(resource_grid, reference, estimate, grid).carrier_var)
    assert n_hit <= 4  # of 4080 carriers


@pytest.mark.parametrize("n_symbols", [3, 4, 5])
def test_the_shortest_bursts_have_an_answer(n_symbols: int) -> None:
    found = arrived(resource_grid_of(n_symbols))
    assert np.isfinite(found.element_var()).all()
    assert found.element_var().shape == (n_symbols, WAVEFORM.n_occupied)
