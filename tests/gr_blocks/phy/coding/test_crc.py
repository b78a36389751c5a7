# SPDX-License-Identifier: GPL-3.0-or-later
"""CRCs give the catalogue's check values and catch what they promise to catch."""

from __future__ import annotations

import numpy as np
import pytest

from gened.gr_blocks.phy.coding.crc import crc24, crc24b, crc32

CHECK = b"123456789"


def test_check_values_of_the_catalogue() -> None:
    assert crc24(CHECK) == 0x21CF02
    assert crc24b(CHECK) == 0x23EF52
    assert crc32(CHECK) == 0xCBF43926


def test_empty_message_gives_the_initial_register() -> None:
    assert crc24(b"") == 0xB704CE
    assert crc32(b"") == 0


@pytest.mark.parametrize("crc", [crc24, crc24b, crc32])
def test_every_single_bit_error_and_short_burst_is_caught(crc) -> None:
    data = np.random.default_rng(0).bytes(24)
    right, as_int = crc(data), int.from_bytes(data, "big")
    for pattern in (0b1, 0b11, 0b101, 0xFFFFFF):
        for shift in range(8 * len(data) - 24):
            assert crc((as_int ^ pattern << shift).to_bytes(len(data), "big")) != right
