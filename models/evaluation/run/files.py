# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a command is asked to write."""

from __future__ import annotations

import os
from pathlib import Path

from gened.errors import ConfigError


def require_writable(path: Path) -> Path:
    """The path itself, its folder made: asked before hours of work, not after.

    Raises:
        ConfigError: It is a folder, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path.parent} for --out: {error.strerror}") from error
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--out {path} cannot be written: permission denied")
    return path
