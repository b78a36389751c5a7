# SPDX-License-Identifier: GPL-3.0-or-later
"""Digital modes: exact cost, bytes back, nothing wrong out of noise, and the SNRs of the table hold."""

from __future__ import annotations

import numpy as np
import pytest

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.ldpc import LdpcCode
from gened.gr_blocks.phy.coding.modes import (
    FADE_RESERVE_DB,
    MODE_NAMES,
    MODES,
    SIDE_MODES,
    digital_decode,
    digital_encode,
    mode,
    mode_for_snr,
    n_symbols,
    salvage,
    side_mode_for_snr,
)

LENGTHS = (1, 2, 8, 9, 20, 32, 60, 139, 140, 141, 284, 285, 600, 1000, 2047)


def through_noise(cells: np.ndarray, snr_db: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    noise_var = 10 ** (-snr_db / 10)
    noise = np.sqrt(noise_var / 2) * (rng.standard_normal(len(cells)) + 1j * rng.standard_normal(len(cells)))
    return (cells + noise).astype(np.complex64), np.full(len(cells), noise_var, np.float32)


def test_wire_numbers_are_frozen() -> None:
    assert MODE_NAMES == {
        0: "bpsk-1/2x2", 1: "bpsk-1/2", 2: "qpsk-1/2", 3: "16qam-1/2", 4: "qpsk-3/4", 5: "16qam-3/4", 6: "64qam-1/2",
        7: "64qam-3/4",
    }  # fmt: skip
    assert {name: (m.bits_per_symbol, m.code_rate, m.repetition) for name, m in MODES.items()} == {
        "bpsk-1/2x2": (1, "1/2", 2),
        "bpsk-1/2": (1, "1/2", 1),
        "qpsk-1/2": (2, "1/2", 1),
        "qpsk-3/4": (2, "3/4", 1),
        "16qam-1/2": (4, "1/2", 1),
        "16qam-3/4": (4, "3/4", 1),
        "64qam-1/2": (6, "1/2", 1),
        "64qam-3/4": (6, "3/4", 1),
    }


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("n_bytes", LENGTHS)
def test_cost_is_exact_and_bytes_come_back(name: str, n_bytes: int) -> None:
    payload = np.random.default_rng(n_bytes).bytes(n_bytes)
    cells = digital_encode(payload, name)
    assert len(cells) == n_symbols(n_bytes, name)
    assert cells.dtype == np.complex64
    assert digital_decode(cells, np.full(len(cells), 0.01, np.float32), n_bytes, name) == payload


@pytest.mark.parametrize("name", MODES)
def test_cost_never_falls_with_length_by_more_than_a_block_less_is_worth(name: str) -> None:
    costs = np.array([n_symbols(n, name) for n in range(2048)])
    assert costs[0] == 0
    assert np.all(np.diff(costs) > -100)
    bits = 8 * (np.arange(1, 2048) + 4)
    assert np.all(costs[1:] * MODES[name].info_bits_per_symbol >= bits - 8)


def test_short_caption_costs_what_the_page_says() -> None:
    assert n_symbols(20, "bpsk-1/2") == 480  # 8 (20 + 4) bits and 288 of parity, not 1440
    assert n_symbols(20, "qpsk-1/2") == 240
    assert n_symbols(20, "16qam-1/2") == 120
    assert n_symbols(20, "bpsk-1/2x2") == 960
    assert n_symbols(1, "bpsk-1/2") == 328


def test_empty_payload_costs_nothing() -> None:
    nothing = digital_encode(b"", "qpsk-1/2")
    assert len(nothing) == n_symbols(0, "qpsk-1/2") == 0
    assert digital_decode(nothing, np.zeros(0, np.float32), 0, "qpsk-1/2") == b""


@pytest.mark.parametrize("name", MODES)
def test_symbols_have_unit_energy(name: str) -> None:
    cells = digital_encode(np.random.default_rng(1).bytes(1000), name)
    assert np.mean(np.abs(cells) ** 2) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("n_bytes", [60, 600])
def test_modes_hold_at_the_snr_of_the_table(name: str, n_bytes: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        payload = rng.bytes(n_bytes)
        cells, noise_var = through_noise(digital_encode(payload, name), MODES[name].min_snr_db, rng)
        assert digital_decode(cells, noise_var, n_bytes, name) == payload


@pytest.mark.parametrize("name", MODES)
def test_table_is_not_wasteful(name: str) -> None:
    """2.5 dB below its threshold most messages of a mode are lost: the table is not merely cautious.

    Fast modes keep more in hand, for what lowered peaks cost them.
    """
    rng = np.random.default_rng(3)
    below_db = 2.5 if name in SIDE_MODES else 3.5
    n_ok = 0
    for _ in range(30):
        payload = rng.bytes(60)
        cells, noise_var = through_noise(digital_encode(payload, name), MODES[name].min_snr_db - below_db, rng)
        n_ok += digital_decode(cells, noise_var, 60, name) == payload
    assert n_ok <= 15


def test_mode_for_snr_takes_the_fastest_that_holds() -> None:
    names = list(MODES)
    chosen = [names.index(mode_for_snr(snr)) for snr in np.arange(-20, 40, 0.25)]
    assert chosen == sorted(chosen)
    # 64qam-1/2 is no faster than 16qam-3/4 and holds less, qpsk-3/4 with its reserve less than 16qam-1/2: they are
    # for who asks for them, where some carriers have faded
    by_name_alone = {"64qam-1/2", "qpsk-3/4"}
    assert {names[index] for index in chosen} == set(names) - by_name_alone
    assert mode_for_snr(0.0) in ("bpsk-1/2x2", "bpsk-1/2")
    assert mode_for_snr(float("nan")) == mode_for_snr(float("-inf")) == "bpsk-1/2x2"
    for name in set(names) - by_name_alone:
        reserve_db = 0.0 if name in SIDE_MODES else FADE_RESERVE_DB
        assert mode_for_snr(MODES[name].min_snr_db + reserve_db) == name


def test_side_information_keeps_to_the_modes_that_plans_count_with() -> None:
    at = (-4.0, -0.5, 0.0, 2.5, 3.0, 8.0, 8.5, 30.0)
    assert [side_mode_for_snr(snr_db) for snr_db in at] == [
        "bpsk-1/2x2", "bpsk-1/2x2", "bpsk-1/2", "bpsk-1/2", "qpsk-1/2", "qpsk-1/2", "16qam-1/2", "16qam-1/2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_noise_and_wrong_lengths_give_none(name: str) -> None:
    rng = np.random.default_rng(4)
    for n_bytes in (1, 60, 300):
        n = n_symbols(n_bytes, name)
        noise, _ = through_noise(np.zeros(n), 0, rng)
        assert digital_decode(noise, np.ones(n, np.float32), n_bytes, name) is None
        assert digital_decode(np.full(n, np.nan, np.complex64), np.full(n, np.nan, np.float32), n_bytes, name) is None
        assert digital_decode(noise[1:], np.ones(n - 1, np.float32), n_bytes, name) is None


def test_all_symbols_lost_give_none_and_not_the_codeword_of_zeros() -> None:
    """All zeros is a codeword, and CRC-32 of four zero bytes is not zero."""
    for n_bytes in (1, 4, 60):
        n = n_symbols(n_bytes, "qpsk-1/2")
        assert digital_decode(np.zeros(n, np.complex64), np.full(n, np.inf, np.float32), n_bytes, "qpsk-1/2") is None


@pytest.mark.parametrize("name", MODES)
def test_a_faded_run_of_symbols_is_survived(name: str) -> None:
    payload = np.random.default_rng(5).bytes(140)
    cells = digital_encode(payload, name)
    noise_var = np.full(len(cells), 0.005, np.float32)
    run = slice(len(cells) // 3, len(cells) // 3 + len(cells) // 6)
    cells[run], noise_var[run] = 0, np.inf
    assert digital_decode(cells, noise_var, 140, name) == payload


def test_long_payload_is_cut_into_blocks_of_equal_size() -> None:
    """1000 bytes and the CRC are 8032 bits: seven blocks of 1147 or 1148 bits in the code of 1152."""
    code = LdpcCode.for_payload(1148)
    assert n_symbols(1000, "bpsk-1/2") == 8032 + 7 * code.n_parity


def test_unknown_mode_lists_the_known_ones() -> None:
    for call in (lambda: mode("8psk"), lambda: n_symbols(3, "8psk"), lambda: digital_encode(b"x", "8psk")):
        with pytest.raises(ConfigError, match=", ".join(MODES)):
            call()


def test_a_payload_with_one_block_destroyed_keeps_the_others() -> None:
    """400 bytes and the CRC are three blocks; the cells of the second are lost."""
    payload = np.random.default_rng(6).bytes(400)
    cells = digital_encode(payload, "qpsk-1/2")
    noise_var = np.full(len(cells), 0.1, np.float32)
    third = len(cells) // 3
    cells[third : 2 * third], noise_var[third : 2 * third] = 0, np.inf
    assert digital_decode(cells, noise_var, 400, "qpsk-1/2") is None
    left = salvage(cells, noise_var, 400, "qpsk-1/2")
    sure = left.is_sure
    assert sure[:133].all() and not sure[140:260].any() and sure[280:].all()
    assert bytes(np.frombuffer(left.data, np.uint8)[sure]) == bytes(np.frombuffer(payload, np.uint8)[sure])


@pytest.mark.parametrize(("name", "below_db"), [("qpsk-1/2", 1.5), ("qpsk-3/4", 1.5), ("64qam-3/4", 3.0)])
def test_bytes_of_broken_blocks_that_are_called_sure_nearly_always_are(name: str, below_db: float) -> None:
    rng = np.random.default_rng(7)
    n_sure = n_wrong = n_broken = 0
    while n_broken < 40:
        payload = rng.bytes(60)
        cells, noise_var = through_noise(digital_encode(payload, name), MODES[name].min_snr_db - below_db, rng)
        if digital_decode(cells, noise_var, 60, name) is not None:
            below_db += 0.05  # too good to break
            continue
        left = salvage(cells, noise_var, 60, name)
        wrong = np.frombuffer(left.data, np.uint8) != np.frombuffer(payload, np.uint8)
        n_broken, n_sure, n_wrong = n_broken + 1, n_sure + left.is_sure.sum(), n_wrong + (wrong & left.is_sure).sum()
        assert left.is_sure.mean() < 0.9
    assert n_wrong <= 0.02 * n_sure + 1


def test_nothing_is_sure_where_all_blocks_hold_and_the_checksum_does_not() -> None:
    n = n_symbols(60, "qpsk-1/2")  # all zeros: a codeword, and not what anybody sent
    lost = salvage(np.zeros(n, np.complex64), np.full(n, np.inf, np.float32), 60, "qpsk-1/2")
    assert len(lost.data) == 60 and not lost.is_sure.any()
    assert not salvage(np.zeros(3, np.complex64), np.ones(3, np.float32), 60, "qpsk-1/2").is_sure.any()
