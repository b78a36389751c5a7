# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train` without the packages of the command line: PyTorch, NumPy, SciPy, Pillow and safetensors suffice.

python -m gened.models.training --config models/training/configs/gened.toml --data TRAIN --out runs/gened
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from gened.errors import GenedError
from gened.models.training.processes import leave_processes
from gened.models.training.schedule import config_file
from gened.models.training.trainings import train


def main() -> int:
    """Run the command line, which `torchrun -m gened.models.training` starts once per process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="TOML file, or the name of one that ships")
    parser.add_argument("--data", type=Path, required=True, help="folder of tar shards, of pictures, or of pairs")
    parser.add_argument("--saliency", type=Path, help="folder of a teacher's saliency maps for the shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, state and log")
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--steps", type=int, help="overrides the configured steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2, help="PyTorch threads on a CPU, per process")
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    options = parser.parse_args()
    try:
        train(
            config_file(options.config), data=options.data, out=options.out, saliency=options.saliency,
            minutes=options.minutes, device=options.device, threads=options.threads, resume=options.resume,
            steps=options.steps,
        )  # fmt: skip
    except GenedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        leave_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
