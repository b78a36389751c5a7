# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that every training shares, and the learning rate that follows from it."""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from gened.errors import ConfigError
from gened.models.plugins import installed
from gened.paths import PACKAGE, TRAINING_CONFIGS, WEIGHTS

ENTRY_POINT_GROUP = "gened.trainings"
"""Entry-point group of the trainings of other packages."""
Config = TypeVar("Config", bound="Schedule")


@dataclass(frozen=True)
class Schedule:
    """Length, learning rate and start of a training; each training adds its own keys in a subclass."""

    steps: int = 12000
    batch: int = 4
    """Crops per step, over all processes."""
    learning_rate: float = 4e-4
    final_learning_rate: float = 1e-5
    warm_up: int = 200
    """Steps over which the learning rate rises linearly."""
    hold_share: float = 0.4
    """Fraction of the steps before the learning rate begins to fall (a cosine)."""
    weight_decay: float = 0.01
    clip_norm: float = 0.5
    """Largest L2 norm of the gradient of all parameters together."""
    ema_decay: float = 0.999
    """Decay of the exponential moving average of the weights, the weights that are written."""
    seed: int = 1
    save_every_s: float = 120.0
    """Time between two saved states, s."""
    validate_every_s: float = 300.0
    """Least time between two validations, after each of which the averaged weights are written, s."""
    warm_start: str = ""
    """Weights to begin from, see `weights_folder`; empty: random weights."""


def config_file(config: Path) -> Path:
    """The file itself, the configuration of that name that ships with the package, or the installed training so named.

    Raises:
        ConfigError: There is none of them; the message lists the names.
    """
    for candidate in (config, TRAINING_CONFIGS / f"{config}.toml"):
        if candidate.is_file():
            return candidate
    if _is_installed(config):
        return config
    shipped = sorted(path.stem for path in TRAINING_CONFIGS.glob("*.toml"))
    names = ", ".join([*shipped, *sorted(installed(ENTRY_POINT_GROUP).keys() - shipped)])
    raise ConfigError(f"no configuration {config}; give a TOML file, or one of {names}")


def _is_installed(name: Path) -> bool:
    """Whether this is no file but the name of a training of another package."""
    return not name.is_file() and str(name) in installed(ENTRY_POINT_GROUP)


def weights_folder(name: str) -> Path:
    """The folder of weights that a configuration names.

    Args:
        name: Weights that ship with the package, such as gened; else a folder, relative to the working directory.
            `models/weights/gened` means those of the package, too, where there is no such folder.
    """
    shipped = WEIGHTS / name
    if name and os.path.basename(name) == name and shipped.is_dir():
        return shipped
    folder, in_package = Path(name), PACKAGE / name
    return in_package if not folder.is_dir() and in_package.is_dir() else folder


def load_toml(path: Path) -> dict[str, Any]:
    """The keys of a training configuration, unchecked; an installed training has its defaults.

    Raises:
        ConfigError: The file cannot be read, or is not TOML.
    """
    if _is_installed(path):
        return {"codec": str(path)}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the training configuration {path}: {error}") from error


def read_config(path: Path, kind: type[Config]) -> Config:
    """The configuration in a TOML file, which states only what differs from the defaults.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or holds an unknown key or a value of another type.
    """
    values = load_toml(path)
    defaults = asdict(kind())
    for key, value in values.items():
        if key not in defaults:
            raise ConfigError(f"{path}: unknown key {key!r}; known are {', '.join(sorted(defaults))}")
        if isinstance(defaults[key], float) and isinstance(value, int):
            values[key] = float(value)
        elif type(value) is not type(defaults[key]) and not isinstance(defaults[key], tuple):
            raise ConfigError(f"{path}: {key} = {value!r}; expected such as {defaults[key]!r}")
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return kind(**fields)


def learning_rate(schedule: Schedule, step: int) -> float:
    """The learning rate of a step: linear warm-up, constant, then half a cosine down to `final_learning_rate`."""
    progress = step / schedule.steps
    rise = min(1.0, (step + 1) / max(1, schedule.warm_up))
    if progress <= schedule.hold_share:
        return schedule.learning_rate * rise
    fall = min(1.0, (progress - schedule.hold_share) / (1 - schedule.hold_share))
    swing = schedule.learning_rate - schedule.final_learning_rate
    return rise * (schedule.final_learning_rate + 0.5 * swing * (1 + math.cos(math.pi * fall)))
