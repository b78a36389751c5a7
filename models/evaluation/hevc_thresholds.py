# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures where the schemes of `hevc-ldpc` begin to hold: python -m gened.models.evaluation.hevc_thresholds

For each scheme the Es/N0 at which one block of n = 2304 in a hundred, and one in a thousand, is lost in AWGN; these are the numbers that stand
in `models/codecs/hevc_link.py`. Then the same for shorter blocks of one scheme: the cost of a small picture.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from gened.gr_blocks.phy.channel import ChannelConfig, apply_symbols
from gened.models.codecs.hevc_link import CRC_BYTES, SCHEMES, Scheme, receive, transmit

STEP_DB = 0.1
MIN_ERRORS = 25


def block_error_rate(scheme: Scheme, snr_db: float, rng: np.random.Generator, *, n_info: int, max_blocks: int) -> float:
    """Share of lost blocks of `n_info` information bits; half an error where there was none."""
    n_bytes = n_info // 8 - CRC_BYTES
    errors = 0
    for count in range(1, max_blocks + 1):
        payload = rng.bytes(n_bytes)
        symbols, noise_var = apply_symbols(transmit(payload, scheme), ChannelConfig(snr_db=snr_db), rng)
        errors += receive(symbols, noise_var, n_bytes, scheme) != payload
        if errors >= MIN_ERRORS:
            break
    return max(errors, 0.5) / count


def crossings(scheme: Scheme, rng: np.random.Generator, *, n_info: int, max_blocks: int) -> tuple[float, float]:
    """Es/N0 in dB at block error rates of 1e-2 and 1e-3: straight lines through the logarithms of the rates measured."""
    capacity_db = 10 * math.log10(2**scheme.efficiency - 1)
    points: list[tuple[float, float]] = []
    snr_db = round(capacity_db + (0.5 if scheme.bits_per_symbol > 1 else 0.3), 1)
    while not points or points[-1][1] > 1e-3:
        points.append((snr_db, block_error_rate(scheme, snr_db, rng, n_info=n_info, max_blocks=max_blocks)))
        snr_db += 4 * STEP_DB if points[-1][1] > 0.9 else STEP_DB if points[-1][1] < 0.3 else 2 * STEP_DB
    snrs = np.array([point[0] for point in points])
    logs = np.minimum.accumulate(np.log10([point[1] for point in points]))
    first, second = (float(np.interp(-goal, -logs, snrs)) for goal in (-2.0, -3.0))
    return first, second


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=4000, help="most blocks at one SNR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for index, scheme in enumerate(SCHEMES):
        first, second = crossings(scheme, rng, n_info=scheme.max_info() // 8 * 8, max_blocks=options.blocks)
        print(f"{index:2d} {scheme.bits_per_symbol} bit {scheme.effective_rate:.3f}: {first:6.2f} dB at 1e-2, {second:6.2f} dB at 1e-3", flush=True)
    for z in (96, 48, 24):
        scheme = SCHEMES[7]
        first, _ = crossings(scheme, rng, n_info=scheme.max_info(z) // 8 * 8, max_blocks=options.blocks // 4)
        print(f"QPSK 1/2, z = {z}: {first:.2f} dB at 1e-2", flush=True)


if __name__ == "__main__":
    main()
