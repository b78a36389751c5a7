# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a training: each appears whole or not at all, and its permissions follow the umask."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from gened.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

PART = ".part"
"""Ending of a file that is being written."""


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its final place, bring it to the disk (fsync), and rename it.

    A file of that name stays as it was until the new one is complete, and where the new one cannot be written.

    Args:
        path: The file.
        write: Writes the contents to an open file.

    Raises:
        OSError: It cannot be written; what `write` raises passes, too. The unfinished file is removed.
    """
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, indented by one space."""
    text = json.dumps(value, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the format of safetensors."""
    from safetensors.torch import save

    content = save(dict(tensors))
    write_whole(path, lambda file: file.write(content))


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays in the format of safetensors.

    Args:
        path: The file.
        arrays: Arrays by name.
        metadata: Texts for the header of the file.
    """
    from safetensors.numpy import save

    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        None if metadata is None else dict(metadata),
    )
    write_whole(path, lambda file: file.write(content))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Weights in the format of safetensors, in single precision.

    Raises:
        ConfigError: The file cannot be read.
    """
    from safetensors.torch import load_file

    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read {path}, from which the training begins: {error}") from error
