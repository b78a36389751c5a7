# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire's permutations and pseudo-random symbols: pinned, since a change of one breaks every recording."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gened.gr_blocks.phy.coding.interleave import permutation, qpsk_stream, splitmix64

PERMUTATION_12 = [11, 1, 0, 10, 2, 7, 4, 8, 9, 3, 6, 5]
PERMUTATIONS_SHA256 = "ad31451cd5785342077297d214f092f6ae4c3b51e4e722b42e4a52c7a0adae27"


def test_splitmix64_gives_the_published_sequence_for_seed_zero() -> None:
    first = splitmix64(np.arange(3, dtype=np.uint64))
    assert [int(v) for v in first] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("n", [0, 1, 2, 504, 16384])
def test_permutation_holds_every_index_once(n: int) -> None:
    assert np.array_equal(np.sort(permutation(n, 1)), np.arange(n))


def test_permutations_are_those_of_the_frozen_wire() -> None:
    assert permutation(12, 1).tolist() == PERMUTATION_12
    digest = hashlib.sha256(permutation(8192, 1).astype("<i8").tobytes() + permutation(504, 2).astype("<i8").tobytes())
    assert digest.hexdigest() == PERMUTATIONS_SHA256


def test_permutation_is_shared_and_therefore_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        permutation(10, 1)[0] = 3


def test_seeds_give_unrelated_permutations() -> None:
    same = np.sum(permutation(4096, 1) == permutation(4096, 2))
    assert same < 10


def test_a_slice_of_the_frame_is_spread_over_all_of_it() -> None:
    n, parts = 65536, 4
    where = np.flatnonzero(np.argsort(permutation(n, 1)) < n // parts)  # the frame's places that burst 0 of 4 carries
    per_region = np.histogram(where, bins=64, range=(0, n))[0]
    assert per_region.min() > 0.75 * n / parts / 64
    assert per_region.max() < 1.25 * n / parts / 64


def test_qpsk_stream_is_unit_energy_and_balanced() -> None:
    symbols = qpsk_stream(4096, 5)
    assert np.allclose(np.abs(symbols), 1, atol=1e-6)
    assert abs(symbols.mean()) < 0.05
    assert np.array_equal(symbols[:100], qpsk_stream(100, 5))
