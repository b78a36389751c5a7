# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of trainings: built-in ones, and those of other packages in the entry-point group `gened.trainings`.

A new one is a module with a `TRAINING`, and a line in `TRAININGS`. In another package it is an entry point,
"module:TRAINING"; `gened train NAME` then runs it with the defaults of its configuration.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from gened.errors import ConfigError
from gened.models.devices import torch_device
from gened.models.plugins import installed, load_target
from gened.models.training.fingerprint import fingerprint
from gened.models.training.folder import remove_training, require_apart, require_unused, require_writable
from gened.models.training.processes import default_threads, join_processes, rank_and_size
from gened.models.training.progress import Progress
from gened.models.training.run import RunOptions, Training
from gened.models.training.schedule import ENTRY_POINT_GROUP, Schedule, load_toml, read_config
from gened.models.training.state import read_state, require_same_training

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
        ConfigError: Unknown name; the message begins with `where` and lists the known ones. Or a training of another
            package that cannot be loaded.
    """
    targets = installed(ENTRY_POINT_GROUP) | TRAININGS
    if codec not in targets:
        raise ConfigError(f"{where}: codec = {codec!r} has no training; known are {', '.join(training_names())}")
    found = load_target("training", codec, targets[codec], ConfigError, attribute="TRAINING")
    if not isinstance(found, Training):
        raise ConfigError(f"training {codec} ({targets[codec]}) is a {type(found).__name__}, not a Training")
    return found


def training_names() -> list[str]:
    """Names of all trainings, the built-in ones first."""
    return [*TRAININGS, *sorted(installed(ENTRY_POINT_GROUP).keys() - TRAININGS)]


def training_for(path: Path) -> Training:
    """The training that a configuration is for: a file, or the name of an installed training.

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
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    steps: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train until the configured steps are done or the minutes are over.

    Args:
        config: TOML file, or the configuration itself.
        data: Folder of tar shards or of pictures; of pairs for the editor.
        out: Folder for weights, state, log and sample pictures; made if absent.
        saliency: A teacher's saliency maps for the shards.
        minutes: Time limit of this call, from its first step; None: none.
        device: `cpu` or `cuda`.
        threads: PyTorch threads on a CPU, and threads that prepare crops; None: `default_threads`.
        resume: Continue from the state in `out`.
        overwrite: Replace the training in `out`, after the preparation.
        steps: Overrides the configured steps.
        progress: Receives what is being done; None: nothing is shown.

    Returns:
        The folder with the averaged weights.

    Raises:
        GenedError: Bad configuration, no pictures, a folder or a device that cannot be used, a state of another
            training, or a loss that is not finite.
        KeyboardInterrupt: SIGINT arrived; the state is saved. SIGTERM ends the process as usual, after the state is
            saved.
    """
    if isinstance(config, Path):
        chosen = training_for(config)
        schedule: Schedule = read_config(config, chosen.config)
    else:
        chosen, schedule = training(getattr(config, "codec", DEFAULT)), config
    if steps is not None:
        schedule = replace(schedule, steps=steps)
    if resume and overwrite:
        raise ConfigError("--resume continues a training and --overwrite replaces it; give one of them")
    progress = progress or Progress(is_quiet=True)
    threads = default_threads() if threads is None else threads
    torch.set_num_threads(threads)
    join_processes(torch_device(device, ConfigError))
    if rank_and_size()[0]:
        progress = Progress(is_quiet=True)
    begun = time.monotonic()
    require_apart(data, out)
    if not resume and not overwrite:
        require_unused(out, schedule.steps)
    fingerprints = {"data": fingerprint(data, without=out)}
    if saliency is not None:
        fingerprints["saliency"] = fingerprint(saliency)
    if resume:
        state = read_state(out, say=say_first)
        require_same_training(out, state, asdict(schedule), fingerprints)
        del state
    require_writable(out)

    def say(line: str) -> None:
        progress.clear()
        say_first(line)

    options = RunOptions(
        data, out, saliency, device, threads, resume, fingerprints, report=progress.report, step_report=progress.step
    )
    run = chosen.make(schedule, options)
    if overwrite and rank_and_size()[0] == 0:
        remove_training(out)
    say(f"{run.summary()}, prepared in {time.monotonic() - begun:.0f} s")
    try:
        run.go(minutes=minutes, say=say)
    finally:
        progress.clear()
    return out


def say_first(line: str) -> None:
    """Print at once, in the first of several processes."""
    if rank_and_size()[0] == 0:
        print(line, flush=True)
