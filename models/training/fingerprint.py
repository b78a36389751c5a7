# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of training data: a hash over names and contents of the files, which moving the folder leaves alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gened.errors import ConfigError
from gened.models.data.folders import find_mask, find_pictures
from gened.models.data.shards import list_shards


def data_files(folder: Path) -> list[Path]:
    """The files in a folder that a training may read, in a fixed order.

    Those are the tar shards where there are some, else the pictures with their masks and captions, else all files.
    """
    if shards := list_shards(folder):
        return shards
    pictures = find_pictures(folder)
    if not pictures:
        return sorted(path for path in folder.rglob("*") if path.is_file())
    masks = [mask for picture in pictures if (mask := find_mask(folder, picture)) is not None]
    return [*pictures, *masks, *folder.glob("captions.jsonl")]


def fingerprint(folder: Path, *, without: Path | None = None) -> str:
    """SHA-256 over names and contents of the data, as 64 hexadecimal digits.

    Args:
        folder: Data of a training.
        without: Folder that is left out, such as the output of the training.

    Raises:
        ConfigError: There is no such folder, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}; give --data a folder of .tar shards or of pictures")
    digest = hashlib.sha256()
    try:
        for path in data_files(folder):
            if without is not None and path.is_relative_to(without):
                continue
            name = path.relative_to(folder).as_posix().encode()
            digest.update(len(name).to_bytes(4, "big") + name)
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ConfigError(f"cannot read the training data: {error}") from error
    return digest.hexdigest()
