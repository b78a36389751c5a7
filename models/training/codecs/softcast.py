# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of `softcast`, fitted to photographs.

    python -m gened.models.training.codecs.softcast --data TRAIN --out FOLDER

Classes begin as quantiles of the blocks by activity of luma, each divided by the direction of its edges with
`--directions 2`. Then two steps alternate: the sender's own choice (`choose_classes`, at SNRs and rates drawn per
picture) assigns the blocks to classes, and means, principal components, variances and the frequencies of the class
map are estimated from them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError, GenedError
from gened.gr_blocks.phy.framing.budget import analog_budget, budget, side_symbols
from gened.gr_blocks.phy.types import ImageSize
from gened.models.codecs.analog.blocks import BLOCK, LUMA, VALUES, activity, grid_shape, split
from gened.models.codecs.analog.choose import choose_classes, class_groups
from gened.models.codecs.analog.class_map import IntMap, count_contexts, map_bits
from gened.models.codecs.analog.plan import make_plan
from gened.models.codecs.analog.statistics import FREQUENCY_TOTAL, VARIANCE_UNIT, BlockClass, Statistics, to_tensors
from gened.models.data.training_set import Photograph, load_photographs
from gened.models.training.files import write_arrays, write_json
from gened.models.training.progress import Progress

LEVELS = 8
"""Quantiles of activity."""
TOTAL_ROWS = 2520
"""Basis vectors of all classes together: 2520 * 768 * 2 bytes are 3.87 MB."""
MIN_ROWS = 32
MAX_ROWS = 512
MIN_SIDE = 128
MAX_REDUCTION = 2.5
SNRS_DB = (1.0, 4.0, 7.0, 10.0)
RATES = (Fraction(1, 24), Fraction(1, 24), Fraction(1, 48), Fraction(1, 12))

UInt8Array = npt.NDArray[np.uint8]


class TrainingPicture(NamedTuple):
    """The blocks of one picture."""

    blocks: UInt8Array
    """[rows * columns, 768]."""
    size: ImageSize

    def values(self) -> npt.NDArray[np.float32]:
        """[rows * columns, 768] in [0, 1]."""
        return self.blocks.astype(np.float32) / np.float32(255)


def reduced(photograph: Photograph, rng: np.random.Generator) -> TrainingPicture:
    """The blocks of a photograph, reduced by a random factor of 1 to 2.5 and changed in aspect ratio."""
    height, width = photograph.pixels.shape[:2]
    reduction = min(rng.uniform(1.0, MAX_REDUCTION), min(height, width) / MIN_SIDE)
    squeeze = 1.5 ** (0.5 * rng.uniform(-1.0, 1.0))
    size = ImageSize(
        *(
            max(MIN_SIDE, int(side / reduction * factor)) // 16 * 16
            for side, factor in ((height, squeeze), (width, 1 / squeeze))
        )
    )
    pixels = np.asarray(Image.fromarray(photograph.pixels).resize((size.width, size.height), Image.Resampling.BICUBIC))
    return TrainingPicture(split(pixels.transpose(2, 0, 1).astype(np.float32)).astype(np.uint8), size)


def first_classes(values: npt.NDArray[np.float32], quantiles: npt.NDArray[np.float64], directions: int) -> IntMap:
    """Classes of blocks by activity, and with `directions` 2 by whether luma varies more vertically, [n]."""
    level = np.searchsorted(quantiles, activity(values))
    if directions == 1:
        return level
    luma = np.einsum("ncp,c->np", values.reshape(len(values), 3, -1), LUMA).reshape(-1, BLOCK, BLOCK)
    down, across = np.abs(np.diff(luma, axis=1)).sum((1, 2)), np.abs(np.diff(luma, axis=2)).sum((1, 2))
    classes: IntMap = directions * level + (down > across)
    return classes


class Moments:
    """Count, sum and sum of products of the blocks of one class."""

    def __init__(self) -> None:
        self.count = 0
        self.total = np.zeros(VALUES)
        self.products = np.zeros((VALUES, VALUES))

    def add(self, blocks: npt.NDArray[np.float32]) -> None:
        """Add blocks, [n, 768]."""
        self.count += len(blocks)
        self.total += blocks.sum(0, dtype=np.float64)
        self.products += blocks.T @ blocks

    def block_class(self, n_rows: int) -> BlockClass:
        """Mean and the first `n_rows` principal components."""
        mean = self.total / max(self.count, 1)
        values, vectors = np.linalg.eigh(self.products / max(self.count, 1) - np.outer(mean, mean))
        falling = np.maximum(values[::-1], 0)
        variance_q = np.clip(np.rint(falling[:n_rows] / VARIANCE_UNIT), 1, 2**31 - 1).astype(np.int64)
        basis = vectors[:, ::-1][:, :n_rows].T.astype(np.float32)
        return BlockClass(mean.astype(np.float32), basis, variance_q, float(falling.sum()))


def fit_frequencies(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts of `count_contexts` as frequencies of sum 4096, each at least 1; rare contexts lean on shorter ones."""
    n = counts.shape[-1]
    plain = counts.sum((0, 1, 2)) + 1.0
    plain /= plain.sum()
    pairs = counts.sum(2) + 8 * plain
    pairs /= pairs.sum(-1, keepdims=True)
    full = counts + 16 * pairs[:, :, None, :]
    shares = full / full.sum(-1, keepdims=True) * (FREQUENCY_TOTAL - n)
    result = np.floor(shares).astype(np.int64) + 1
    missing = FREQUENCY_TOTAL - result.sum(-1)
    rank = np.argsort(np.argsort(-(shares - np.floor(shares)), axis=-1, kind="stable"), axis=-1, kind="stable")
    complete: npt.NDArray[np.int64] = result + (rank < missing[..., None])
    return complete


def fit(
    pictures: list[TrainingPicture], labels: list[npt.NDArray[np.int64]], thresholds: npt.NDArray[np.float64]
) -> Statistics:
    """Statistics of pictures whose blocks have these classes, each map [rows, columns]."""
    n = len(thresholds) + 1
    moments = [Moments() for _ in range(n)]
    counts = np.zeros((n + 1,) * 3 + (n,), np.int64)
    for begin in range(0, len(pictures), 64):
        blocks = np.concatenate([picture.values() for picture in pictures[begin : begin + 64]])
        classes = np.concatenate([label.ravel() for label in labels[begin : begin + 64]])
        for index, moment in enumerate(moments):
            moment.add(blocks[classes == index])
    for label in labels:
        counts += count_contexts(label, n)
    common = Moments()
    for moment in moments:
        common.count += moment.count
        common.total += moment.total
        common.products += moment.products
    return Statistics(tuple(m.block_class(MAX_ROWS) for m in [*moments, common]), fit_frequencies(counts), thresholds)


def assign(picture: TrainingPicture, statistics: Statistics, *, snr_db: float, rate: Fraction) -> npt.NDArray[np.int64]:
    """The class map that the sender would choose."""
    allowed = budget(picture.size, rate, snr_db)
    typical = 2 + len(picture.blocks) // 4
    return choose_classes(
        picture.values(), grid_shape(picture.size), statistics, snr_db=snr_db,
        n_symbols=lambda n_bits: analog_budget(picture.size, rate, snr_db, 2 + int(n_bits / 8)),
        symbols_per_bit=side_symbols(typical, allowed.side_mode, allowed.n_bursts) / (8 * typical),
    )  # fmt: skip


def choose_rows(
    pictures: list[TrainingPicture], labels: list[npt.NDArray[np.int64]], statistics: Statistics, total: int
) -> list[int]:
    """Basis vectors to keep of each class: those that carry most variance over all pictures, at rates 1/24 and 1/12."""
    n = statistics.n_map_classes
    use = np.zeros((n + 1, MAX_ROWS))
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        n_symbols = analog_budget(picture.size, Fraction(1, 24 if index % 2 else 12), 10.0, 2 + label.size // 4)
        groups = class_groups(label, statistics)
        for row, (group, sent) in enumerate(zip(groups, make_plan(groups, n_symbols, 10.0).n_sent, strict=True)):
            use[row, :sent] += group.n_blocks * group.variance_q[:sent] * VARIANCE_UNIT
    # The class of all blocks serves the smallest pictures: as many rows as rate 1/12 needs when all blocks take the
    # same.
    use[n, :128] = np.inf
    use[:, :MIN_ROWS] = np.inf
    best = np.argsort(-use.ravel(), kind="stable")[:total]
    return [int(n) for n in np.bincount(best // MAX_ROWS, minlength=n + 1)]


def cut(statistics: Statistics, rows: list[int]) -> Statistics:
    """The statistics with `rows` basis vectors per class."""
    classes = tuple(
        BlockClass(entry.mean, entry.basis[:n], entry.variance_q[:n], entry.total_variance)
        for entry, n in zip(statistics.classes, rows, strict=True)
    )
    return Statistics(classes, statistics.frequencies, statistics.thresholds)


class Setup(NamedTuple):
    """Everything that the statistics depend on beside the pictures."""

    rounds: int
    """Number of assignments; 0: classes of activity only."""
    seed: int
    """Seed of the reductions and the operating points."""
    directions: int = 1
    """1 or 2 classes per quantile of activity."""
    rows: int = TOTAL_ROWS
    """Basis vectors of all classes together."""


def train(
    data: Path,
    out: Path,
    *,
    rounds: int,
    seed: int,
    directions: int = 1,
    rows: int = TOTAL_ROWS,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Fit the statistics; write `model.safetensors` and `config.json`.

    The state is saved after each round, so a run that was interrupted repeats part of one round.

    Args:
        data: Tar shards or a folder of pictures.
        out: Folder, made if it is not there.
        rounds: Number of assignments; 0: classes of activity only.
        seed: Seed of the reductions and the operating points.
        directions: 1 or 2 classes per quantile of activity.
        rows: Basis vectors of all classes together.
        resume: Continue after the last round whose state is in `out`.
        overwrite: Replace the training in `out`.
        progress: Receives what is being done; None: nothing is shown.

    Raises:
        ConfigError: No pictures in `data`; `out` holds a training, or one of other data or options; it cannot be
            written to.
    """
    setup = Setup(rounds, seed, directions, rows)
    progress = progress or Progress(is_quiet=True)
    state = _begin(data, out, setup, resume=resume, overwrite=overwrite)
    statistics, n_pictures, n_blocks = _fitted(data, out, setup, state, progress)
    try:
        write(
            statistics,
            out,
            {
                "pictures": n_pictures,
                "blocks": n_blocks,
                "rounds": rounds,
                "seed": seed,
                "directions": directions,
            },
        )
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror}; --resume continues") from error


def _begin(data: Path, out: Path, setup: Setup, *, resume: bool, overwrite: bool) -> dict[str, Any]:
    """Check folder and options before the pictures are read; returns the state, which holds no round at the start."""
    from gened.models.training import state as states
    from gened.models.training.fingerprint import fingerprint
    from gened.models.training.folder import remove_training, require_apart, require_unused, require_writable

    if resume and overwrite:
        raise ConfigError("--resume continues a training and --overwrite replaces it; give one of them")
    require_apart(data, out)
    if not resume and not overwrite:
        require_unused(out, setup.rounds)
    options = {"codec": "softcast", "steps": setup.rounds, **setup._asdict()}
    hashes = {"data": fingerprint(data, without=out)}
    state = {"step": 0, "schedule": options, "data": hashes}
    if resume:
        found = states.read_state(out, say=print)
        states.require_same_training(out, found, options, hashes)
        state = found
    require_writable(out)
    if overwrite:
        remove_training(out)
    return state


def _fitted(
    data: Path, out: Path, setup: Setup, state: dict[str, Any], progress: Progress
) -> tuple[Statistics, int, int]:
    """The statistics, and the numbers of pictures and of blocks."""
    import torch

    from gened.models.training.state import write_state

    def say(line: str) -> None:
        progress.clear()
        print(line, flush=True)

    rng = np.random.default_rng(setup.seed)
    report = partial(progress.report, "reading files of photographs")
    photographs = load_photographs(data, min_side=MIN_SIDE, report=report)
    pictures = [reduced(photograph, rng) for photograph in photographs]
    del photographs
    activities = np.concatenate([activity(picture.values()) for picture in pictures])
    quantiles = np.quantile(activities, np.arange(1, LEVELS) / LEVELS)
    # Repeated so that the sender's first choice, by activity alone, is the first class of each share.
    thresholds = np.concatenate([np.repeat(quantiles, setup.directions), np.full(setup.directions - 1, np.inf)])
    say(f"{len(pictures)} pictures, {len(activities)} blocks")
    if state["step"]:
        flat = state["labels"].numpy()
        ends = np.cumsum([picture.blocks.shape[0] for picture in pictures])
        labels = [part.reshape(grid_shape(p.size)) for part, p in zip(np.split(flat, ends[:-1]), pictures, strict=True)]
        rng.bit_generator.state = json.loads(state["rng"])
        say(f"continuing after round {state['step']}")
    else:
        labels = [first_classes(p.values(), quantiles, setup.directions).reshape(grid_shape(p.size)) for p in pictures]
    statistics = fit(pictures, labels, thresholds)
    for index in range(state["step"], setup.rounds):
        points = [(float(rng.choice(SNRS_DB)), RATES[rng.integers(len(RATES))]) for _ in pictures]
        labels = []
        for picture, (snr_db, rate) in zip(pictures, points, strict=True):
            labels.append(assign(picture, statistics, snr_db=snr_db, rate=rate))
            progress.report(f"round {index + 1} of {setup.rounds}: choosing classes", len(labels), len(pictures))
        bits = sum(map_bits(label, statistics.frequencies) for label in labels) / len(activities)
        statistics = fit(pictures, labels, thresholds)
        flat = np.concatenate([label.ravel() for label in labels]).astype(np.int64)
        shares = np.bincount(flat, minlength=statistics.n_map_classes) / len(activities)
        say(f"round {index + 1}: {bits:.2f} bits per block, shares {np.round(shares, 3)}")
        numbers = json.dumps(rng.bit_generator.state)
        write_state(out, {**state, "step": index + 1, "labels": torch.from_numpy(flat), "rng": numbers})
    rows = choose_rows(pictures, labels, statistics, setup.rows)
    return cut(statistics, rows), len(pictures), len(activities)


def write(statistics: Statistics, out: Path, training: dict[str, int]) -> None:
    """`model.safetensors` and `config.json`."""
    out.mkdir(parents=True, exist_ok=True)
    write_arrays(out / "model.safetensors", to_tensors(statistics))
    rows = [len(entry.basis) for entry in statistics.classes]
    write_json(out / "config.json", {
        "codec": "softcast",
        "statistics": {"classes": statistics.n_map_classes, "rows": rows},
        "training": training,
    })  # fmt: skip


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of tar shards or of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.safetensors and config.json")
    parser.add_argument("--rounds", type=int, default=4, help="assignments after the first, by activity")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directions", type=int, choices=(1, 2), default=1, help="classes per quantile of activity")
    parser.add_argument("--rows", type=int, default=TOTAL_ROWS, help="basis vectors of all classes together")
    parser.add_argument("--resume", action="store_true", help="continue after the last round in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the training in --out")
    options = parser.parse_args()
    try:
        train(
            options.data, options.out, rounds=options.rounds, seed=options.seed, directions=options.directions,
            rows=options.rows, resume=options.resume, overwrite=options.overwrite, progress=Progress(),
        )  # fmt: skip
    except GenedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; --resume continues after the last round", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
