# SPDX-License-Identifier: GPL-3.0-or-later
"""Bench of the digital path: frame error rates of every mode over Es/N0, and the speed of LDPC decoders.

Bursts carry texts of 60 bytes and the symbols of a picture. `ldpc_curves` measures error rates, `ldpc_speed` compares
decoders, `ldpc_partial` measures the recovery of single bytes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from gened.bench.ldpc_curves import TRIALS, distances, measure_curve
from gened.bench.ldpc_partial import LENGTHS, SNRS_DB, measure_left
from gened.bench.ldpc_speed import CODES, speeds
from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.modes import MODES, count_symbols, mode

N_ANALOG = 8192
"""Analogue symbols of a picture of 256x256 at rate 1/24."""
TEXT_BYTES = (20, 60)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class LdpcPlan:
    """Plan of the measurements."""

    modes: tuple[str, ...] = tuple(MODES)
    """Modes whose curves are measured; none leaves the curves out."""
    n_frames: int = 1000
    """Most headers decoded per point; a point ends earlier after 100 lost texts."""
    n_analog: int = N_ANALOG
    """Number of analogue symbols per burst."""
    n_blocks: int = 256
    """Number of blocks per code for the speed of decoders; 0 leaves it out."""
    n_broken: int = 100
    """Number of lost texts per length for the recovery of single bytes; 0 leaves it out."""
    has_gnuradio: bool = False
    seed: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        for name in self.modes:
            mode(name)
        if not 1 <= self.n_frames <= 1_000_000:
            raise ConfigError(f"{self.n_frames} frames a point; from 1 to 1000000 are possible")
        if not 0 <= self.n_blocks <= 100_000 or not 0 <= self.n_broken <= 100_000:
            raise ConfigError(f"{self.n_blocks} blocks, {self.n_broken} lost texts; from 0 to 100000 are possible")
        if not 0 <= self.n_analog <= 8192:
            raise ConfigError(f"{self.n_analog} analogue symbols; a burst of this bench has from 0 to 8192")


def run(plan: LdpcPlan, progress: Progress | None = None) -> dict[str, Any]:
    """Run all measurements of a plan.

    Args:
        plan: Plan of the measurements.
        progress: Called with the number of measurements done and their total.

    Returns:
        `rows`, points of the curves; `distances`, SNRs at 10 % and 1 % and their differences; `modes`, parameters and
        symbols of each mode; `speed` of decoders; `partial`, recovered bytes of lost texts. None for parts left out.

    Raises:
        LinkError: GNU Radio's decoder failed.
    """
    jobs = [(name, path) for name in plan.modes for path in TRIALS]
    broken = [(n_bytes, snr_db) for n_bytes in LENGTHS for snr_db in SNRS_DB] if plan.n_broken else []
    n_jobs = len(jobs) + len(broken) + (len(CODES) if plan.n_blocks else 0)
    n_done = 0

    def tell() -> None:
        nonlocal n_done
        n_done += 1
        if progress is not None:
            progress(n_done, n_jobs)

    speed = []
    for code_rate, z in CODES if plan.n_blocks else ():  # first and by itself: its times mean something
        speed += speeds(code_rate, z, plan.n_blocks, plan.seed, has_gnuradio=plan.has_gnuradio)
        tell()
    partial = []
    for n_bytes, snr_db in broken:
        partial.append(asdict(measure_left(n_bytes, snr_db, plan.n_broken, plan.seed)))
        tell()
    found: dict[Any, Any] = {}
    arguments = (plan.n_frames, plan.n_analog, plan.seed)
    if plan.workers == 1:
        for job in jobs:
            found[job] = measure_curve(*job, *arguments)
            tell()
    else:
        with ProcessPoolExecutor(plan.workers, multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(measure_curve, *job, *arguments): job for job in jobs}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                tell()
    points = [point for job in jobs for point in found[job]]
    return {
        "rows": [{**asdict(point), "fer": point.fer} for point in points],
        "distances": distances(points),
        "modes": [describe(name) for name in MODES],
        "speed": [asdict(row) for row in speed] or None,
        "partial": partial or None,
    }


def describe(name: str) -> dict[str, Any]:
    """Parameters of a mode, and the symbols that texts of 20 and 60 bytes take."""
    chosen = mode(name)
    costs = {f"symbols_{n}_bytes": count_symbols(n, chosen) for n in TEXT_BYTES}
    return {
        "mode": name, "number": chosen.number, "bits_per_symbol": chosen.bits_per_symbol,
        "code_rate": chosen.code_rate, "repetition": chosen.repetition, "min_snr_db": chosen.min_snr_db, **costs,
    }  # fmt: skip
