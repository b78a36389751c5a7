# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures where the schemes of `hevc-ldpc` begin to hold: python -m gened.models.evaluation.run.hevc_thresholds

For each scheme the Es/N0 at which one block of n = 2304 in a hundred, and one in a thousand, is lost in AWGN: the
numbers that stand in `models/codecs/hevc_ldpc/digital_link.py`. Then the same for shorter blocks of one scheme: the
cost of a small picture.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.models.codecs.hevc_ldpc.digital_link import CRC_BYTES, SCHEMES, Scheme, receive, transmit

STEP_DB = 0.15
MIN_ERRORS = 20
LOWEST_RATE = 1e-2
"""Where the search ends; the line through the logarithms goes on to 1e-3."""


def block_error_rate(scheme: Scheme, snr_db: float, rng: np.random.Generator, *, n_info: int, max_blocks: int) -> float:
    """Share of lost blocks of `n_info` information bits; half an error where there was none."""
    n_bytes = n_info // 8 - CRC_BYTES
    errors = count = 0
    while count < max_blocks and errors < MIN_ERRORS:
        count += 1
        payload = rng.bytes(n_bytes)
        symbols, noise_var = apply_symbols(transmit(payload, scheme), ChannelConfig(snr_db=snr_db), rng)
        errors += receive(symbols, noise_var, n_bytes, scheme) != payload
    return max(errors, 0.5) / count


def crossings(scheme: Scheme, rng: np.random.Generator, *, n_info: int, max_blocks: int) -> tuple[float, float]:
    """Es/N0 in dB at block error rates of 1e-2 and 1e-3, on a line through the logarithms of those measured."""
    snr_db = 10 * math.log10(2**scheme.efficiency - 1) + 0.3  # a little over the capacity of the channel
    points: list[tuple[float, float]] = []
    while not points or points[-1][1] > LOWEST_RATE:
        rate = block_error_rate(scheme, snr_db, rng, n_info=n_info, max_blocks=max_blocks)
        points.append((snr_db, rate))
        snr_db += 3 * STEP_DB if rate > 0.9 else STEP_DB
    inside = [(snr, math.log10(rate)) for snr, rate in points if rate < 0.5][-4:]
    slope, offset = -4.0, inside[0][1] + 4.0 * inside[0][0]  # a decade a quarter of a decibel, where one point is all
    if len(inside) > 1:
        slope, offset = np.polyfit([snr for snr, _ in inside], [log for _, log in inside], 1)
    return float((-2 - offset) / slope), float((-3 - offset) / slope)


def report(name: str, scheme: Scheme, rng: np.random.Generator, n_info: int, max_blocks: int) -> None:
    """Measure and print one line."""
    first, second = crossings(scheme, rng, n_info=n_info // 8 * 8, max_blocks=max_blocks)
    sys.stdout.write(f"{name}: {first:6.2f} dB at 1e-2, {second:6.2f} dB at 1e-3\n")
    sys.stdout.flush()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1500, help="most blocks at one SNR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemes", type=int, nargs="*", default=list(range(len(SCHEMES))), help="default: all")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for index in options.schemes:
        scheme = SCHEMES[index]
        name = f"{index:2d} {scheme.bits_per_symbol} bit {scheme.effective_rate:.3f}"
        report(name, scheme, rng, scheme.max_info(), options.blocks)
    scheme = SCHEMES[7]
    for z in (48, 24):
        report(f"QPSK 1/2, z = {z}", scheme, rng, scheme.max_info(z), options.blocks)


if __name__ == "__main__":
    main()
