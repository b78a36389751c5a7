# SPDX-License-Identifier: GPL-3.0-or-later
"""Bench of the link under all conditions: SNR loss, detection rate, error rates of headers and captions, speed.

python -m gened.bench.link --frames 100 --snr -2,0,4,10,20 --noise-samples 10000000 --json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

from gened.bench.link_conditions import CONDITIONS, Condition, chosen
from gened.bench.link_costs import measure_speed, overhead, peaks
from gened.bench.link_frames import random_frame
from gened.bench.link_gnuradio import OFFSETS_NORM, Point, compare
from gened.bench.link_rows import Row, measure
from gened.bench.link_signals import SIGNALS, false_frames
from gened.errors import ConfigError, GenedError

__all__ = ["CONDITIONS", "Condition", "Plan", "Row", "measure", "random_frame", "run"]

SNRS_DB = (-2.0, 0.0, 1.0, 4.0, 10.0, 20.0)
N_FRAMES = 50
NOISE_SAMPLES = 2_000_000
SPEED_NOISE_SAMPLES = 10_000_000
GNURADIO_SNRS_DB = (0.0, 4.0, 10.0, 12.0, 14.0, 16.0, 20.0)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Plan of the measurements."""

    conditions: tuple[Condition, ...] = CONDITIONS
    snrs_db: tuple[float, ...] = SNRS_DB
    n_frames: int = N_FRAMES
    seed: int = 1
    noise_samples: int = NOISE_SAMPLES
    """Samples of each signal without frames, for false frames; 0 leaves them out."""
    signals: tuple[str, ...] = tuple(SIGNALS)
    has_costs: bool = True
    """Whether to measure speed, memory, overhead and PAPR."""
    n_gnuradio: int = 0
    """Packets per point of GNU Radio's link; 0 leaves it out."""
    workers: int = 1

    def __post_init__(self) -> None:
        if unknown := [name for name in self.signals if name not in SIGNALS]:
            raise ConfigError(f"no signal '{unknown[0]}'; known are {', '.join(SIGNALS)}")
        if not 1 <= self.n_frames <= 1_000_000:
            raise ConfigError(f"{self.n_frames} frames a row; from 1 to 1000000 are possible")
        if not 0 <= self.noise_samples <= 10**10:
            raise ConfigError(f"{self.noise_samples} samples without a frame; from 0 to 1e10 are possible")
        if not self.snrs_db or not all(-40 <= snr_db <= 100 for snr_db in self.snrs_db):
            raise ConfigError("an SNR from -40 to 100 dB is possible, and one at least is needed")


Job = tuple[Callable[..., Any], tuple[Any, ...]]


def run(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """Run all measurements of a plan.

    Args:
        plan: Plan of the measurements.
        progress: Called with the number of measurements done and their total.

    Returns:
        `rows`, `speed`, `overhead`, `peaks`, `false_frames` and `gnuradio`: None for parts left out.

    Raises:
        LinkError: GNU Radio's link failed.
    """
    jobs: dict[Any, Job] = {
        ("row", c.name, snr_db): (measure, (c, snr_db, plan.n_frames, plan.seed))
        for c in plan.conditions for snr_db in plan.snrs_db
    }  # fmt: skip
    if plan.noise_samples:
        jobs |= {("false", name): (false_frames, (name, plan.noise_samples, plan.seed)) for name in plan.signals}
    if plan.n_gnuradio:
        points = [Point(s, c, plan.n_gnuradio, plan.seed) for c in OFFSETS_NORM for s in GNURADIO_SNRS_DB]
        jobs |= {("gnuradio", cfo_norm): (compare, ([p for p in points if p.cfo_norm == cfo_norm],))
                 for cfo_norm in OFFSETS_NORM}  # fmt: skip
    n_jobs = len(jobs) + plan.has_costs
    speed = _alone(measure_speed, SPEED_NOISE_SAMPLES, plan.seed) if plan.has_costs else None
    found: dict[Any, Any] = {}
    for key, value in _results(jobs, plan.workers):
        found[key] = value
        if progress is not None:
            progress(len(found) + plan.has_costs, n_jobs)
    return {
        "rows": [asdict(found[key]) for key in jobs if key[0] == "row"],
        "speed": speed,
        "overhead": overhead(plan.seed) if plan.has_costs else None,
        "peaks": peaks(plan.seed) if plan.has_costs else None,
        "false_frames": [asdict(found[key]) for key in jobs if key[0] == "false"] or None,
        "gnuradio": [row for key in jobs if key[0] == "gnuradio" for row in found[key]] or None,
    }


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Pool of new processes that all end with an error or an interruption."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a process of its own, so that its memory can be measured."""
    with _pool(1) as pool:
        return pool.submit(function, *arguments).result()


def _results(jobs: dict[Any, Job], workers: int) -> Iterator[tuple[Any, Any]]:
    """Key and result of each job in the order of completion; results do not depend on the number of workers."""
    if workers == 1:
        for key, (function, arguments) in jobs.items():
            yield key, function(*arguments)
        return
    with _pool(workers) as pool:
        futures: dict[Future[Any], Any] = {pool.submit(f, *arguments): key for key, (f, arguments) in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


def main(argv: list[str] | None = None) -> int:
    """Print tables or JSON; `gened bench link` does the same with a progress bar."""
    parser = argparse.ArgumentParser(description="SNR loss, detection and speed of the link")
    parser.add_argument("--frames", type=int, default=N_FRAMES, help=f"frames a row (default {N_FRAMES})")
    parser.add_argument("--snr", default=",".join(f"{s:g}" for s in SNRS_DB), help="dB, separated by commas")
    parser.add_argument("--conditions", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--noise-samples", type=int, default=NOISE_SAMPLES, help="of each signal that is no frame")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    args = parser.parse_args(argv)
    try:
        plan = Plan(
            conditions=tuple(chosen(args.conditions.split(","))) if args.conditions else CONDITIONS,
            snrs_db=tuple(float(snr) for snr in args.snr.split(",")), n_frames=args.frames, seed=args.seed,
            noise_samples=args.noise_samples, workers=args.workers,
        )  # fmt: skip
        result = run(plan)
    except (GenedError, ValueError) as error:
        print(f"link: {error}", file=sys.stderr)
        return 1
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "machine": platform.machine()}
    if args.json:
        print(json.dumps({"meta": {"command": sys.argv, "seed": args.seed, **versions}, **result}, indent=1))
        return 0
    from rich.console import Console

    from gened.bench.link_table import tables

    Console().print(*tables(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
