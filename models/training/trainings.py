# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings by the codec that a configuration names."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Protocol, cast

from gened.errors import ConfigError

TRAININGS: dict[str, str] = {
    "deepjscc": "gened.models.training.codecs.deepjscc",
    "editor": "gened.models.training.editor.train",
    "gened": "gened.models.training.codecs.gened",
}
"""Codec to module; a configuration that names none is deepjscc's."""


class Training(Protocol):
    """What each of the modules has as `train`."""

    def __call__(
        self,
        config_path: Path,
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
        """Train until the configured steps are done or the minutes are over; the folder with the weights."""
        ...


def training_for(config: Path) -> Training:
    """The training that a configuration file is for.

    Raises:
        ConfigError: No such file, not TOML, or a codec that has no training.
    """
    try:
        codec = tomllib.loads(config.read_text()).get("codec", "deepjscc")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the training configuration {config}: {error}") from error
    if codec not in TRAININGS:
        raise ConfigError(f"{config}: codec = {codec!r} has no training; known are {', '.join(TRAININGS)}")
    return cast(Training, importlib.import_module(TRAININGS[codec]).train)
