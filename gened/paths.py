# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the package, and the environment of the processes that it starts."""

from __future__ import annotations

import os
import stat
import tempfile
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


TRIAL_BYTES = 4096
"""Bytes that are written to try a folder: on a full disk a file can still be made, but not filled."""


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
    """Makes a folder for results, with its parents, and tries to write into it; returns it.

    Raises:
        ConfigError: It cannot be made or written, such as below a file, without permission or on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}") from error
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIAL_BYTES))
            file.flush()
    except OSError as error:
        raise ConfigError(f"cannot write into the folder {folder}: {error.strerror}") from error
    return folder


def use_a_home() -> None:
    """Gives this process and its children a home folder if theirs cannot be written, as that of a service.

    GNU Radio keeps its settings there, and Numba, Matplotlib and other libraries their caches. The folder is that of
    the user below the system's folder for temporary files, and no one else's. Models that were fetched before are
    still read where they are.
    """
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return
    folder = Path(tempfile.gettempdir()) / f"gened-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    except OSError:
        is_ours = False
    if not is_ours:  # of another user, who could plant files in it
        folder = Path(tempfile.mkdtemp(prefix="gened-"))
    models = home / ".cache" / "huggingface"
    if models.is_dir():
        os.environ.setdefault("HF_HOME", str(models))
    os.environ["HOME"] = str(folder)
