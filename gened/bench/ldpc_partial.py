# SPDX-License-Identifier: GPL-3.0-or-later
"""Bench of the recovery of single bytes of texts whose CRC fails: how many count as certain, and how many of these are
wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.modes import digital_decode, digital_encode, salvage

MODE = "qpsk-1/2"
LENGTHS = (30, 130, 300, 800)
"""Lengths of the texts in bytes: one short block, one of the longest, three and six of the longest."""
SNRS_DB = (0.5, 1.0, 1.25)
MAX_TRIES = 20
"""Most texts sent per lost text that is wanted."""


@dataclass(frozen=True)
class Left:
    """Recovery of the texts of one length that were lost at one SNR."""

    n_bytes: int
    snr_db: float
    texts: int
    lost: int
    sure: float
    """Fraction of the bytes of lost texts that count as certain."""
    wrong: float
    """Fraction of these bytes that are wrong."""


def measure_left(n_bytes: int, snr_db: float, n_lost: int, seed: int) -> Left:
    """Send random texts through noise until `n_lost` are lost, or `MAX_TRIES` times as many are sent."""
    rng = np.random.default_rng([seed, n_bytes, round(100 * snr_db) + 10000])
    noise_var = 10 ** (-snr_db / 10)
    n_sent = found = n_sure = n_wrong = 0
    while found < n_lost and n_sent < MAX_TRIES * n_lost:
        text = rng.bytes(n_bytes)
        cells = digital_encode(text, MODE)
        received = cells + complex_noise(rng, len(cells), noise_var), np.full(len(cells), noise_var)
        n_sent += 1
        if digital_decode(*received, n_bytes, MODE) == text:
            continue
        left = salvage(*received, n_bytes, MODE)
        is_wrong = np.frombuffer(left.data, np.uint8) != np.frombuffer(text, np.uint8)
        found, n_sure, n_wrong = (
            found + 1,
            n_sure + int(left.is_sure.sum()),
            n_wrong + int((is_wrong & left.is_sure).sum()),
        )
    return Left(n_bytes, snr_db, n_sent, found, n_sure / max(found * n_bytes, 1), n_wrong / max(n_sure, 1))
