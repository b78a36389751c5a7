# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened train` without the packages of the command line: PyTorch, NumPy, SciPy, Pillow and safetensors suffice.

python -m gened.models.training gened --data TRAIN --out runs/gened
torchrun --nproc-per-node 2 -m gened.models.training gened --data TRAIN --out runs/gened
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from gened.errors import GenedError
from gened.models.training.overview import overview
from gened.models.training.processes import leave_processes
from gened.models.training.progress import Progress
from gened.models.training.schedule import config_file
from gened.models.training.trainings import train


def main() -> int:
    """Run the command line, which `torchrun -m gened.models.training` starts once per process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    configuration = parser.add_mutually_exclusive_group(required=True)
    configuration.add_argument("name", nargs="?", metavar="CONFIG", help="TOML file, or the name of one that ships")
    configuration.add_argument("--config", help="the same as CONFIG")
    configuration.add_argument("--list", action="store_true", help="print the configurations that ship, and end")
    parser.add_argument("--data", type=Path, help="folder of tar shards, of pictures, or of pairs")
    parser.add_argument("--saliency", type=Path, help="folder of a teacher's saliency maps for the shards")
    parser.add_argument("--out", type=Path, help="folder for weights, state and log")
    parser.add_argument("--minutes", type=float, help="stop after this time, which counts from the first step")
    parser.add_argument("--steps", type=int, help="overrides the configured steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="PyTorch device")
    parser.add_argument(
        "--threads", type=int, help="PyTorch threads on a CPU, per process (default: the cores, divided by processes)"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the training in --out")
    options = parser.parse_args()
    try:
        if options.list:
            print(overview())
            return 0
        if options.data is None or options.out is None:
            parser.error("--data and --out are required")
        train(
            config_file(Path(options.config or options.name)), data=options.data, out=options.out,
            saliency=options.saliency, minutes=options.minutes, device=options.device, threads=options.threads,
            resume=options.resume, overwrite=options.overwrite, steps=options.steps, progress=Progress(),
        )  # fmt: skip
    except GenedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        leave_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
