# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train` without the command line's packages: PyTorch, NumPy, SciPy, Pillow and safetensors will do.

python -m gened.models.training --config models/training/configs/gened.toml --data TRAIN --out runs/gened
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from gened.errors import GenedError
from gened.models.training.trainings import training_for


def main() -> int:
    """Command line; also what `torchrun -m gened.models.training` starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--saliency", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    try:
        training_for(options.config)(
            options.config, data=options.data, out=options.out, saliency=options.saliency, minutes=options.minutes,
            device=options.device, threads=options.threads, resume=options.resume, steps=options.steps,
        )  # fmt: skip
    except GenedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
