# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets: any K of m restore the whole, and fewer give nothing."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gened.gr_blocks.phy.coding.erasure_code import PacketPlan, decode, encode, plan


@pytest.mark.parametrize(
    ("n_bytes", "n_bursts", "expected"),
    [
        (0, 5, PacketPlan(0, 0, 0)),
        (100, 1, PacketPlan(1, 1, 100)),
        (1, 3, PacketPlan(1, 3, 1)),
        (64, 7, PacketPlan(1, 3, 64)),
        (65, 7, PacketPlan(2, 4, 33)),
        (600, 4, PacketPlan(3, 4, 200)),
        (65535, 256, PacketPlan(192, 256, 342)),
    ],
)
def test_plan_by_hand(n_bytes: int, n_bursts: int, expected: PacketPlan) -> None:
    assert plan(n_bytes, n_bursts) == expected


@pytest.mark.parametrize(("n_bytes", "n_bursts"), [(1, 3), (130, 2), (200, 4), (333, 5), (500, 7)])
def test_any_k_packets_restore_the_whole(n_bytes: int, n_bursts: int) -> None:
    data = np.random.default_rng(n_bytes).bytes(n_bytes)
    k, m, packet_len = plan(n_bytes, n_bursts)
    parts = encode(data, n_bursts)
    assert [len(part) for part in parts] == [packet_len] * m
    for chosen in combinations(range(m), k):
        assert decode({i: parts[i] for i in chosen}, n_bytes, n_bursts) == data
    for chosen in combinations(range(m), k - 1):
        assert decode({i: parts[i] for i in chosen}, n_bytes, n_bursts) is None


def test_data_packets_come_first_as_they_are() -> None:
    data = bytes(range(130))
    parts = encode(data, 7)
    assert b"".join(parts[:3])[:130] == data
    assert len(parts[2].rstrip(b"\0")) == 130 - 2 * 44


@given(
    st.integers(1, 65535),
    st.integers(1, 256),
    st.dictionaries(st.integers(-5, 300), st.binary(max_size=70), max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_foreign_packets_are_left_out_without_an_exception(
    n_bytes: int, n_bursts: int, found: dict[int, bytes]
) -> None:
    k, m, packet_len = plan(n_bytes, n_bursts)
    usable = [i for i, part in found.items() if 0 <= i < m and len(part) == packet_len]
    result = decode(found, n_bytes, n_bursts)
    assert (result is None) == (len(usable) < k)
    assert result is None or len(result) == n_bytes


def test_largest_plan_works() -> None:
    data = np.random.default_rng(0).bytes(65535)
    parts = encode(data, 256)
    assert decode({i: parts[i] for i in range(64, 256)}, 65535, 256) == data


def test_nothing_is_nothing() -> None:
    assert encode(b"", 4) == []
    assert decode({}, 0, 4) == b""
