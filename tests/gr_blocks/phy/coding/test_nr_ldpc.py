# SPDX-License-Identifier: GPL-3.0-or-later
"""5G NR LDPC: tables, encoding and rate matching against py3gpp, parity of every size, decoding in noise."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding import nr_ldpc
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.coding.nr_ldpc import (
    LIFTING_SIZES,
    MAX_BLOCK_BITS,
    N_SYSTEMATIC,
    BaseGraph,
    NrLdpc,
    choose_base_graph,
    encode,
    segment,
    shifts,
)

MODULATION_NAMES = {1: "BPSK", 2: "QPSK", 4: "16QAM", 6: "64QAM", 8: "256QAM"}


@pytest.fixture(scope="module")
def reference() -> Any:
    """py3gpp, which warns about syntax of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("py3gpp", reason="the reference: pip install --no-deps py3gpp importlib_resources")


def random_bits(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, n).astype(np.uint8)


def noisy_llr(code: NrLdpc, bits: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    noise_var = 10 ** (-snr_db / 10)
    symbols = modulate(code.encode(bits), code.bits_per_symbol)
    received = symbols + complex_noise(np.random.default_rng(seed), len(symbols), noise_var)
    return demodulate(received, np.full(len(symbols), noise_var), code.bits_per_symbol)


def test_tables_have_the_standards_size() -> None:
    assert shifts(1, 384).shape == (46, 68) and np.count_nonzero(shifts(1, 384) >= 0) == 316
    assert shifts(2, 384).shape == (42, 52) and np.count_nonzero(shifts(2, 384) >= 0) == 197
    assert len(LIFTING_SIZES) == 51 and LIFTING_SIZES[0] == 2 and LIFTING_SIZES[-1] == 384
    assert shifts(1, 2)[0, 0] == 250 % 2 and shifts(1, 3)[0, 0] == 307 % 3  # V of table 5.3.2-2, row 0, sets 0 and 1


@pytest.mark.parametrize("base_graph", [1, 2])
def test_every_parity_check_holds_at_every_lifting_size(base_graph: BaseGraph) -> None:
    for z in LIFTING_SIZES:
        systematic = random_bits(N_SYSTEMATIC[base_graph] * z * 2, z).reshape(-1, 2)
        word = encode(systematic, base_graph, z).reshape(-1, z, 2)
        for row in shifts(base_graph, z):
            total = np.zeros((z, 2), np.uint8)
            for column in np.flatnonzero(row >= 0):
                total ^= np.roll(word[column], -row[column], axis=0)
            assert not total.any(), f"base graph {base_graph}, z = {z}"


@pytest.mark.parametrize("base_graph", [1, 2])
def test_encoded_bits_are_those_of_py3gpp(base_graph: BaseGraph, reference: Any) -> None:
    """Of base graph 2 py3gpp encodes blocks of more than 640 bits alone."""
    sizes = [z for z in LIFTING_SIZES if N_SYSTEMATIC[base_graph] * z > (11 if base_graph == 1 else 640)]
    assert len(sizes) >= 20
    for z in sizes:
        systematic = random_bits(N_SYSTEMATIC[base_graph] * z, z)[:, None]
        theirs = reference.nrLDPCEncode(systematic.astype(int), base_graph)
        assert np.array_equal(encode(systematic, base_graph, z)[2 * z :], theirs), f"z = {z}"


@pytest.mark.parametrize(
    ("n_bits", "n_coded", "bits_per_symbol"),
    [
        (4000, 8000, 2), (4000, 7200, 4), (1000, 5400, 2), (900, 1200, 1),  # one block; repeated bits; filler bits
        (12000, 18000, 6), (9000, 10000, 4), (25000, 50000, 8),  # several blocks with CRC-24B
    ],
)  # fmt: skip
def test_segmentation_and_rate_matching_are_those_of_py3gpp(
    n_bits: int, n_coded: int, bits_per_symbol: int, reference: Any
) -> None:
    code, bits = NrLdpc(n_bits, n_coded, bits_per_symbol), random_bits(n_bits, 1)
    parts = code.segmentation
    blocks = reference.nrCodeBlockSegmentLDPC(bits.astype(int), parts.base_graph)
    assert blocks.shape == (parts.n_systematic, parts.n_blocks)
    coded = reference.nrLDPCEncode(blocks, parts.base_graph)
    theirs = reference.nrRateMatchLDPC(coded, n_coded, 0, MODULATION_NAMES[bits_per_symbol], 1)
    assert np.array_equal(code.encode(bits), theirs)


@pytest.mark.parametrize("n_bits", [1, 20, 192, 193, 560, 561, 640, 641, 3840, 3841, 8448, 8449, 50000])
def test_blocks_are_as_few_as_hold_the_payload(n_bits: int) -> None:
    for base_graph in (1, 2):
        parts = segment(n_bits, base_graph)  # type: ignore[arg-type]
        assert parts.n_blocks * parts.n_data >= n_bits > (parts.n_blocks - 1) * parts.n_data
        assert parts.n_info <= parts.n_systematic and parts.n_info <= MAX_BLOCK_BITS[base_graph]
        assert (parts.n_info - parts.n_data) == (24 if parts.n_blocks > 1 else 0)


def test_base_graph_is_chosen_as_the_standard_does() -> None:
    assert choose_base_graph(292, 0.9) == 2 and choose_base_graph(293, 0.68) == 1
    assert choose_base_graph(3824, 0.67) == 2 and choose_base_graph(3825, 0.26) == 1
    assert choose_base_graph(20000, 0.25) == 2


@pytest.mark.parametrize("bits_per_symbol", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("n_bits", [40, 700, 5000, 20000])
@pytest.mark.parametrize("code_rate", [0.1, 0.33, 0.66, 0.92])
def test_payload_comes_back_without_noise(n_bits: int, code_rate: float, bits_per_symbol: int) -> None:
    if code_rate > 0.9 and n_bits < 100:
        code_rate = 0.7  # a few parity bits cannot restore the punctured columns of so short a block
    n_coded = bits_per_symbol * round(n_bits / code_rate / bits_per_symbol)
    code, bits = NrLdpc(n_bits, n_coded, bits_per_symbol), random_bits(n_bits, 2)
    coded = code.encode(bits)
    assert len(coded) == n_coded
    found, is_good = code.decode(8.0 * coded - 4.0)
    assert is_good and np.array_equal(found, bits)


@pytest.mark.parametrize(
    ("n_bits", "n_coded", "bits_per_symbol", "snr_db"),
    [(4000, 8000, 2, 1.2), (4000, 8000, 4, 6.7), (4000, 16000, 2, -2.0), (20000, 26400, 6, 15.6), (160, 640, 2, -0.4)],
)
def test_blocks_hold_where_the_published_curves_do(
    n_bits: int, n_coded: int, bits_per_symbol: int, snr_db: float
) -> None:
    code = NrLdpc(n_bits, n_coded, bits_per_symbol)
    lost = 0
    for seed in range(20):
        bits = random_bits(n_bits, seed)
        found, is_good = code.decode(noisy_llr(code, bits, snr_db, seed))
        lost += not (is_good and np.array_equal(found, bits))
    assert lost <= 1


def test_what_is_not_decoded_is_said_to_be_so() -> None:
    code = NrLdpc(4000, 8000, 2)
    for seed in range(5):
        found, is_good = code.decode(noisy_llr(code, random_bits(4000, seed), -3.0, seed))
        assert not is_good and not found.any()
    assert not code.decode(np.zeros(8000))[1]
    assert not code.decode(np.random.default_rng(0).normal(size=8000) * 10)[1]


def test_one_lost_block_of_several_loses_the_payload() -> None:
    code, bits = NrLdpc(20000, 40000, 2), random_bits(20000, 3)
    llr = 8.0 * code.encode(bits) - 4.0
    llr[: code.block_lengths()[0]] = 0
    assert not code.decode(llr)[1]


def test_a_block_with_a_wrong_checksum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code, bits = NrLdpc(20000, 40000, 2), random_bits(20000, 3)
    monkeypatch.setattr(nr_ldpc, "_crc_bits", lambda bits: np.zeros(24, np.uint8))
    coded = code.encode(bits)
    monkeypatch.undo()
    assert not code.decode(8.0 * coded - 4.0)[1]


@pytest.mark.parametrize(
    ("n_bits", "n_coded", "bits_per_symbol", "words"),
    [
        (100, 201, 2, "symbols of 2"),
        (100, 101, 1, "rates from"),
        (10, 1000, 2, "rates from"),
        (0, 9, 1, "rates from"),
    ],
)
def test_impossible_codes_are_one_line(n_bits: int, n_coded: int, bits_per_symbol: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NrLdpc(n_bits, n_coded, bits_per_symbol)
    with pytest.raises(ConfigError, match="no lifting size"):
        shifts(1, 17)
