# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of bursts: lower, inside the band, at a price that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gened.bench.link import random_frame
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import burst_grid, modulate_burst
from gened.gr_blocks.phy.ofdm.papr_reduction import (
    CODED_MARGIN_DB,
    MAX_EXCESS_DB,
    clip_and_filter,
    clipping_error_var,
    clipping_limit_db,
    papr_db,
    reduce_papr,
)
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray


def content(number: int, snr_db: float = 10.0) -> BurstContent:
    return plan_bursts(random_frame(number, np.random.default_rng(number), snr_design_db=snr_db))[0]


def mean_papr_db(snr_db: float, *, reduces: bool) -> float:
    return float(np.mean([papr_db(modulate_burst(content(i, snr_db), reduces_papr=reduces)) for i in range(6)]))


def test_papr_is_that_of_known_signals() -> None:
    tone = np.exp(2j * np.pi * 0.1 * np.arange(1000)).astype(np.complex64)
    assert papr_db(tone) == pytest.approx(0, abs=0.01)
    two_tones = tone + np.exp(-2j * np.pi * 0.3 * np.arange(1000))
    assert papr_db(two_tones) == pytest.approx(3.01, abs=0.02)
    noise = np.random.default_rng(1).standard_normal(2 * 40_000).view(np.complex128)
    assert papr_db(noise) == pytest.approx(10 * np.log10(np.log(1000)), abs=0.15)  # an exponential's 99.9 % point


def test_peaks_fall_by_nearly_two_decibels() -> None:
    assert mean_papr_db(10.0, reduces=False) == pytest.approx(8.4, abs=0.2)
    assert mean_papr_db(10.0, reduces=True) < 6.7
    assert mean_papr_db(20.0, reduces=True) < 7.5


@pytest.mark.parametrize(("snr_db", "error_db"), [(0.0, -22), (10.0, -22), (20.0, -27)])
def test_the_error_lies_far_under_the_noise_of_the_design_snr(snr_db: float, error_db: float) -> None:
    grid = burst_grid(content(1, snr_db))
    changed = reduce_papr(grid, snr_db)
    error = np.mean(np.abs(changed - grid) ** 2) / np.mean(np.abs(grid) ** 2)
    assert 10 * np.log10(error) < error_db


def test_what_was_meant_keeps_its_strength_in_every_symbol_and_the_power_stays() -> None:
    grid = burst_grid(content(2))
    changed = reduce_papr(grid, 10.0)
    common = np.sum(changed * np.conj(grid), axis=1).real / np.sum(np.abs(grid) ** 2, axis=1)
    assert common == pytest.approx(common[0], abs=1e-5)
    assert 0.99 < common[0] < 1
    assert np.mean(np.abs(changed) ** 2) == pytest.approx(np.mean(np.abs(grid) ** 2), rel=1e-5)


def test_pilots_bear_as_much_of_the_error_as_the_payload() -> None:
    grid = burst_grid(content(2))
    error, pilots = np.abs(reduce_papr(grid, 10.0) - grid)[3:] ** 2, WAVEFORM.pilot_mask(len(grid))[3:]
    assert np.mean(error[pilots]) == pytest.approx(np.mean(error[~pilots]), rel=0.2)


def test_symbols_with_coded_cells_are_spared_where_their_peaks_were_the_highest() -> None:
    """Text and side information of a burst for 20 dB; the picture's symbols may miss by more."""
    worst = {"coded": 0.0, "picture": 0.0}
    for number in range(8):
        sent = content(number, 20.0)
        grid, n_header = burst_grid(sent), WAVEFORM.n_header_symbols
        n_coded = WAVEFORM.n_payload_symbols(sent.header.n_side + sent.header.n_text)
        coded = slice(n_header, n_header + n_coded)
        share = np.mean(np.abs(reduce_papr(grid, 20.0, coded) - grid) ** 2, axis=1) / np.mean(np.abs(grid) ** 2, axis=1)
        worst["coded"] = max(worst["coded"], float(share[coded].max()))
        worst["picture"] = max(worst["picture"], float(share[coded.stop :].max()))
    assert 10 * np.log10(worst["coded"]) < -20 - CODED_MARGIN_DB + 0.2
    assert 10 * np.log10(worst["picture"]) > -20 - CODED_MARGIN_DB + 3


def test_what_a_symbol_becomes_depends_on_that_symbol_alone() -> None:
    grid = burst_grid(content(5))
    assert np.allclose(clip_and_filter(grid[:3], 10.0), clip_and_filter(grid, 10.0)[:3], atol=1e-6)


def test_nothing_leaves_the_occupied_carriers() -> None:
    body = modulate_burst(content(3))[WAVEFORM.preamble_len :].reshape(-1, WAVEFORM.symbol_len)
    spectrum = np.fft.fft(body[:, WAVEFORM.cp_len :], axis=1)
    is_ours = np.isin(np.arange(WAVEFORM.n_fft), WAVEFORM.bins)
    outside, inside = (np.mean(np.abs(spectrum[:, mine]) ** 2) for mine in (~is_ours, is_ours))
    assert 10 * np.log10(outside / inside) < -100


def test_the_limit_rises_with_the_snr_and_stays_outside_of_its_range() -> None:
    limits = [clipping_limit_db(snr_db) for snr_db in (-5.0, 10.0, 15.0, 20.0, 30.0)]
    assert limits == sorted(limits)
    assert limits[0] == limits[1] < limits[2] < limits[3] == limits[4]


@pytest.mark.parametrize("value", [0.0, 1e-20])
def test_cells_of_no_energy_stay_as_they_are(value: float) -> None:
    grid = np.full((2, WAVEFORM.n_occupied), value, np.complex64)
    changed: ComplexArray = reduce_papr(grid, 10.0)
    assert np.isfinite(changed).all()
    assert np.abs(changed).max() <= 2 * value


def test_a_receiver_reads_both_kinds_of_bursts() -> None:
    frame = random_frame(4, np.random.default_rng(4), snr_design_db=10.0)
    gap = np.zeros(800, np.complex64)
    for reduces in (False, True):
        burst = modulate_burst(plan_bursts(frame)[0], reduces_papr=reduces)
        receiver = Receiver()
        (got,) = [*receiver.push(np.concatenate([gap, burst, gap])), *receiver.flush()]
        assert got.text == frame.text
        error = np.mean(np.abs(got.received.symbols - frame.encoded.symbols) ** 2)
        assert 10 * np.log10(error) < (-22 if reduces else -40)


def with_few_strong_symbols(number: int, snr_db: float) -> BurstContent:
    """One symbol in a hundred has nearly all of the power."""
    rng, frame = np.random.default_rng(number), random_frame(number, np.random.default_rng(number))
    power = np.where(rng.random(8192) < 0.01, 100, 1e-3)
    symbols = frame.encoded.symbols * np.sqrt(power / np.mean(power))
    encoded = replace(frame.encoded, symbols=symbols.astype(np.complex64))
    return plan_bursts(replace(frame, encoded=encoded, snr_design_db=snr_db))[0]


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
def test_the_error_is_bounded_where_few_symbols_have_most_of_the_power(snr_db: float) -> None:
    grid = burst_grid(with_few_strong_symbols(3, snr_db))
    coded = slice(3, 9)

    def error_of(clipped: ComplexArray) -> float:
        return float(10 * np.log10(np.mean(np.abs(clipped - grid)[coded.stop :] ** 2) / clipping_error_var(snr_db)))

    assert error_of(clip_and_filter(grid, snr_db, coded)) > MAX_EXCESS_DB + 1
    assert error_of(reduce_papr(grid, snr_db, coded)) == pytest.approx(MAX_EXCESS_DB, abs=0.1)


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
def test_the_bound_leaves_bursts_of_gaussian_symbols_as_they_are(snr_db: float) -> None:
    grid = burst_grid(content(1, snr_db))
    clipped = clip_and_filter(grid, snr_db)
    scale = np.vdot(clipped, reduce_papr(grid, snr_db)) / np.vdot(clipped, clipped)
    assert np.allclose(reduce_papr(grid, snr_db), scale * clipped, atol=1e-6)
