# SPDX-License-Identifier: GPL-3.0-or-later
"""Ablations: tables I and II of arXiv:2606.04015 and further variants, each with the same small training.

    python -m gened.models.training.studies.ablations --data TRAIN --saliency runs/saliency \\
        --eval EVAL/sod --work runs/ablations --out results/codec/ablations.json

Each variant begins with the trunk of the shipped decoder, is trained on the same crops with the same steps and seed,
and is measured on the same pictures. (From the linear code alone, all lay within 0.1 dB of each other after 150 steps.)
A variant whose weights are in the work folder is only measured; an interrupted training is resumed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gened import paths
from gened.errors import GenedError
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.run import CONFIG_FILE
from gened.models.training.schedule import read_config
from gened.models.training.state import has_state
from gened.models.training.trainings import train

PAPER = paths.TRAINING_CONFIGS / "paper.toml"
SMALL: dict[str, Any] = {
    "crop": 128, "batch": 4, "steps": 300, "warm_up": 30, "hold_share": 0.5, "ema_decay": 0.98,
    "warm_start": "gened", "trunk_only": True,
}  # fmt: skip
SNRS_DB = (1.0, 10.0)
METRICS = ("psnr", "masks", "st_lpips", "brisque")


@dataclass(frozen=True)
class Variant:
    """One variant: its differences from the configuration of the paper."""

    name: str
    meaning: str
    changes: dict[str, Any]
    focus: float | None = None
    """Weight of important blocks at evaluation; None: the codec's own."""


VARIANTS = (
    Variant("paper", "encoder and decoder of two branches, M, eqs. (21) to (26)", {}),
    Variant("single", "Table I: one branch", {"dual": False}),
    Variant(
        "no-importance", "Table I: no importance prediction, no mask sent", {"predicts": False, "focus_share": 0.0}, 1.0
    ),
    Variant("no-objective", "Table I: no semantic objective, plain squared error", {"objective": "mse"}),
    Variant("swin", "Table II: Swin in both branches", {"background": "swin"}),
    Variant("cbam", "Table II: CBAM in both branches", {"foreground": "cbam"}),
    Variant("full-match", "eq. (21) over all pixels", {"match_loss": "full"}),
    Variant("full-single", "that, one branch", {"match_loss": "full", "dual": False}),
    Variant("full-swin", "that, Swin in both branches", {"match_loss": "full", "background": "swin"}),
    Variant("full-cbam", "that, CBAM in both branches", {"match_loss": "full", "foreground": "cbam"}),
    Variant(
        "background-mse", "eq. (21) over all pixels and the background's squared error",
        {"match_loss": "full", "lambda_background_mse": 1e-4}
    ),
    Variant(
        "ours", "logarithm of the weighted error, full cross-entropy", {"objective": "log", "match_loss": "full"}
    ),
    Variant(
        "ours-no-encoder", "that, without a network at the encoder: what is shipped",
        {"objective": "log", "match_loss": "full", "encoder": False},
    ),
)  # fmt: skip


def configured(variant: Variant, changes: dict[str, Any]) -> GenedTraining:
    """The configuration of a variant."""
    return replace(read_config(PAPER, GenedTraining), **{**SMALL, **variant.changes, **changes})


def is_done(folder: Path, config: GenedTraining) -> bool:
    """Whether the weights in a folder come from this training, completed."""
    try:
        training = json.loads((folder / CONFIG_FILE).read_text())["training"][config.stage]
    except (OSError, ValueError, KeyError):
        return False
    same = all(_plain(training.get(key)) == _plain(value) for key, value in asdict(config).items())
    return same and training["steps_done"] == config.steps


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def measured(variant: Variant, folder: Path, pictures: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the evaluation, one per SNR."""
    from gened.models.codecs.encode_options import EncodeOptions
    from gened.models.codecs.registry import load_codec
    from gened.models.evaluation.run.evaluate import evaluate

    rows = evaluate(
        load_codec(str(folder)), pictures, snrs_db=SNRS_DB, resize=256, limit=arguments.limit,
        encode=EncodeOptions(focus=variant.focus), metrics=METRICS, mask="codec" if variant.focus is None else "none",
        workers=arguments.workers, codec_name=str(folder),
    )  # fmt: skip
    return rows


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and measure; returns the table."""
    changes = {} if arguments.steps is None else {"steps": arguments.steps}
    rows: list[dict[str, Any]] = []
    trainings: dict[str, Any] = {}
    wanted = [variant for variant in VARIANTS if not arguments.only or variant.name in arguments.only]
    for seed, variant in itertools.product(arguments.seeds, wanted):
        name = variant.name if seed == 1 else f"{variant.name}-{seed}"
        folder, config = arguments.work / name, configured(variant, {**changes, "seed": seed})
        if not is_done(folder, config):
            print(f"== {name}: {variant.meaning}", flush=True)
            resumes = has_state(folder)
            train(
                config, data=arguments.data, out=folder, saliency=arguments.saliency, device=arguments.device,
                threads=arguments.threads, resume=resumes, overwrite=not resumes,
            )  # fmt: skip
        trainings[name] = json.loads((folder / CONFIG_FILE).read_text())["training"][config.stage]["seconds"]
        if arguments.eval is not None:
            found = measured(variant, folder, arguments.eval, arguments)
            rows += [{"variant": variant.name, "seed": seed, "meaning": variant.meaning, **row} for row in found]
    meta = {
        "command": shlex.join(["python", "-m", "gened.models.training.studies.ablations", *sys.argv[1:]]),
        "torch": torch.__version__, "seconds": trainings, "small": {**SMALL, **changes},
    }  # fmt: skip
    return {"meta": meta, "rows": rows}


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    result = argparse.ArgumentParser(description="Train and measure the variants of the ablation table.")
    result.add_argument("--data", type=Path, required=True, help="folder of tar shards or of pictures")
    result.add_argument("--saliency", type=Path, help="a teacher's maps for the shards")
    result.add_argument("--eval", type=Path, help="folder with images/ and masks/; without it nothing is measured")
    result.add_argument("--work", type=Path, required=True, help="folder for the trainings")
    result.add_argument("--out", type=Path, help="write the table here, as JSON")
    result.add_argument("--only", nargs="*", choices=[variant.name for variant in VARIANTS], help="these variants")
    result.add_argument("--seeds", type=int, nargs="+", default=[1], help="train and measure once for each (default 1)")
    result.add_argument("--steps", type=int, help=f"instead of {SMALL['steps']}")
    result.add_argument("--limit", type=int, help="the first so many pictures")
    result.add_argument("--workers", type=int, default=1, help="processes that share the pictures")
    result.add_argument("--device", default="cpu")
    result.add_argument("--threads", type=int, default=2)
    return result


def main() -> int:
    """Run the command line."""
    arguments = parser().parse_args()
    try:
        found = run(arguments)
    except GenedError as error:
        print(f"ablations: {error}", file=sys.stderr)
        return 1
    text = json.dumps(found, indent=1)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
