# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: what is one is split, what is none is refused."""

from __future__ import annotations

import pytest

from gened.addresses import split_address
from gened.errors import ConfigError


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5550", "tcp://:5550", "tcp://host", "tcp://host:99999", "udp://host:1", "tcp://h:x"]
)
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="write it like tcp://"):
        split_address(address)


def test_addresses_are_split() -> None:
    assert split_address("tcp://0.0.0.0:5550") == ("0.0.0.0", 5550)
