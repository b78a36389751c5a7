# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of trainings. A new one is a module with a `TRAINING`, and a line in `TRAININGS`."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from gened.errors import ConfigError
from gened.models.training.processes import join_processes, rank_and_size
from gened.models.training.run import RunOptions, Training
from gened.models.training.schedule import Schedule, load_toml, read_config

TRAININGS: dict[str, str] = {
    "deepjscc": "gened.models.training.codecs.deepjscc.run",
    "editor": "gened.models.training.editor.run",
    "gened": "gened.models.training.codecs.gened.run",
}
"""Key `codec` of a configuration to the module with its `TRAINING`."""
DEFAULT = "deepjscc"
"""Training of a configuration without the key `codec`."""


def training(codec: str, where: str = "the configuration") -> Training:
    """The training that is registered under a name.

    Raises:
        ConfigError: Unknown name; the message begins with `where` and lists the known ones.
    """
    if codec not in TRAININGS:
        raise ConfigError(f"{where}: codec = {codec!r} has no training; known are {', '.join(TRAININGS)}")
    return cast(Training, importlib.import_module(TRAININGS[codec]).TRAINING)


def training_for(path: Path) -> Training:
    """The training that a configuration file is for.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or its codec has no training.
    """
    return training(str(load_toml(path).get("codec", DEFAULT)), str(path))


def train(
    config: Path | Schedule,
    *,
    data: Path,
    out: Path,
    saliency: Path | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    threads: int = 2,
    resume: bool = False,
    steps: int | None = None,
) -> Path:
    """Train until the configured steps are done or the minutes are over.

    Args:
        config: TOML file, or the configuration itself.
        data: Folder of tar shards or of pictures; of pairs for the editor.
        out: Folder for weights, state, log and sample pictures; made if absent.
        saliency: A teacher's saliency maps for the shards.
        minutes: Wall-clock limit of this call; None: none.
        device: `cpu` or `cuda`.
        threads: PyTorch threads on a CPU, and threads that prepare crops.
        resume: Continue from the state in `out`.
        steps: Overrides the configured steps.

    Returns:
        The folder with the averaged weights.

    Raises:
        GenedError: Bad configuration, no pictures, or a loss that is not finite.
    """
    begun = time.monotonic()
    if isinstance(config, Path):
        chosen = training_for(config)
        schedule: Schedule = read_config(config, chosen.config)
    else:
        chosen, schedule = training(getattr(config, "codec", DEFAULT)), config
    if steps is not None:
        schedule = replace(schedule, steps=steps)
    torch.set_num_threads(threads)
    join_processes(torch.device(device))
    run = chosen.make(schedule, RunOptions(data, out, saliency, device, threads, resume))
    out.mkdir(parents=True, exist_ok=True)
    say_first(f"{run.summary()}, prepared in {time.monotonic() - begun:.0f} s")
    run.go(deadline=None if minutes is None else begun + 60 * minutes, say=say_first)
    return out


def say_first(line: str) -> None:
    """Print at once, in the first of several processes."""
    if rank_and_size()[0] == 0:
        print(line, flush=True)
