# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample formats of a recording: `cf32_le` without loss, `ci16_le` in half the size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ComplexArray

FORMATS: dict[str, np.dtype[Any]] = {"cf32_le": np.dtype("<c8"), "ci16_le": np.dtype(("<i2", 2))}
"""SigMF's datatype and the NumPy type of one sample."""
INT16_STEPS = 32768
MAX_INT16 = 32767


def require_format(name: str) -> str:
    """Checks a datatype and returns it.

    Raises:
        ConfigError: It is not one of `FORMATS`.
    """
    if name not in FORMATS:
        raise ConfigError(f"datatype {name[:40]!r}; recordings hold {' or '.join(FORMATS)}")
    return name


def sample_bytes(name: str) -> int:
    """Bytes of one complex sample."""
    return FORMATS[name].itemsize


def to_file(samples: ComplexArray, name: str, full_scale: float) -> tuple[npt.NDArray[Any], int]:
    """Converts samples to their format in the file.

    Args:
        samples: [n] complex64.
        name: One of `FORMATS`.
        full_scale: Value that becomes the largest integer; not used by `cf32_le`.

    Returns:
        [n] or [n, 2], little-endian; and the number of samples that were clipped.
    """
    if name == "cf32_le":
        return np.ascontiguousarray(samples, "<c8"), 0
    parts = np.ascontiguousarray(samples, np.complex64).view(np.float32).reshape(-1, 2)
    steps = np.rint(np.nan_to_num(parts * np.float32(INT16_STEPS / full_scale)))
    clipped = np.clip(steps, -INT16_STEPS, MAX_INT16)
    return clipped.astype("<i2"), int(np.any(clipped != steps, axis=1).sum())


def from_file(stored: npt.NDArray[Any], name: str, full_scale: float) -> ComplexArray:
    """Converts samples from their format in the file to [n] complex64."""
    if name == "cf32_le":
        return stored.astype(np.complex64)
    scaled = stored.astype(np.float32) * np.float32(full_scale / INT16_STEPS)
    return np.ascontiguousarray(scaled).view(np.complex64).reshape(-1)


class FileSamples:
    """Samples of a file that are read when they are used: a length and slices, each [n] complex64.

    They are read and not mapped into memory, because shortening a mapped file ends the process that uses it. Samples
    that are missing are read as zeros.

    Args:
        path: The data file.
        name: One of `FORMATS`.
        n_samples: Number of samples in the file.
        full_scale: See `to_file`.
    """

    def __init__(self, path: Path, name: str, n_samples: int, full_scale: float = 1.0) -> None:
        self._path = path
        self._name = name
        self._n_samples = n_samples
        self._full_scale = full_scale

    def __len__(self) -> int:
        return self._n_samples

    def __getitem__(self, part: slice) -> ComplexArray:
        first, last, step = part.indices(self._n_samples)
        if step != 1:
            raise ValueError(f"a step of {step}; samples are read one after another")
        dtype = FORMATS[self._name]
        base, shape = (dtype.base, dtype.shape) if dtype.subdtype else (dtype, ())
        out = np.zeros((max(0, last - first), *shape), base)
        with open(self._path, "rb") as file:
            file.seek(first * dtype.itemsize, os.SEEK_SET)
            stored = np.frombuffer(file.read(out.nbytes), base)
        out.reshape(-1)[: len(stored)] = stored
        return from_file(out, self._name, self._full_scale)

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)
