# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of pictures, with masks and captions as far as they exist: what `--data` means to every command.

    images/ and below, or the folder itself    photographs
    masks/                                     same relative name, any suffix; white = foreground
    captions.jsonl                             {"file": NAME, "captions": [TEXT, ...]}, one line per picture

The evaluation uses the photographs at the top level alone, training and imports also those in folders below. Needs
NumPy and Pillow alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from gened.errors import ConfigError
from gened.models.data.shards import MASK_SUFFIX, SALIENCY_SUFFIX, captions_of

CAPTIONS = "captions.jsonl"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")


def pictures_folder(data: Path) -> Path:
    """The folder of the photographs: `images/` if there is one, else the folder itself."""
    return data / "images" if (data / "images").is_dir() else data


def find_pictures(data: Path, *, is_nested: bool = True) -> list[Path]:
    """All photographs in the order of their paths; empty where there are none.

    Args:
        data: The data set's folder.
        is_nested: Also those in folders below.
    """
    masks, folder = data / "masks", pictures_folder(data)
    return sorted(
        file
        for file in (folder.rglob("*") if is_nested else folder.glob("*"))
        if file.suffix.lower() in SUFFIXES
        and not file.name.lower().endswith((MASK_SUFFIX, SALIENCY_SUFFIX))
        and masks not in file.parents
        and file.is_file()
    )


def left_out(data: Path, *, is_nested: bool = True) -> tuple[str, ...]:
    """What `find_pictures` does not use, for the user; hidden files, masks and captions do not count.

    Args:
        data: The data set's folder.
        is_nested: As for `find_pictures`.

    Returns:
        One line per reason, with the number of files and one of their names.
    """
    folder, used = pictures_folder(data), set(find_pictures(data, is_nested=is_nested))
    every = set(find_pictures(data))
    beside = set(find_pictures_in(data)) - every if folder != data else set()
    others = [
        file
        for file in (folder.rglob("*") if is_nested else folder.glob("*"))
        if not file.name.startswith(".")
        and file.name != CAPTIONS
        and not file.name.lower().endswith((MASK_SUFFIX, SALIENCY_SUFFIX))
        and file.suffix.lower() not in SUFFIXES
        and data / "masks" not in file.parents
        and file.is_file()
    ]
    reasons = (
        (sorted(others), "file that is no picture by its name", "files that are no pictures by their names"),
        (sorted(every - used), "picture in a folder below", "pictures in folders below"),
        (sorted(beside), "picture beside images/", "pictures beside images/"),
    )
    return tuple(
        f"{len(files)} {one if len(files) == 1 else many} ({files[0].relative_to(data)}{', ...' if files[1:] else ''})"
        for files, one, many in reasons
        if files
    )


def find_pictures_in(folder: Path) -> list[Path]:
    """Files of one folder whose names are those of pictures."""
    return [file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]


def find_mask(data: Path, picture: Path) -> Path | None:
    """The mask of a photograph, if it has one."""
    path = data / "masks" / picture.relative_to(pictures_folder(data))
    candidates = (path.with_suffix(suffix) for suffix in SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_caption_lines(data: Path, *, n_least: int = 0) -> dict[str, tuple[str, ...]]:
    """Captions by file name, from `captions.jsonl`; empty where there is no such file.

    Args:
        data: The data set's folder.
        n_least: Captions that every line must have.

    Raises:
        ConfigError: A line is not {"file": ..., "captions": [...]}, or has fewer captions.
    """
    path = data / CAPTIONS
    found: dict[str, tuple[str, ...]] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where} is not JSON: {error}") from error
        captions = captions_of(value, where)
        if not isinstance(value.get("file"), str) or len(captions) < n_least:
            raise ConfigError(f'{where}: expected {{"file": NAME, "captions": [TEXT, ...]}}')
        found[Path(value["file"]).name] = captions
    return found
