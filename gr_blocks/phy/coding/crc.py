# SPDX-License-Identifier: GPL-3.0-or-later
"""Cyclic redundancy checks, by their names in the catalogue of parametrised CRC algorithms."""

from __future__ import annotations

import zlib


def _table24() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 16
        for _ in range(8):
            value = (value << 1) ^ (0x864CFB if value & 0x800000 else 0)
        table.append(value & 0xFFFFFF)
    return tuple(table)


_TABLE24 = _table24()


def crc24(data: bytes) -> int:
    """CRC-24/OPENPGP (RFC 4880): polynomial 0x864CFB, begins as 0xB704CE; check value of b"123456789" is 0x21CF02."""
    value = 0xB704CE
    for byte in data:
        value = ((value << 8) & 0xFFFFFF) ^ _TABLE24[(value >> 16) ^ byte]
    return value


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC (zlib's); check value of b"123456789" is 0xCBF43926."""
    return zlib.crc32(data)
