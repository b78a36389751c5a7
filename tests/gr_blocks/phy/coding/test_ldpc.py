# SPDX-License-Identifier: GPL-3.0-or-later
"""The 802.16e codes: matrices against scikit-commpy's, every size encoded and checked, and the decoder's strength."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commpy.channelcoding
import numpy as np
import pytest
from commpy.channelcoding.ldpc import get_ldpc_code_params, ldpc_bp_decode
from ldpc.bp_decoder import BpDecoder

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.ldpc import LdpcCode
from gened.gr_blocks.phy.coding.ldpc_matrices import Z_LIST, parity_check_matrix, shifts

RATES = ("1/2", "2/3", "3/4")
WIMAX = Path(commpy.channelcoding.__file__).parent / "designs" / "ldpc" / "wimax"


def whole_codeword(code: LdpcCode, coded: np.ndarray) -> np.ndarray:
    """With the bits that shortening left out."""
    n_short = code.max_info(code.code_rate, code.z) - code.n_info
    return np.concatenate([coded[: code.n_info], np.zeros(n_short, np.uint8), coded[code.n_info :]])


def noisy_llr(coded: np.ndarray, noise_var: float, rng: np.random.Generator) -> np.ndarray:
    """BPSK through real noise of this variance."""
    received = 2.0 * coded - 1 + np.sqrt(noise_var) * rng.standard_normal(len(coded))
    return 2 * received / noise_var


COMMPY_LOADER = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")  # its own use of NumPy


@COMMPY_LOADER
@pytest.mark.parametrize(("name", "rate", "z"), [("1440.720.txt", "1/2", 60), ("960.720.a.txt", "3/4", 40)])
def test_matrices_are_those_that_commpy_ships(name: str, rate: str, z: int) -> None:
    design = get_ldpc_code_params(str(WIMAX / name))
    ours = parity_check_matrix(rate, z)
    assert ours.shape == (design["n_cnodes"], design["n_vnodes"])
    adjacency = design["cnode_adj_list"].reshape(design["n_cnodes"], -1)
    for row in range(ours.shape[0]):
        assert sorted(ours[[row]].indices) == sorted(adjacency[row, : design["cnode_deg_list"][row]])


@pytest.mark.parametrize(("rate", "n_blocks"), [("1/2", 76), ("2/3", 80), ("3/4", 85)])
def test_base_matrices_have_the_weight_of_the_standard(rate: str, n_blocks: int) -> None:
    assert np.sum(shifts(rate, 96) >= 0) == n_blocks
    assert shifts(rate, 96).max() < 96


def test_two_thirds_a_scales_by_modulo_and_the_others_by_floor() -> None:
    assert shifts("1/2", 24)[0].tolist()[:3] == [-1, 23, 18]  # 94, 73
    assert shifts("2/3", 24)[6].tolist()[:4] == [11, 1, -1, 13]  # 35, 25, -, 37
    assert shifts("3/4", 24)[0].tolist()[:4] == [1, 9, 0, 23]  # 6, 38, 3, 93


@pytest.mark.parametrize("rate", RATES)
def test_every_size_is_encoded_to_a_codeword(rate: str) -> None:
    rng = np.random.default_rng(0)
    for z in Z_LIST:
        for n_short in (0, 7):
            code = LdpcCode(rate, z, LdpcCode.max_info(rate, z) - n_short)
            bits = rng.integers(0, 2, code.n_info, dtype=np.uint8)
            coded = code.encode(bits)
            assert len(coded) == code.n_coded
            assert np.array_equal(coded[: code.n_info], bits)
            assert not np.any(parity_check_matrix(rate, z).astype(int) @ whole_codeword(code, coded) % 2)


@pytest.mark.parametrize("rate", RATES)
def test_the_shortest_code_that_holds_the_bits_is_chosen(rate: str) -> None:
    biggest = LdpcCode.max_info(rate)
    for n_info in (1, 191, 192, 193, 1000, biggest):
        code = LdpcCode.for_payload(n_info, rate)
        assert LdpcCode.max_info(rate, code.z) >= n_info
        assert code.z == 24 or LdpcCode.max_info(rate, code.z - 4) < n_info
    assert LdpcCode.for_payload(192).n_coded == 480  # a 20-byte caption and its CRC


@pytest.mark.parametrize("n_info", [0, -1, 1153])
def test_sizes_that_no_code_holds_are_refused_with_the_limits(n_info: int) -> None:
    with pytest.raises(ConfigError, match="1 to 1152"):
        LdpcCode.for_payload(n_info)


def test_unknown_rate_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="1/2, 2/3, 3/4"):
        LdpcCode.for_payload(100, "5/6")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", RATES)
def test_scattered_hard_errors_are_corrected(rate: str) -> None:
    rng = np.random.default_rng(1)
    code = LdpcCode.for_payload(500, rate)
    for _ in range(20):
        bits = rng.integers(0, 2, 500, dtype=np.uint8)
        llr = 4.0 * (2.0 * code.encode(bits) - 1)
        llr[rng.choice(code.n_coded, 12, replace=False)] *= -1
        decoded, converged = code.decode(llr)
        assert converged
        assert np.array_equal(decoded, bits)


def test_erasures_are_filled_in() -> None:
    rng = np.random.default_rng(2)
    code = LdpcCode.for_payload(1152)
    bits = rng.integers(0, 2, 1152, dtype=np.uint8)
    llr = 8.0 * (2.0 * code.encode(bits) - 1)
    llr[rng.choice(code.n_coded, 800, replace=False)] = 0
    decoded, converged = code.decode(llr)
    assert converged
    assert np.array_equal(decoded, bits)


@pytest.mark.parametrize(("rate", "ebno_db"), [("1/2", 2.0), ("2/3", 2.6), ("3/4", 3.0)])
def test_longest_blocks_decode_where_the_literature_has_them(rate: str, ebno_db: float) -> None:
    """n = 2304: FER well below 1e-2 there; a decoder fed without soft values, or with a wrong sign, decodes nothing."""
    rng = np.random.default_rng(3)
    code = LdpcCode.for_payload(LdpcCode.max_info(rate), rate)
    noise_var = 1 / (2 * code.n_info / code.n_coded * 10 ** (ebno_db / 10))
    n_lost = 0
    for _ in range(60):
        bits = rng.integers(0, 2, code.n_info, dtype=np.uint8)
        n_lost += not np.array_equal(code.decode(noisy_llr(code.encode(bits), noise_var, rng))[0], bits)
    assert n_lost <= 2


@COMMPY_LOADER
def test_min_sum_loses_little_against_commpys_sum_product() -> None:
    """The same noisy words of the same code; commpy's soft values are positive for 0."""
    rng = np.random.default_rng(4)
    design = get_ldpc_code_params(str(WIMAX / "1440.720.txt"))
    code = LdpcCode("1/2", 60, 720)
    noise_var = 1 / 10 ** (1.6 / 10)
    ours = theirs = 0
    for _ in range(12):
        bits = rng.integers(0, 2, 720, dtype=np.uint8)
        llr = noisy_llr(code.encode(bits), noise_var, rng)
        ours += np.array_equal(code.decode(llr)[0], bits)
        theirs += np.array_equal(ldpc_bp_decode(-llr, design, "SPA", 40)[0][:720], bits)
    assert theirs >= 8
    assert ours >= theirs - 2


def test_noise_alone_does_not_converge_and_raises_nothing() -> None:
    rng = np.random.default_rng(5)
    code = LdpcCode.for_payload(300)
    for scale in (0.0, 1.0, 1e4):
        bits, converged = code.decode(scale * rng.standard_normal(code.n_coded))
        assert len(bits) == 300
        assert not converged  # nor with LLRs of 0, though all zeros is a codeword


def test_two_threads_may_decode_the_same_code_at_once() -> None:
    """One thread's soft values are useless to the other: mixed up, hardly a word would come back."""
    code = LdpcCode.for_payload(280)

    def decode_many(seed: int) -> int:
        rng, n_ok = np.random.default_rng(seed), 0
        for _ in range(150):
            bits = rng.integers(0, 2, 280, dtype=np.uint8)
            llr = noisy_llr(code.encode(bits), 0.6, rng)
            n_ok += np.array_equal(code.decode(llr)[0], bits)
        return n_ok

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(decode_many, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert together == [decode_many(seed) for seed in range(4)]


def test_shortening_lowers_the_rate_and_helps() -> None:
    rng = np.random.default_rng(6)
    n_ok = dict.fromkeys((288, 96), 0)
    for n_info in n_ok:
        code = LdpcCode("1/2", 24, n_info)
        for _ in range(60):
            bits = rng.integers(0, 2, n_info, dtype=np.uint8)
            n_ok[n_info] += np.array_equal(code.decode(noisy_llr(code.encode(bits), 1.25, rng))[0], bits)
    assert n_ok[96] > n_ok[288] + 15


def test_encoding_another_number_of_bits_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 bits for a code of 4"):
        LdpcCode.for_payload(4).encode(np.zeros(3, np.uint8))


@pytest.mark.parametrize(("rate", "ebno_db"), [("1/2", 1.5), ("2/3", 2.2), ("3/4", 2.75)])
def test_as_many_blocks_are_decoded_as_by_the_ldpc_package(rate: str, ebno_db: float) -> None:
    """The package's serial minimum-sum with its best scaling; a second decoder, of the same matrix."""
    rng = np.random.default_rng(8)
    code = LdpcCode.for_payload(LdpcCode.max_info(rate), rate)
    noise_var = 1 / (2 * code.n_info / code.n_coded * 10 ** (ebno_db / 10))
    bits = rng.integers(0, 2, (80, code.n_info), dtype=np.uint8)
    llrs = [noisy_llr(code.encode(one), noise_var, rng) for one in bits]
    ours = [code.decode(llr) for llr in llrs]
    right = [np.array_equal(found, one) for (found, _), one in zip(ours, bits, strict=True)]
    assert right == [converged for _, converged in ours]
    matrix = parity_check_matrix(rate, code.z)
    package = BpDecoder(
        matrix, error_rate=0.1, max_iter=40, bp_method="minimum_sum", ms_scaling_factor=0.8, schedule="serial",
        input_vector_type="syndrome",
    )  # fmt: skip
    theirs = 0
    for llr, one in zip(llrs, bits, strict=True):
        hard = (llr > 0).astype(np.uint8)
        package.update_channel_probs(np.maximum(1 / (1 + np.exp(np.minimum(np.abs(llr), 50))), 1e-7))
        word = hard ^ package.decode((matrix @ hard % 2).astype(np.uint8))
        theirs += np.array_equal(word[: code.n_info], one)
    assert theirs >= 70
    assert abs(sum(right) - theirs) <= 4


def test_blocks_of_several_sizes_and_codes_are_decoded() -> None:
    rng = np.random.default_rng(9)
    codes = [LdpcCode.for_payload(n, rate) for n, rate in ((300, "1/2"), (1152, "1/2"), (301, "1/2"), (800, "3/4"))]
    bits = [rng.integers(0, 2, code.n_info, dtype=np.uint8) for code in codes]
    llrs = [noisy_llr(code.encode(one), 0.1, rng) for code, one in zip(codes, bits, strict=True)]
    found = [code.decode_soft(llr) for code, llr in zip(codes, llrs, strict=True)]
    assert all(np.array_equal(d.bits, one) and d.converged for d, one in zip(found, bits, strict=True))


def test_no_soft_values_are_too_large_and_noise_does_not_converge() -> None:
    rng = np.random.default_rng(10)
    code = LdpcCode.for_payload(1152)
    bits = rng.integers(0, 2, 1152, dtype=np.uint8)
    llrs = [1e4 * (2.0 * code.encode(bits) - 1), 1e4 * rng.standard_normal(code.n_coded), np.zeros(code.n_coded)]
    sure, noise, nothing = (code.decode_soft(llr) for llr in llrs)
    assert sure.converged and np.array_equal(sure.bits, bits)
    assert not noise.converged
    assert not nothing.converged  # though all zeros is a codeword


def test_a_block_does_not_depend_on_those_before() -> None:
    rng = np.random.default_rng(11)
    code = LdpcCode.for_payload(192)
    llrs = [noisy_llr(code.encode(rng.integers(0, 2, 192, dtype=np.uint8)), 0.9, rng) for _ in range(65)]
    first = [code.decode_soft(llr) for llr in llrs]
    for found, llr in zip(first[::-1], llrs[::-1], strict=True):
        again = code.decode_soft(llr)
        assert np.array_equal(found.llr, again.llr) and found.converged == again.converged


def test_hard_and_soft_decisions_of_a_block_that_converges_agree() -> None:
    rng = np.random.default_rng(12)
    code = LdpcCode.for_payload(500, "3/4")
    for noise_var in (0.2, 0.5, 2.0):
        llr = noisy_llr(code.encode(rng.integers(0, 2, 500, dtype=np.uint8)), noise_var, rng)
        bits, converged = code.decode(llr)
        soft = code.decode_soft(llr)
        assert soft.llr.shape == (500,)
        assert soft.converged == converged
        assert not converged or np.array_equal(soft.bits, bits)
