# SPDX-License-Identifier: GPL-3.0-or-later
"""The digital code of any rate: what it carries, that both ends agree, that it holds as promised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gened.bench.nr_thresholds import mutual_information
from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding import digital_code
from gened.gr_blocks.phy.coding.digital_code import DigitalCode, choose_code, required_snr_cdb


def received(code: DigitalCode, payload: bytes, snr_db: float, seed: int) -> bytes | None:
    noise_var = 10 ** (-snr_db / 10)
    symbols = code.transmit(payload)
    noisy = symbols + complex_noise(np.random.default_rng(seed), len(symbols), noise_var)
    return code.receive(noisy, np.full(len(symbols), noise_var, np.float32))


@pytest.mark.parametrize("n_symbols", [400, 3000, 15000])
@pytest.mark.parametrize("snr_db", [-4.0, 1.0, 4.0, 10.0, 20.0])
def test_at_most_one_payload_in_a_hundred_is_lost(n_symbols: int, snr_db: float) -> None:
    code = choose_code(n_symbols, snr_db)
    assert code is not None and code.n_symbols == n_symbols
    n_frames = 100 if n_symbols < 1000 else 30
    rng = np.random.default_rng(n_symbols)
    lost = 0
    for seed in range(n_frames):
        payload = rng.bytes(code.n_bytes)
        lost += received(code, payload, snr_db, seed) != payload
    assert lost <= 3  # at 1 %, four of a hundred have a probability of 2 %


@pytest.mark.parametrize("snr_db", [1.0, 4.0, 7.0, 10.0])
def test_a_picture_s_payload_reaches_seven_tenths_of_the_capacity(snr_db: float) -> None:
    code = choose_code(4000, snr_db)
    assert code is not None
    most = max(mutual_information(m, snr_db) for m in (2, 4, 6, 8))
    assert 8 * code.n_bytes / code.n_symbols > 0.7 * most


def test_more_symbols_and_more_signal_carry_more() -> None:
    by_symbols = [choose_code(n, 4.0) for n in (300, 600, 1200, 2400, 4800, 9600)]
    by_snr = [choose_code(2400, snr_db) for snr_db in range(-8, 24, 2)]
    for codes in (by_symbols, by_snr):
        sizes = [code.n_bytes for code in codes if code is not None]
        assert len(sizes) == len(codes) and sizes == sorted(sizes) and len(set(sizes)) == len(sizes)


def test_a_smaller_loss_carries_less() -> None:
    sizes = [choose_code(2400, 4.0, loss).n_bytes for loss in (0.3, 0.01, 0.001, 1e-6)]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]


def test_short_payloads_come_back_with_zeros_behind() -> None:
    code = choose_code(1000, 10.0)
    assert code is not None
    found = received(code, b"short", 10.0, 1)
    assert found is not None and found.rstrip(b"\0") == b"short" and len(found) == code.n_bytes


def test_noise_alone_is_no_payload() -> None:
    code = choose_code(1000, 4.0)
    assert code is not None
    rng = np.random.default_rng(1)
    for _ in range(20):
        noise = complex_noise(rng, 1000, 1.0)
        assert code.receive(noise, np.full(1000, 0.4, np.float32)) is None
    assert code.receive(np.zeros(1000, np.complex64), np.full(1000, np.inf, np.float32)) is None
    assert code.receive(np.full(1000, np.nan, np.complex64), np.full(1000, 0.1, np.float32)) is None


def test_symbols_have_unit_energy_even_for_zeros() -> None:
    code = choose_code(4000, 10.0)
    assert code is not None
    assert np.mean(np.abs(code.transmit(b"")) ** 2) == pytest.approx(1.0, abs=0.03)


def test_what_no_code_can_do_is_none_or_one_line() -> None:
    assert choose_code(50, 0.0) is None
    assert choose_code(1000, -20.0) is None
    with pytest.raises(ConfigError, match="a loss of 0.7"):
        choose_code(1000, 0.0, 0.7)
    code = choose_code(1000, 4.0)
    assert code is not None
    with pytest.raises(ConfigError, match="this code carries"):
        code.transmit(bytes(code.n_bytes + 1))


def test_several_blocks_need_more_signal_than_one() -> None:
    assert required_snr_cdb(2, 32, 40_000) > required_snr_cdb(2, 32, 8_000)


def test_the_table_says_where_it_comes_from() -> None:
    table = json.loads((Path(digital_code.__file__).parent / "nr_thresholds.json").read_text())
    assert "nr_thresholds" in table["meta"]["command"] and table["meta"]["commit"]
    assert len(table["block_bits"]) >= 4
