# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording as it is made: samples go to the file at once, the metadata is there from the start and whole at the end.

So whatever ends the program, a signal, a full disk or the power, what was written can be read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path

from gened.gr_blocks.phy.types import ComplexArray
from gened.gr_blocks.recording.annotation import Annotation
from gened.gr_blocks.recording.formats import require_format, sample_bytes, to_file
from gened.gr_blocks.recording.metadata import RecordingError, RecordingInfo, compose, paths_of

ROOM_BYTES = 2**16
"""Given back of the data, besides what the metadata needs, where a full disk has no room for it."""
HASHED_AT_ONCE = 2**20
MAX_ANNOTATIONS = 20_000
"""Bursts that are told of; a hostile sender must not make metadata that nobody can read."""


class RecordingWriter:
    """Writes one recording; not for several threads at once.

    Args:
        path: FILE.sigmf-meta, FILE.sigmf-data or FILE.
        info: See there.
        overwrites: Whether an older recording of that name goes.

    Raises:
        ConfigError: An unknown datatype.
        RecordingError: A recording of that name is there, or the folder cannot be written to.
    """

    def __init__(self, path: Path | str, info: RecordingInfo, *, overwrites: bool = False) -> None:
        require_format(info.datatype)
        compose(info, [])  # a missing package is an error here and not behind the last sample
        self.info = info
        self.meta_path, self.data_path = paths_of(Path(path))
        self.annotations: list[Annotation] = []
        """May be changed until the end."""
        self.n_samples = 0
        """Written."""
        self.n_clipped = 0
        """Of these, larger than the datatype holds."""
        self._datetime: str | None = None
        self._hash: hashlib._Hash | None = hashlib.sha512()
        self._file: io.RawIOBase | None = None
        self._is_begun = False
        for present in (self.meta_path, self.data_path):
            if present.exists() and not overwrites:
                raise RecordingError(f"{present} exists; choose another name, or add --overwrite")

    def open(self) -> None:
        """Makes the files; an older recording of that name is gone from here on.

        Raises:
            RecordingError: The folder cannot be written to.
        """
        try:
            self.meta_path.parent.mkdir(parents=True, exist_ok=True)
            self.meta_path.unlink(missing_ok=True)  # an older one's metadata must not stand beside new samples
            self._file = self.data_path.open("wb", buffering=0)
            self._is_begun = True
            self._write_meta(compose(self.info, []))
        except OSError as exc:
            raise self._failure(exc) from exc

    def write(self, samples: ComplexArray) -> None:
        """Appends samples, [n] complex64; before `open` and behind an error or the end they are ignored.

        Raises:
            RecordingError: The disk is full, above all. Nothing is lost that came before.
        """
        if self._file is None:
            return
        if self._datetime is None:
            self._datetime = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        stored, n_clipped = to_file(samples, self.info.datatype, self.info.full_scale)
        left = stored.data.cast("B") if stored.size else memoryview(b"")
        if self._hash is not None:
            self._hash.update(left)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as exc:
            self._hash = None
            self._end_data(self.n_samples + (stored.nbytes - len(left)) // sample_bytes(self.info.datatype))
            raise self._failure(exc) from exc
        self.n_samples += len(samples)
        self.n_clipped += n_clipped

    def annotate(self, annotation: Annotation) -> bool:
        """Adds a burst; False when there are `MAX_ANNOTATIONS` already."""
        if len(self.annotations) >= MAX_ANNOTATIONS:
            return False
        self.annotations.append(annotation)
        return True

    def close(self) -> None:
        """Writes the metadata of all that is in the data file; bursts that are not wholly in it are left out.

        Where no sample came, there are no files.

        Raises:
            RecordingError: It cannot be written.
        """
        self._end_data(self.n_samples)
        if self.n_samples == 0:
            for path in (self.data_path, self.meta_path) if self._is_begun else ():
                path.unlink(missing_ok=True)
            return
        try:
            self._finish()
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise self._failure(exc) from exc
            self._make_room()
            try:
                self._finish()
            except OSError as again:
                raise self._failure(again) from again

    def discard(self) -> None:
        """Keeps nothing: `close` will leave no files."""
        self._end_data(0)
        self.n_samples = 0

    def whole_annotations(self) -> tuple[Annotation, ...]:
        """Those of bursts that are wholly in the file."""
        return tuple(one for one in self.annotations if one.start + one.count <= self.n_samples)

    def _finish(self) -> None:
        whole = self.whole_annotations()
        sha512 = self._hash.hexdigest() if self._hash is not None else self._sha512()
        text = compose(
            self.info, whole, datetime=self._datetime, sha512=sha512,
            n_clipped=self.n_clipped,
        )  # fmt: skip
        self._write_meta(text)

    def _end_data(self, n_samples: int) -> None:
        """Closes the data file behind so many whole samples."""
        file, self._file = self._file, None
        if file is None:
            return
        self.n_samples = n_samples
        with contextlib.suppress(OSError), file:
            file.truncate(n_samples * sample_bytes(self.info.datatype))

    def _make_room(self) -> None:
        """Gives the end of the data back to a full disk, so that what tells of it can be written."""
        each = sample_bytes(self.info.datatype)
        n_bytes = ROOM_BYTES + 1024 * len(self.annotations)
        self.n_samples = max(0, self.n_samples - n_bytes // each)
        os.truncate(self.data_path, self.n_samples * each)
        self._hash = None

    def _sha512(self) -> str:
        with self.data_path.open("rb") as file:
            found = hashlib.sha512()
            while part := file.read(HASHED_AT_ONCE):
                found.update(part)
        return found.hexdigest()

    def _write_meta(self, text: str) -> None:
        """Whole or not at all."""
        partial = self.meta_path.with_name(f".{self.meta_path.name}.part")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.meta_path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _failure(self, exc: OSError) -> RecordingError:
        reason = exc.strerror or type(exc).__name__
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += f" behind {self.n_samples} samples, which are kept; free some, or record fewer seconds"
        return RecordingError(f"cannot write {self.data_path}: {reason}")
