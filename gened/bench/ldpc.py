# SPDX-License-Identifier: GPL-3.0-or-later
"""What the digital path is worth: frame error rates of every mode over Es/N0, and how fast its codes are decoded.

Texts of 60 bytes beside a picture's symbols. `gened bench ldpc` measures, `ldpc_curves` says how, `ldpc_speed` sets
other decoders beside ours.
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
"""Of a picture of 256x256 at rate 1/24."""
TEXT_BYTES = (20, 60)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class LdpcPlan:
    """What is measured."""

    modes: tuple[str, ...] = tuple(MODES)
    """None of them leaves the curves out."""
    n_frames: int = 1000
    """Most headers read at each point; a point ends sooner when 100 texts are lost."""
    n_analog: int = N_ANALOG
    """Analogue symbols in each burst."""
    n_blocks: int = 256
    """For the speed at each code; 0 leaves it out."""
    n_broken: int = 100
    """Lost texts of each length, for what is left of them; 0 leaves that out."""
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
    """All that the plan says.

    Args:
        plan: What is measured.
        progress: Told how many of how many measurements are done.

    Returns:
        `rows`, points of the curves; `distances`, where each reaches 10 % and 1 % and how far apart they are; `modes`,
        what each is and costs; `speed`, and `partial`, what is left of lost texts: null where not asked for.

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
    """A mode, and what texts of 20 and of 60 bytes cost in it."""
    chosen = mode(name)
    costs = {f"symbols_{n}_bytes": count_symbols(n, chosen) for n in TEXT_BYTES}
    return {
        "mode": name, "number": chosen.number, "bits_per_symbol": chosen.bits_per_symbol,
        "code_rate": chosen.code_rate, "repetition": chosen.repetition, "min_snr_db": chosen.min_snr_db, **costs,
    }  # fmt: skip
