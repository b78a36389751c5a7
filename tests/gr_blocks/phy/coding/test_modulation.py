# SPDX-License-Identifier: GPL-3.0-or-later
"""Modems: the constellation by eye, its energy, Gray order, soft values against scikit-commpy and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from commpy.modulation import Modem
from scipy.special import logsumexp
from scipy.stats import norm

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.modulation import BITS_PER_SYMBOL, demodulate, modulate


def all_words(bits_per_symbol: int) -> np.ndarray:
    """Every word of a modulation, [2^m, m]."""
    return ((np.arange(2**bits_per_symbol)[:, None] >> np.arange(bits_per_symbol)[::-1]) & 1).astype(np.uint8)


def noise(n: int, variance: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sqrt(variance / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))


def test_points_that_one_can_check_by_eye() -> None:
    assert modulate(np.array([0, 1], np.uint8), 1).tolist() == [1, -1]
    assert np.allclose(modulate(np.array([0, 0, 0, 1, 1, 0], np.uint8), 2) * np.sqrt(2), [1 + 1j, 1 - 1j, -1 + 1j])
    assert np.allclose(modulate(np.array([0, 0, 0, 1, 1, 1, 1, 0], np.uint8), 4) * np.sqrt(10), [1 + 3j, -3 - 1j])
    assert np.allclose(modulate(np.array([0, 0, 0, 1, 1, 1], np.uint8), 6) * np.sqrt(42), [3 - 7j])


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_constellation_has_unit_energy_and_distinct_points(m: int) -> None:
    points = modulate(all_words(m).ravel(), m)
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, rel=1e-6)
    assert len(np.unique(np.round(points, 4))) == 2**m


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_nearest_neighbours_differ_in_one_bit(m: int) -> None:
    words = all_words(m)
    points = modulate(words.ravel(), m)
    distance = np.abs(points[:, None] - points)
    neighbours = np.isclose(distance, distance[distance > 1e-6].min(), rtol=1e-3)
    assert np.all((words[:, None] != words).sum(2)[neighbours] == 1)


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_bits_come_back_and_positive_means_one(m: int) -> None:
    bits = all_words(m).ravel()
    llr = demodulate(modulate(bits, m), np.full(2**m, 0.1 if m < 8 else 0.01), m)
    assert np.array_equal(llr > 0, bits == 1)


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_soft_values_are_those_of_commpy(m: int) -> None:
    modem = Modem(modulate(all_words(m).ravel(), m).astype(complex), reorder_as_gray=False)
    bits = np.random.default_rng(m).integers(0, 2, 120 * m)
    sent = modulate(bits.astype(np.uint8), m)
    assert np.allclose(sent, modem.modulate(bits), atol=1e-6)
    variance = 0.08
    received = (sent + noise(len(sent), variance, m)).astype(np.complex64)
    theirs = np.asarray(modem.demodulate(received, "soft", variance))
    assert np.allclose(demodulate(received, np.full(len(received), variance), m), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_soft_values_are_exact_with_a_noise_of_each_symbols_own(m: int) -> None:
    """By brute force over all points; one variance for all would be off by their ratio."""
    rng = np.random.default_rng(40 + m)
    words = all_words(m)
    points = modulate(words.ravel(), m).astype(complex)
    variance = rng.choice([0.02, 0.2, 2.0], 60)
    received = points[rng.integers(0, 2**m, 60)] + np.sqrt(variance / 2) * (noise(60, 2.0, m))
    exponent = -(np.abs(received[:, None] - points) ** 2) / variance[:, None]
    expected = [[logsumexp(e[bit == 1]) - logsumexp(e[bit == 0]) for bit in words.T] for e in exponent]
    assert np.allclose(demodulate(received.astype(np.complex64), variance, m), np.ravel(expected), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("m", [1, 2])
def test_binary_soft_values_mean_what_they_say(m: int) -> None:
    """Of bits with LLR about L, a share 1 / (1 + exp(-L)) is one: so real and complex noise are not mixed up."""
    bits = np.random.default_rng(1).integers(0, 2, 200_000, dtype=np.uint8)
    variance = 0.5 * m
    sent = modulate(bits, m)
    llr = demodulate((sent + noise(len(sent), variance, 2)).astype(np.complex64), np.full(len(sent), variance), m)
    for low in (-3.0, -1.0, 0.5, 2.0):
        inside = (llr > low) & (llr < low + 0.5)
        assert bits[inside].mean() == pytest.approx(1 / (1 + np.exp(-low - 0.25)), abs=0.015)


def test_uncoded_error_rates_are_those_of_the_text_books() -> None:
    bits = np.random.default_rng(3).integers(0, 2, 240_000, dtype=np.uint8)
    for m, snr_db, theory in (
        (1, 4.0, norm.sf(np.sqrt(2 * 10**0.4))),
        (2, 7.0, norm.sf(np.sqrt(10**0.7))),
        (4, 12.0, 0.75 * norm.sf(np.sqrt(10**1.2 / 5))),  # nearest neighbours alone
    ):
        sent = modulate(bits, m)
        variance = 10 ** (-snr_db / 10)
        llr = demodulate((sent + noise(len(sent), variance, 4)).astype(np.complex64), np.full(len(sent), variance), m)
        assert np.mean((llr > 0) != bits) == pytest.approx(theory, rel=0.12)


@pytest.mark.parametrize("m", BITS_PER_SYMBOL)
def test_lost_and_broken_symbols_say_nothing(m: int) -> None:
    symbols = np.array([1, np.nan, np.inf, 1, 1e30], np.complex64)
    noise_var = np.array([np.inf, 0.1, 0.1, np.nan, 0.1], np.float32)
    assert np.array_equal(demodulate(symbols, noise_var, m), np.zeros(5 * m))


@pytest.mark.parametrize("variance", [0.0, -1.0, 1e-30])
def test_soft_values_stay_finite_without_noise(variance: float) -> None:
    llr = demodulate(modulate(np.array([1, 0, 1, 1], np.uint8), 4), np.array([variance]), 4)
    assert np.all(np.abs(llr) == 1e4)
    assert (llr > 0).tolist() == [True, False, True, True]


def test_a_partial_symbol_is_filled_with_zeros() -> None:
    assert np.array_equal(modulate(np.array([1, 1], np.uint8), 4), modulate(np.array([1, 1, 0, 0], np.uint8), 4))


def test_unknown_modulation_names_the_known_ones() -> None:
    for call in (
        lambda: modulate(np.zeros(3, np.uint8), 3),
        lambda: demodulate(np.zeros(1, np.complex64), np.ones(1), 3),
    ):
        with pytest.raises(ConfigError, match="known are 1, 2, 4, 6"):
            call()
