# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores that were measured before, one small file each, so that a run that was cut off goes on where it stopped.

A file's name is the hash of all that decides a score: codec with its weights, the picture's content, how it is sent,
the metrics with their versions, and the source of codecs, waveform and metrics. Whatever changes, the score is measured
anew; old files are never wrong, only unused, and the folder may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gened.errors import ConfigError
from gened.models.evaluation.run.measure import Score
from gened.paths import PACKAGE

SOURCES = ("models/codecs", "models/editing", "models/captioning", "models/evaluation", "gr_blocks/phy")


@functools.cache
def source_hash() -> str:
    """Hash of the source code that a score depends on."""
    found = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


class ScoreCache:
    """Scores in a folder; without one nothing is kept.

    Raises:
        ConfigError: The folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"no cache can be kept in {folder}: {error.strerror}") from error

    def find(self, key: dict[str, Any]) -> Score | None:
        """The score of that key; None where there is none, or its file is broken."""
        if self._folder is None:
            return None
        try:
            entry = json.loads(self._path(key).read_text())
            return Score(**{field.name: entry[field.name] for field in fields(Score)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, key: dict[str, Any], score: Score) -> None:
        """Write a score; the file appears whole or not at all.

        Raises:
            ConfigError: The folder cannot be written to.
        """
        if self._folder is None:
            return
        path = self._path(key)
        partial = path.with_suffix(f".{os.getpid()}.part")
        try:
            partial.write_text(json.dumps(asdict(score)))
            partial.replace(path)
        except OSError as error:
            raise ConfigError(f"cannot write to the cache {self._folder}: {error.strerror}") from error

    def _path(self, key: dict[str, Any]) -> Path:
        assert self._folder is not None
        text = json.dumps({**key, "source": source_hash()}, sort_keys=True, default=str)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.json"
