# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a training's preparation that are kept for the next run with the same data and configuration."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from gened.models.training.files import write_arrays

Arrays = dict[str, npt.NDArray[Any]]
DIGEST = "sha256"
"""Entry of the file's header: hash of the arrays."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/gened/training`, by default below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gened" / "training"


def cached(name: str, key: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or else made and kept there.

    A file that is cut off or changed, or that cannot be read, is made again. Where the cache cannot be written to, the
    arrays are returned and not kept.

    Args:
        name: Beginning of the file's name.
        key: Everything that the arrays depend on: hash of the data, keys of the configuration, version of the method.
        make: Computes the arrays.
    """
    text = json.dumps(dict(key), sort_keys=True)
    try:
        path = cache_folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:40]}.safetensors"
    except RuntimeError:  # there is no home
        return make()
    found = _read(path)
    if found is not None:
        return found
    arrays = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, arrays, {DIGEST: _digest(arrays)})
    except OSError:
        pass
    return arrays


def _read(path: Path) -> Arrays | None:
    """The arrays in a file; None where it is absent or damaged."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            digest = (file.metadata() or {}).get(DIGEST)
    except (OSError, SafetensorError, ValueError):
        return None
    return arrays if digest == _digest(arrays) else None


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
