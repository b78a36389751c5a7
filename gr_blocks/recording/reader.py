# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a recording, which may be hostile: every length is checked before it is used."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from gened.gr_blocks.recording.annotation import Annotation, from_sigmf
from gened.gr_blocks.recording.formats import FileSamples, sample_bytes
from gened.gr_blocks.recording.metadata import (
    ARCHIVE_SUFFIX,
    DATA_SUFFIX,
    FULL_SCALE_KEY,
    META_SUFFIX,
    RecordingError,
    RecordingInfo,
    parse,
    paths_of,
)

MAX_META_BYTES = 2**25
"""Twice the largest size that the writer produces; the validator needs some seconds for it."""
HASHED_AT_ONCE = 2**20


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording: its samples, their properties and the annotations."""

    path: Path
    """File of the metadata."""
    info: RecordingInfo
    samples: FileSamples
    annotations: tuple[Annotation, ...]
    """Annotations, in the order of the file."""


def read_recording(path: Path | str, *, is_verified: bool = True) -> Recording:
    """Reads a recording in SigMF: FILE.sigmf-meta with FILE.sigmf-data beside it.

    Args:
        path: Either file, or their common FILE.
        is_verified: Whether the data are compared with their checksum, if there is one; this reads the whole file.

    Raises:
        RecordingError: A file is missing, truncated, too large, no SigMF, or of a kind that is not supported.
    """
    meta_path, data_path = paths_of(Path(path))
    content = parse(_text(meta_path), meta_path.name)
    about = content["global"]
    info = RecordingInfo(
        sample_rate=float(about["core:sample_rate"]),
        center_freq=float(content["captures"][0].get("core:frequency", 0.0) if content["captures"] else 0.0),
        hw=about.get("core:hw", ""),
        description=about.get("core:description", ""),
        recorder=about.get("core:recorder", ""),
        datatype=about["core:datatype"],
        full_scale=float(about.get(FULL_SCALE_KEY, 1.0)),
    )
    n_samples = _n_samples(data_path, info.datatype)
    annotations = tuple(from_sigmf(entry) for entry in content["annotations"])
    reach = max((one.start + one.count for one in annotations), default=0)
    if reach > n_samples:
        raise RecordingError(
            f"{data_path} is cut off: it has {n_samples} samples, its annotations reach to {reach}; copy it again"
        )
    if is_verified and "core:sha512" in about and _sha512(data_path) != about["core:sha512"].lower():
        raise RecordingError(f"{data_path} is not what was recorded: its checksum is another; copy it again")
    samples = FileSamples(data_path, info.datatype, n_samples, info.full_scale)
    return Recording(path=meta_path, info=info, samples=samples, annotations=annotations)


def read_raw(path: Path | str, sample_rate: float) -> Recording:
    """Reads samples without metadata, little-endian complex64, as SDR programs write them.

    Args:
        path: The file.
        sample_rate: Hz; the file does not contain it.

    Raises:
        RecordingError: The file is missing, empty, or does not hold a whole number of samples.
    """
    data_path, info = Path(path), RecordingInfo(sample_rate=sample_rate)
    if not data_path.exists():
        raise RecordingError(f"cannot read {data_path}: No such file or directory")
    n_samples = _n_samples(data_path, info.datatype)
    return Recording(
        path=data_path, info=info, samples=FileSamples(data_path, info.datatype, n_samples), annotations=()
    )


def is_sigmf(path: Path) -> bool:
    """Whether a path names a recording in SigMF: by its suffix, or as the common stem of two existing files."""
    is_named = path.suffix in (META_SUFFIX, DATA_SUFFIX, ARCHIVE_SUFFIX)
    return is_named or (not path.is_file() and paths_of(path)[0].is_file())


def _text(path: Path) -> str:
    size = _size(path)
    if size > MAX_META_BYTES:
        raise RecordingError(f"{path} has {size} bytes; metadata of up to {MAX_META_BYTES} can be read")
    try:
        with path.open("rb") as file:
            return file.read(MAX_META_BYTES).decode("utf-8")
    except OSError as exc:
        raise RecordingError(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise RecordingError(f"{path.name} is no SigMF: no UTF-8 text") from exc


def _size(path: Path) -> int:
    """Size of a regular file; others are refused, because reading a pipe or a device could block for ever."""
    try:
        status = path.stat()
    except (OSError, ValueError) as exc:
        raise RecordingError(
            f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}; a recording is two files side by side"
        ) from exc
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError(f"{path} is no file")
    return status.st_size


def _n_samples(path: Path, datatype: str) -> int:
    n_bytes, each = _size(path), sample_bytes(datatype)
    if n_bytes == 0:
        raise RecordingError(f"{path} holds no samples")
    if n_bytes % each:
        raise RecordingError(f"{path} is cut off: {n_bytes} bytes are no whole number of {datatype}; copy it again")
    return n_bytes // each


def _sha512(path: Path) -> str:
    found = hashlib.sha512()
    try:
        with path.open("rb") as file:
            while part := file.read(HASHED_AT_ONCE):
                found.update(part)
    except OSError as exc:
        raise RecordingError(f"cannot read {path}: {exc.strerror}") from exc
    return found.hexdigest()
