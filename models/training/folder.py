# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that a training writes to: what is in it already, and whether there is room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gened.errors import ConfigError
from gened.models.data.folders import find_pictures
from gened.models.data.shards import list_shards
from gened.models.training.files import PART
from gened.models.training.state import PREVIOUS_FILE, STATE_FILE, StateError, has_state, read_state, reason_of
from gened.paths import make_folder

WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE = "model.safetensors", "config.json", "samples.png"
LOG_FILE = "log.jsonl"
WRITTEN = (STATE_FILE, PREVIOUS_FILE, WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE, LOG_FILE)
"""Files of a training. TensorBoard adds `BOARD_FILES`."""
BOARD_FILES = "events.out.tfevents.*"
PROBE_BYTES = 1 << 20


def require_unused(out: Path, steps: int) -> None:
    """Refuse a folder that holds a training.

    Args:
        out: The folder, which need not exist.
        steps: Number of steps of the new training, for the message.

    Raises:
        ConfigError: It holds a state or weights; the message says how far that training is.
    """
    if has_state(out):
        try:
            state = read_state(out)
            schedule = state.get("schedule", {})
            codec, all_steps = schedule.get("codec", ""), schedule.get("steps", steps)
            what = f"a training of {codec}, {state['step']} of {all_steps} steps done"
        except StateError:
            what = "a training whose state cannot be read"
    elif (out / WEIGHTS_FILE).exists():
        what = "weights without a state"
    else:
        return
    raise ConfigError(
        f"{out} holds {what}; continue it with --resume, replace it with --overwrite, or name another --out"
    )


def require_apart(data: Path, out: Path) -> None:
    """Refuse a folder within a folder of pictures: its sample pictures would be trained on.

    Raises:
        ConfigError: It is within it.
    """
    inside = out.resolve().is_relative_to(data.resolve())
    if inside and not list_shards(data) and find_pictures(data):
        raise ConfigError(f"--out {out} lies within the pictures of --data {data}; name a folder beside it")


def require_writable(out: Path) -> None:
    """Make the folder, and write and remove a small file in it.

    Raises:
        ConfigError: It cannot be made or written to, or the disk is full.
    """
    make_folder(out)
    probe = out / f"probe-{os.getpid()}{PART}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {reason_of(error)}; name another --out") from error
    finally:
        probe.unlink(missing_ok=True)


def require_space(out: Path, *, is_new: bool) -> None:
    """Refuse a disk that has no room for the states: while one is written, the last two are kept.

    Args:
        out: Folder, with the newest state.
        is_new: Whether that is a state before the first step, which doubles in size with the optimiser's two moments.

    Raises:
        ConfigError: There is less.
    """
    size = (out / STATE_FILE).stat().st_size
    needed = 3 * 2 * size - size if is_new else 2 * size
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ConfigError(
            f"the disk of {out} has {free / 1e6:.0f} MB free, and the states of this training need "
            f"{needed / 1e6:.0f} MB more"
        )


def remove_training(out: Path) -> None:
    """Remove the files of a training from a folder; others stay.

    Raises:
        ConfigError: One cannot be removed.
    """
    try:
        for path in [*(out / name for name in WRITTEN), *out.glob(BOARD_FILES)]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot remove the training in {out}: {reason_of(error)}") from error
