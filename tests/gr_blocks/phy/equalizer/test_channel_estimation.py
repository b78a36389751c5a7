# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels that move within a burst, and bursts at any level."""

from __future__ import annotations

import numpy as np
import pytest

from gened.bench.link_conditions import Condition, chosen
from gened.bench.link_frames import random_frame
from gened.bench.link_rows import measure
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.resource_grid import resource_grid_of
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray


def condition(name: str) -> Condition:
    (one,) = chosen([name])
    return one


@pytest.mark.parametrize(
    ("name", "snr_db", "limit_db"),
    [("doppler-10", 10.0, 0.5), ("tdl-a-1-doppler-10", 10.0, 0.8), ("tdl-a-1-doppler-50", 10.0, 1.4),
     ("tdl-a-1-doppler-10", 20.0, 0.9), ("tdl-a-1-doppler-50", 20.0, 1.8)],
)  # fmt: skip
def test_a_channel_that_moves_is_followed_and_the_claims_stay_true(name: str, snr_db: float, limit_db: float) -> None:
    row = measure(condition(name), snr_db, 8, seed=5)
    assert row.snr_loss_symbol_db is not None and row.snr_loss_symbol_db < limit_db
    assert row.noise_var_bias_db == pytest.approx(0, abs=0.7)


@pytest.mark.parametrize("snr_db", [4.0, 10.0, 20.0])
def test_claims_hold_in_a_selective_channel_for_every_quarter_of_the_symbols(snr_db: float) -> None:
    row = measure(condition("tdl-a-1"), snr_db, 8, seed=6)
    assert row.noise_var_quartiles_db == pytest.approx([0, 0, 0, 0], abs=0.75)


@pytest.mark.parametrize(("name", "snr_db"), [("collision", 10.0), ("collision", 20.0), ("narrow-band", 10.0)])
def test_what_others_hit_is_told_as_such(name: str, snr_db: float) -> None:
    """One noise variance for all of a burst would be off by 2 to 6 dB where others are, and where they are not."""
    row = measure(condition(name), snr_db, 8, seed=7)
    assert row.noise_var_quartiles_db == pytest.approx([0, 0, 0, 0], abs=0.75)
    assert row.caption_error_rate == 0


def test_a_mixers_leakage_is_taken_off_wherever_the_carrier_offset_puts_it() -> None:
    row = measure(condition("dc"), 20.0, 8, seed=8)
    assert row.snr_loss_db is not None and row.snr_loss_db < 0.75


def captured(samples: ComplexArray, cfo_norm: float = 0.0) -> Capture:
    content = plan_bursts(random_frame(0, np.random.default_rng(1), n_analog=600))[0]
    rotated = samples * np.exp(2j * np.pi * cfo_norm * np.arange(len(samples)))
    return Capture(rotated.astype(np.complex64), 0, content.header, 0.0)


@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0, 1e4])
def test_a_burst_reads_the_same_at_any_level(level: float) -> None:
    content = plan_bursts(random_frame(0, np.random.default_rng(1), n_analog=600))[0]
    burst = modulate_burst(content)
    burst = burst + complex_noise(np.random.default_rng(2), len(burst), 0.01)
    expected, got = demodulate(captured(burst)), demodulate(captured(np.float32(level) * burst))
    assert got.symbols == pytest.approx(expected.symbols, abs=1e-4)
    assert got.noise_var == pytest.approx(expected.noise_var, rel=1e-3)
    assert got.snr_est_db == pytest.approx(expected.snr_est_db, abs=1e-3)
    assert np.abs(got.h_hat) == pytest.approx(level * np.abs(expected.h_hat), rel=1e-3)


def test_a_carrier_offset_that_the_detector_left_is_taken_off_before_carriers_leak() -> None:
    content = plan_bursts(random_frame(0, np.random.default_rng(1), n_analog=600))[0]
    burst = modulate_burst(content, reduces_papr=False)
    got = demodulate(captured(burst, cfo_norm=2e-4))
    assert got.cfo_norm == pytest.approx(2e-4, abs=1e-7)
    assert np.mean(np.abs(got.symbols - content.symbols) ** 2) < 1e-5


@pytest.mark.parametrize("reduces_papr", [False, True])
def test_a_short_burst_tells_its_snr_by_its_header_whatever_was_done_about_peaks(reduces_papr: bool) -> None:
    """Seventy pilots alone would scatter by 0.5 dB, and a header that is off by its peaks would be 0.8 dB of noise."""
    found = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        content = plan_bursts(random_frame(seed, rng, n_analog=600, snr_design_db=10.0))[0]
        burst = modulate_burst(content, reduces_papr=reduces_papr)
        burst = burst + complex_noise(rng, len(burst), WAVEFORM.noise_var_per_sample(10.0))
        found.append(demodulate(Capture(burst.astype(np.complex64), 0, content.header, 0.0)).snr_est_db)
    assert np.mean(found) == pytest.approx(9.87 if reduces_papr else 10.0, abs=0.15)
    assert np.std(found) < 0.32


def test_silence_and_noise_behind_a_header_give_numbers() -> None:
    content = plan_bursts(random_frame(0, np.random.default_rng(1), n_analog=600))[0]
    n = WAVEFORM.burst_len(content.header.n_elements)
    for samples in (np.zeros(n, np.complex64), complex_noise(np.random.default_rng(3), n, 1.0).astype(np.complex64)):
        got = demodulate(captured(samples))
        assert np.isfinite(got.symbols).all()
        assert not np.isnan(got.noise_var).any()
        assert (got.noise_var > 0).all()


def test_a_resource_grid_lists_its_cells_in_the_order_in_which_they_are_filled() -> None:
    resource_grid = resource_grid_of(9)
    assert len(resource_grid.reference_index) + len(resource_grid.payload_index) == 9 * WAVEFORM.n_occupied
    assert (np.diff(resource_grid.payload_index) > 0).all() and resource_grid.payload_index[
        0
    ] >= 3 * WAVEFORM.n_occupied
    assert np.array_equal(resource_grid.n_payload, (~resource_grid.is_pilot[3:]).sum(0))
    assert resource_grid.sum_symbols(np.ones(len(resource_grid.rows))).tolist() == resource_grid.n_reference.tolist()
    assert np.array_equal(
        resource_grid.sum_carriers(np.ones(len(resource_grid.rows), complex)).real, np.bincount(resource_grid.columns)
    )
