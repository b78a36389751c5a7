# SPDX-License-Identifier: GPL-3.0-or-later
"""ICC profiles for tests, built from their definitions: RGB spaces with a gamma, grey with a gamma, and a CMYK table.

References:
    ICC.1:2001-04 (version 2.4), sections 6.1 (header), 6.3 (tags), 6.5 (types).
"""

from __future__ import annotations

import struct
from itertools import product

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D65_XY = (0.3127, 0.3290)
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
"""Chromaticities x, y of red, green and blue; SMPTE EG 432-1."""
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def rgb_profile(name: str, primaries: tuple[tuple[float, float], ...], gamma: float) -> bytes:
    """A matrix profile of an RGB space with the white point D65."""
    columns = rgb_to_xyz_d50(primaries).T
    tags = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= {tag: _curve(gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", name, tags)


def grey_profile(name: str, gamma: float) -> bytes:
    """A grey profile."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", name, {b"kTRC": _curve(gamma)})


def cmyk_profile(name: str, lightness: tuple[int, ...]) -> bytes:
    """A table of 2^4 points from CMYK to neutral Lab.

    Args:
        name: Description.
        lightness: L in percent for 0, 1, 2, 3 and 4 inks at full.
    """
    points = [(round(lightness[sum(inks)] * 255 / 100), 128, 128) for inks in product((0, 1), repeat=4)]
    ramp = bytes(range(256))
    table = struct.pack(">4sIBBBB9i", b"mft1", 0, 4, 3, 2, 0, 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table += 4 * ramp + b"".join(bytes(point) for point in points) + 3 * ramp
    return _profile(b"prtr", b"CMYK", b"Lab ", name, {b"A2B0": table})


def rgb_to_xyz_d50(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """[3, 3]: linear RGB of a D65 space to XYZ relative to D50, adapted by the Bradford transform."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([D65_XY[0] / D65_XY[1], 1, (1 - sum(D65_XY)) / D65_XY[1]])
    matrix = xyz * np.linalg.solve(xyz, white)
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.asarray(np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ matrix)


def _xyz(values: np.ndarray | tuple[float, ...]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(float(value) * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))


def _profile(kind: bytes, space: bytes, connection: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode() + b"\0"
    tags = {
        b"desc": struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78),
        b"cprt": struct.pack(">4sI", b"text", 0) + b"public domain\0",
        b"wtpt": _xyz(D50),
        **tags,
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02400000, kind, space, connection, bytes(12), b"acsp")
    header = (header + bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in D50))).ljust(128, b"\0")
    return header + table + body
