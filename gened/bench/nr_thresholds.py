# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the Es/N0 at which blocks of the 5G NR LDPC code are lost, for the table that chooses its rate.

    python -m gened.bench.nr_thresholds --out runs/nr_thresholds.json            measures; continues where it stopped
    python -m gened.bench.nr_thresholds --out runs/nr_thresholds.json --write    writes the table of the package
    python -m gened.bench.nr_thresholds --efficiency                             prints what the code carries

For each modulation, code rate and block length: the Es/N0 in AWGN at which 1 % of the blocks are lost, and how many dB
one decade less costs. The blocks are single: a payload of several is lost with any of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.digital_code import RATE_STEPS, UNUSABLE, choose_code
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.coding.nr_ldpc import NrLdpc
from gened.paths import PACKAGE
from gened.provenance import run_meta

MODULATIONS = (2, 4, 6, 8)
"""Bits per symbol. BPSK carries what QPSK carries at half the rate, with a weaker code."""
RATES = (1 / 12, 1 / 8, 1 / 5, 1 / 4, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.75, 0.83, 0.9)
BLOCK_BITS = (160, 512, 1500, 4000, 8192)
TARGET = 0.01
N_FRAMES = 400
MAX_LOST = 40
"""Lost frames at which a point is known well enough."""
STEP_DB = 0.25
EFFICIENCY_SNRS_DB = (-2, 1, 4, 7, 10, 13, 20)
EFFICIENCY_SYMBOLS = (300, 1000, 4000, 15000, 50000)
DECADE_LIMITS_DB = (0.05, 0.8)
MARGIN_DB = 0.05
"""Added to the thresholds of the table: 400 frames know the 1 % point to within as much."""
TABLE = PACKAGE / "gr_blocks" / "phy" / "coding" / "nr_thresholds.json"


@lru_cache(maxsize=4)
def _noise_samples() -> npt.NDArray[np.complex64]:
    return complex_noise(np.random.default_rng(1), 20000, 1.0)


@lru_cache(maxsize=4096)
def mutual_information(bits_per_symbol: int, snr_db: float) -> float:
    """Bits per symbol that bit-interleaved coded modulation can carry in AWGN, by Monte Carlo.

    References:
        Caire, Taricco and Biglieri, "Bit-interleaved coded modulation", IEEE Trans. Inf. Theory 44(3), 1998.
    """
    rng, noise = np.random.default_rng(2), _noise_samples()
    bits = rng.integers(0, 2, len(noise) * bits_per_symbol).astype(np.uint8)
    noise_var = 10 ** (-snr_db / 10)
    received = modulate(bits, bits_per_symbol) + noise * np.float32(noise_var**0.5)
    llr = demodulate(received, np.full(len(noise), noise_var), bits_per_symbol)
    signed = np.where(bits == 1, llr, -llr)
    return float(bits_per_symbol * (1 - np.mean(np.logaddexp(0, -signed)) / np.log(2)))


def capacity_snr_db(bits_per_symbol: int, information: float) -> float:
    """Es/N0 in dB at which so many bits per symbol can be carried, by bisection."""
    low, high = -25.0, 45.0
    while high - low > 0.01:
        middle = (low + high) / 2
        is_enough = mutual_information(bits_per_symbol, middle) >= information
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def frame_error_rate(code: NrLdpc, snr_db: float, rng: np.random.Generator, n_frames: int = N_FRAMES) -> float:
    """Share of frames that are lost, in AWGN."""
    noise_var = 10 ** (-snr_db / 10)
    lost = sent = 0
    while sent < n_frames and lost < MAX_LOST:
        bits = rng.integers(0, 2, code.n_bits).astype(np.uint8)
        symbols = modulate(code.encode(bits), code.bits_per_symbol)
        received = symbols + complex_noise(rng, len(symbols), noise_var)
        found, is_good = code.decode(demodulate(received, np.full(len(symbols), noise_var), code.bits_per_symbol))
        lost += not (is_good and np.array_equal(found, bits))
        sent += 1
    return lost / sent


def measure(bits_per_symbol: int, code_rate: float, n_bits: int) -> dict[str, Any]:
    """One row: the 1 % point and the slope, from frame error rates around it."""
    n_symbols = int(np.ceil(n_bits / code_rate / bits_per_symbol))
    code = NrLdpc(n_bits, n_symbols * bits_per_symbol, bits_per_symbol)
    rng = np.random.default_rng([bits_per_symbol, int(1000 * code_rate), n_bits])
    limit_db = capacity_snr_db(bits_per_symbol, n_bits / n_symbols)
    points: dict[float, float] = {}
    snr_db = round(limit_db / STEP_DB) * STEP_DB + (1.0 if n_bits < 2000 else 0.5)
    while True:
        points[snr_db] = frame_error_rate(code, snr_db, rng)
        above = [at for at, rate in points.items() if rate > TARGET]
        below = [at for at, rate in points.items() if rate <= TARGET]
        if above and below:
            break
        snr_db += STEP_DB * (2 if points[snr_db] > 0.5 else 1) * (1 if not below else -1)
    first, last = max(above), min(below)
    rates = np.log10([points[first], max(points[last], 0.5 / N_FRAMES)])
    slope_db = (last - first) / max(rates[0] - rates[1], 1e-3)
    at = first + slope_db * (rates[0] - np.log10(TARGET))
    return {
        "bits_per_symbol": bits_per_symbol, "code_rate": n_bits / (n_symbols * bits_per_symbol), "n_bits": n_bits,
        "capacity_snr_db": round(limit_db, 2), "snr_db_1e2": round(float(at), 2),
        "db_per_decade": round(float(slope_db), 3),
        "points": {f"{snr:.2f}": rate for snr, rate in sorted(points.items())},
    }  # fmt: skip


def fit(row: dict[str, Any]) -> tuple[float, float]:
    """The 1 % point and the dB per decade of a row: a straight line through the logarithms of its error rates.

    Points near 1 lie on the bend of the curve and are left out; a point counts by the number of its lost frames.
    """
    points = [(float(snr), rate) for snr, rate in row["points"].items() if 0 < rate <= 0.6]
    if len(points) < 2:
        return float(row["snr_db_1e2"]), float(row["db_per_decade"])
    snrs, rates = np.array(points).T
    slope, level = np.polyfit(snrs, np.log10(rates), 1, w=np.sqrt(np.minimum(rates * N_FRAMES, MAX_LOST)))
    decade_db = float(np.clip(-1 / min(slope, -1e-6), *DECADE_LIMITS_DB))
    return float((np.log10(TARGET) - level) / min(slope, -1e-6)), decade_db


def table(measured: dict[str, Any]) -> dict[str, Any]:
    """The package's table: thresholds of every code rate in 1/64, in hundredths of a decibel.

    Between the rates that were measured, the distance from the capacity is interpolated, not the threshold itself.
    """
    sizes = sorted({row["n_bits"] for row in measured["rows"]})
    thresholds: dict[str, list[list[int]]] = {}
    slopes: dict[str, list[list[int]]] = {}
    for bits_per_symbol in MODULATIONS:
        limits_db = [
            capacity_snr_db(bits_per_symbol, bits_per_symbol * max(s, 1) / RATE_STEPS) for s in range(RATE_STEPS)
        ]
        columns = []
        for n_bits in sizes:
            rows = [
                row for row in measured["rows"] if (row["bits_per_symbol"], row["n_bits"]) == (bits_per_symbol, n_bits)
            ]
            rows.sort(key=lambda row: row["code_rate"])
            rates = [row["code_rate"] for row in rows]
            fits = [fit(row) for row in rows]
            gaps_db = [at - row["capacity_snr_db"] for (at, _), row in zip(fits, rows, strict=True)]
            decades_db = [decade_db for _, decade_db in fits]
            column = []
            for step, limit_db in enumerate(limits_db):
                rate = max(step, 1) / RATE_STEPS
                gap_db, decade_db = np.interp(rate, rates, gaps_db), np.interp(rate, rates, decades_db)
                threshold_db = limit_db + gap_db
                if rate < rates[0]:  # the code of the lowest rate, repeated: each repetition adds its energy
                    lowest_db = capacity_snr_db(bits_per_symbol, bits_per_symbol * rates[0]) + gaps_db[0]
                    threshold_db = lowest_db + 10 * np.log10(rate / rates[0])
                is_known = rate <= rates[-1] + 1e-3
                column.append(
                    (round(100 * float(threshold_db + MARGIN_DB)), round(100 * float(decade_db)))
                    if is_known
                    else (UNUSABLE, 0)
                )
            columns.append(column)
        thresholds[str(bits_per_symbol)] = [[column[step][0] for column in columns] for step in range(RATE_STEPS)]
        slopes[str(bits_per_symbol)] = [[column[step][1] for column in columns] for step in range(RATE_STEPS)]
    return {
        "meta": measured["meta"], "block_bits": sizes, "snr_cdb_1e2": thresholds, "cdb_per_decade": slopes,
    }  # fmt: skip


def print_efficiency() -> None:
    """Information bits per symbol over the capacity of the best modulation, for payloads that fill so many symbols."""
    print("SNR, dB    " + "".join(f"{snr_db:7d}" for snr_db in EFFICIENCY_SNRS_DB))
    for n_symbols in EFFICIENCY_SYMBOLS:
        shares = []
        for snr_db in EFFICIENCY_SNRS_DB:
            code = choose_code(n_symbols, snr_db)
            carried = 0.0 if code is None else 8 * code.n_bytes / n_symbols
            shares.append(carried / max(mutual_information(m, snr_db) for m in MODULATIONS))
        print(f"{n_symbols:6d}     " + "".join(f"{share:7.2f}" for share in shares))


def main(arguments: list[str] | None = None) -> int:
    """Measures what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file; rows that it holds are not measured again")
    parser.add_argument("--write", action="store_true", help="write the table of the package from the file instead")
    parser.add_argument("--efficiency", action="store_true", help="print the share of the capacity that is carried")
    options = parser.parse_args(arguments)
    if options.efficiency:
        print_efficiency()
        return 0
    if options.out is None:
        parser.error("--out names the file of the measured rows")
    if options.write:
        TABLE.write_text(json.dumps(table(json.loads(options.out.read_text())), separators=(",", ":")) + "\n")
        return 0
    found = json.loads(options.out.read_text()) if options.out.exists() else {"rows": []}
    done = {(row["bits_per_symbol"], row["n_bits"], round(row["code_rate"], 2)) for row in found["rows"]}
    for n_bits in BLOCK_BITS:
        for bits_per_symbol in MODULATIONS:
            for code_rate in RATES:
                if (bits_per_symbol, n_bits, round(code_rate, 2)) in done:
                    continue
                found["rows"].append(measure(bits_per_symbol, code_rate, n_bits))
                print(json.dumps(found["rows"][-1]), flush=True)
                found["meta"] = run_meta(sys.argv, seed=0)
                part = options.out.with_suffix(".part")
                part.write_text(json.dumps(found, indent=1))
                part.replace(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
