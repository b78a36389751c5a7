# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of sockets, read without opening one.

A trial connection would be no harmless check: the other end of a PUSH socket may hand it samples before it is closed.
"""

from __future__ import annotations

from gened.errors import ConfigError


def split_address(address: str) -> tuple[str, int]:
    """Host and port of tcp://host:port.

    Raises:
        ConfigError: Not such an address.
    """
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not address.startswith("tcp://") or not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"'{address}' is not an address; write it like tcp://127.0.0.1:5550")
    return host, int(port)
