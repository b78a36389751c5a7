# SPDX-License-Identifier: GPL-3.0-or-later
"""The training configurations that ship with the package, and installed trainings, for `gened train --list`."""

from __future__ import annotations

from pathlib import Path

from gened.errors import ConfigError
from gened.models.training.schedule import read_config
from gened.models.training.trainings import TRAININGS, training, training_for, training_names
from gened.paths import TRAINING_CONFIGS


def overview() -> str:
    """A table with a line per configuration: name, training, number of steps, and purpose.

    Trainings of other packages follow, with the defaults of their configuration; one that cannot be loaded has the
    reason in its line.
    """
    rows = [("NAME", "TRAINS", "STEPS", "")]
    for path in sorted(TRAINING_CONFIGS.glob("*.toml"), key=lambda path: path.stem):
        config = read_config(path, training_for(path).config)
        rows.append((path.stem, str(getattr(config, "codec", "")), str(config.steps), purpose(path)))
    for name in training_names()[len(TRAININGS) :]:
        try:
            config = training(name).config()
        except ConfigError as error:
            rows.append((name, "-", "-", str(error)))
        else:
            rows.append((name, str(getattr(config, "codec", "")), str(config.steps), "Training of another package."))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {codec:<{widths[1]}}  {steps:>{widths[2]}}  {text}".rstrip()
        for name, codec, steps, text in rows
    )


def purpose(path: Path) -> str:
    """The first line of comment in a configuration."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
