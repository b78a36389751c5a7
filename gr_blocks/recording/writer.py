# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a recording: samples go to the file at once; the metadata exist from the start and are complete at the end.

So the recording can be read whatever ends the program: a signal, a full disk or a power failure.
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
"""Removed from the end of the data, besides the size of the metadata, if a full disk has no room for them."""
HASHED_AT_ONCE = 2**20
MAX_ANNOTATIONS = 20_000
"""Most annotations: a hostile sender must not produce metadata that are too large to read."""


class RecordingWriter:
    """Writes one recording; only one thread at a time may call it.

    Args:
        path: FILE.sigmf-meta, FILE.sigmf-data or FILE.
        info: Properties of the recording.
        overwrites: Whether an existing recording of that name is replaced.

    Raises:
        ConfigError: The datatype is unknown.
        RecordingError: A recording of that name exists.
    """

    def __init__(self, path: Path | str, info: RecordingInfo, *, overwrites: bool = False) -> None:
        require_format(info.datatype)
        compose(info, [])  # a missing package is an error here, not after the last sample
        self.info = info
        self.meta_path, self.data_path = paths_of(Path(path))
        self.annotations: list[Annotation] = []
        """Annotations so far; they may be changed until `close`."""
        self.n_samples = 0
        """Number of samples written."""
        self.n_clipped = 0
        """Number of samples among them beyond the range of the datatype."""
        self._datetime: str | None = None
        self._hash: hashlib._Hash | None = hashlib.sha512()
        self._file: io.RawIOBase | None = None
        self._is_begun = False
        for present in (self.meta_path, self.data_path):
            if present.exists() and not overwrites:
                raise RecordingError(f"{present} exists; choose another name, or add --overwrite")

    def open(self) -> None:
        """Creates the files; an existing recording of that name is deleted.

        Raises:
            RecordingError: The folder is not writable.
        """
        try:
            self.meta_path.parent.mkdir(parents=True, exist_ok=True)
            self.meta_path.unlink(missing_ok=True)  # metadata of an older recording must not stand beside new samples
            self._file = self.data_path.open("wb", buffering=0)
            self._is_begun = True
            self._write_meta(compose(self.info, []))
        except OSError as exc:
            raise self._failure(exc) from exc

    def write(self, samples: ComplexArray) -> None:
        """Appends samples, [n] complex64; before `open`, after an error and after `close` they are ignored.

        Raises:
            RecordingError: The file cannot be written, mostly because the disk is full. Earlier samples are kept.
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
        """Adds an annotation; returns False if there are `MAX_ANNOTATIONS` already."""
        if len(self.annotations) >= MAX_ANNOTATIONS:
            return False
        self.annotations.append(annotation)
        return True

    def close(self) -> None:
        """Writes the metadata; annotations of bursts that are not completely in the data file are left out.

        Without any sample the files are deleted.

        Raises:
            RecordingError: The metadata cannot be written.
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
        """Drops all samples: `close` then deletes the files."""
        self._end_data(0)
        self.n_samples = 0

    def whole_annotations(self) -> tuple[Annotation, ...]:
        """Annotations of bursts that are completely in the file."""
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
        """Closes the data file after `n_samples` samples."""
        file, self._file = self._file, None
        if file is None:
            return
        self.n_samples = n_samples
        with contextlib.suppress(OSError), file:
            file.truncate(n_samples * sample_bytes(self.info.datatype))

    def _make_room(self) -> None:
        """Truncates the data on a full disk, so that the metadata can be written."""
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
        """Writes the metadata file completely or not at all."""
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
