# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal signals as files, one `.npy` a stage, for those who want to look.

The one module of `phy` that writes files, and only when asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAX_FILES = 10000

Stages = Callable[[str, npt.ArrayLike], None]
"""Takes a stage's name and its signal: a `Dump`, or whoever looks at them in memory."""


class Dump:
    """`dump("stage", array)` writes `path/00001-stage.npy`, numbered in order; stops after 10,000 files.

    Args:
        path: Folder, made if absent.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def __call__(self, stage: str, signal: npt.ArrayLike) -> None:
        """Write one signal."""
        if self._count < MAX_FILES:
            self._count += 1
            np.save(self.path / f"{self._count:05}-{stage}.npy", np.asarray(signal))
