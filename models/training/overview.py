# SPDX-License-Identifier: GPL-3.0-or-later
"""The training configurations that ship with the package, for `gened train --list`."""

from __future__ import annotations

from pathlib import Path

from gened.models.training.schedule import read_config
from gened.models.training.trainings import training_for
from gened.paths import TRAINING_CONFIGS


def overview() -> str:
    """A table with a line per configuration: name, training, number of steps, and purpose."""
    rows = [("NAME", "TRAINS", "STEPS", "")]
    for path in sorted(TRAINING_CONFIGS.glob("*.toml"), key=lambda path: path.stem):
        config = read_config(path, training_for(path).config)
        rows.append((path.stem, str(getattr(config, "codec", "")), str(config.steps), purpose(path)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {codec:<{widths[1]}}  {steps:>{widths[2]}}  {text}".rstrip()
        for name, codec, steps, text in rows
    )


def purpose(path: Path) -> str:
    """The first line of comment in a configuration."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
