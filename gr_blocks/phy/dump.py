# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the signal of each stage of the receiver to a `.npy` file, for inspection.

This is the only module of `phy` that writes files, and only where a caller passes a `Dump`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAX_FILES = 10000
"""Files that one `Dump` writes; it ignores further signals."""

Stages = Callable[[str, npt.ArrayLike], None]
"""Callable that takes the name of a stage and its signal: a `Dump`, or a collector in memory."""


class Dump:
    """Writer of signals: `dump("stage", array)` writes `path/00001-stage.npy`, numbered in order of the calls.

    Args:
        path: Folder; created if absent.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def __call__(self, stage: str, signal: npt.ArrayLike) -> None:
        """Write one signal.

        Args:
            stage: Name of the stage, part of the file's name.
            signal: Array of any shape and type.
        """
        if self._count < MAX_FILES:
            self._count += 1
            np.save(self.path / f"{self._count:05}-{stage}.npy", np.asarray(signal))
