# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of pairs on which the embedded editor is trained: pictures before and after the channel, and captions.

`pairs-NNNNNNN.npz` hold the pairs (written by `pairs.py`); `captions.jsonl` holds the words (written by `captions.py`),
one line {"number": n, "caption": text} per crop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.models.data.shards import UInt8Array

SIDE = 256
"""Side of the pictures, pixels."""
MASK_SIDE = 64
"""Side of the masks, pixels."""
CAPTIONS_FILE = "captions.jsonl"


class Pairs(NamedTuple):
    """Pictures before and after the channel."""

    sent: UInt8Array
    """[n, 256, 256, 3]."""
    received: UInt8Array
    """[n, 256, 256, 3]."""
    mask: UInt8Array
    """[n, 64, 64]: importance as the receiver knows it, 255 = important; zero where the codec sends none."""
    snr_db: npt.NDArray[np.float32]
    """Es/N0 of the channel in dB, [n] float32."""
    number: npt.NDArray[np.int64]
    """Number of the crop, [n] int64."""
    codec: npt.NDArray[np.str_]
    """Name of the codec, [n]."""
    rate: npt.NDArray[np.str_]
    """Rate, [n], such as 1/24."""
    key: npt.NDArray[np.str_]
    """Key of the photograph, [n]."""


def read_parts(folder: Path, report: Callable[[int, int], None] = lambda done, total: None) -> Iterator[Pairs]:
    """The parts in a folder, in the order of their numbers.

    Args:
        folder: The folder.
        report: Receives the number of parts that have been read, and of all.

    Raises:
        ConfigError: There are none, or one is damaged.
    """
    parts = sorted(folder.glob("pairs-*.npz"))
    if not parts:
        raise ConfigError(f"no pairs-*.npz in {folder}; python -m gened.models.training.editor.pairs makes them")
    for index, part in enumerate(parts):
        report(index, len(parts))
        try:
            with np.load(part, allow_pickle=False) as content:
                yield Pairs(*(content[name] for name in Pairs._fields))
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{part} is damaged: {error}; remove it and make it again") from error


def read_pairs(folder: Path, report: Callable[[int, int], None] = lambda done, total: None) -> Pairs:
    """All parts in a folder, see `read_parts`.

    Raises:
        ConfigError: There are none, or one is damaged.
    """
    return Pairs(*(np.concatenate(column) for column in zip(*read_parts(folder, report), strict=True)))


def read_captions(folder: Path) -> dict[int, str]:
    """Caption by number of the crop; empty without the file.

    Raises:
        ConfigError: The file is damaged.
    """
    path = folder / CAPTIONS_FILE
    if not path.exists():
        return {}
    found = {}
    for line_number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            value = json.loads(line)
            found[int(value["number"])] = str(value["caption"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}, line {line_number}: {error}") from error
    return found
