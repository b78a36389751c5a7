# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the package, and the environment of the processes that it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import gened
from gened.errors import ConfigError

PACKAGE = Path(gened.__path__[0])
"""The package `gened` as it was imported. In a checkout its folders are symbolic links, in an installation folders."""
IMPORT_ROOT = PACKAGE.parent
"""The folder that holds the package: an entry of `sys.path`."""
ROOT = PACKAGE.resolve().parent
"""The same without symbolic links. In a checkout it is the repository's root."""
WEIGHTS = (PACKAGE / "models" / "weights").resolve()
"""Trained weights, one folder per model."""
TRAINING_CONFIGS = (PACKAGE / "models" / "training" / "configs").resolve()
"""Training configurations that ship with the package."""
FLOWGRAPHS = (PACKAGE / "flowgraphs").resolve()
"""Flowgraphs of GNU Radio Companion that ship with the package."""
BLOCK_DESCRIPTIONS = (PACKAGE / "gr_blocks" / "grc").resolve()
"""Block descriptions (`*.block.yml`) for GNU Radio Companion."""
HARDWARE_PROFILES = (PACKAGE / "hw_config").resolve()
"""Hardware profiles that ship with the package."""


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a Python process that must import the same `gened` as this one.

    Args:
        extra: Variables to set beside `PYTHONPATH`.

    Returns:
        This process's environment, with `IMPORT_ROOT` at the head of `PYTHONPATH`.
    """
    path = os.environ.get("PYTHONPATH")
    root = str(IMPORT_ROOT)
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root, **(extra or {})}


def is_checkout() -> bool:
    """Whether the package runs from a checkout of its repository."""
    return (ROOT / ".git").exists()


def make_folder(folder: Path) -> Path:
    """Makes a folder for results, with its parents; returns it.

    Raises:
        ConfigError: It cannot be made, such as below a file or without permission.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
