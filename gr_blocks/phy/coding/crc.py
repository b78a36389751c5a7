# SPDX-License-Identifier: GPL-3.0-or-later
"""Cyclic redundancy checks, named as in the catalogue of parametrised CRC algorithms."""

from __future__ import annotations

import zlib


def _table24(polynomial: int) -> tuple[int, ...]:
    """Remainders of all bytes, for a CRC of 24 bits that is processed most significant bit first."""
    table = []
    for byte in range(256):
        value = byte << 16
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value & 0x800000 else 0)
        table.append(value & 0xFFFFFF)
    return tuple(table)


_OPENPGP = _table24(0x864CFB)
_LTE_B = _table24(0x800063)


def crc24(data: bytes) -> int:
    """CRC-24/OPENPGP (RFC 4880): polynomial 0x864CFB, begins as 0xB704CE; check value of b"123456789" is 0x21CF02."""
    value = 0xB704CE
    for byte in data:
        value = ((value << 8) & 0xFFFFFF) ^ _OPENPGP[(value >> 16) ^ byte]
    return value


def crc24b(data: bytes) -> int:
    """CRC-24/LTE-B (3GPP TS 38.212, section 5.1): polynomial 0x800063, begins as 0; check value 0x23EF52."""
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFFFF) ^ _LTE_B[(value >> 16) ^ byte]
    return value


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC (zlib's); check value of b"123456789" is 0xCBF43926."""
    return zlib.crc32(data)
