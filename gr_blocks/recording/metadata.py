# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata of a recording: composing it, and checking that of a file from elsewhere."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gened.errors import LinkError
from gened.gr_blocks.recording.annotation import NAMESPACE, NAMESPACE_VERSION, Annotation
from gened.gr_blocks.recording.formats import FORMATS

META_SUFFIX, DATA_SUFFIX, ARCHIVE_SUFFIX = ".sigmf-meta", ".sigmf-data", ".sigmf"
FULL_SCALE_KEY = f"{NAMESPACE}:full_scale"
CLIPPED_KEY = f"{NAMESPACE}:clipped_samples"
MIN_RATE_HZ, MAX_RATE_HZ = 1e3, 1e8
MAX_FULL_SCALE = 1e6


class RecordingError(LinkError):
    """A recording cannot be written, or its file is not what its metadata describes."""


@dataclass(frozen=True, kw_only=True)
class RecordingInfo:
    """Properties of a recording that are known before its first sample."""

    sample_rate: float
    """Hz."""
    center_freq: float = 0.0
    """Hz; 0 where there is no carrier."""
    hw: str = ""
    """Name of the radio."""
    description: str = ""
    recorder: str = "gr-gened"
    datatype: str = "cf32_le"
    """One of `FORMATS`."""
    full_scale: float = 1.0
    """Largest amplitude that `ci16_le` can store: 1 for radios, the full scale of their converters."""


def paths_of(path: Path) -> tuple[Path, Path]:
    """Metadata and data file of a recording, named by either of them or by their common stem.

    Raises:
        RecordingError: The path is an archive.
    """
    if path.suffix == ARCHIVE_SUFFIX:
        raise RecordingError(f"{path} is an archive; unpack it: tar -xf {path.name}")
    stem = path.with_suffix("") if path.suffix in (META_SUFFIX, DATA_SUFFIX) else path
    return stem.with_name(stem.name + META_SUFFIX), stem.with_name(stem.name + DATA_SUFFIX)


def compose(
    info: RecordingInfo,
    annotations: Sequence[Annotation],
    *,
    datetime: str | None = None,
    sha512: str | None = None,
    n_clipped: int = 0,
) -> str:
    """Composes and validates the metadata as text.

    Args:
        info: Properties of the recording.
        annotations: Its annotations, in any order.
        datetime: Time of the first sample, ISO 8601.
        sha512: Checksum of the data file, if it is complete.
        n_clipped: Number of samples beyond full scale.

    Raises:
        RecordingError: The validator of SigMF refuses the result.
    """
    from sigmf import __specification__

    capture: dict[str, Any] = {"core:sample_start": 0}
    if info.center_freq:
        capture["core:frequency"] = info.center_freq
    if datetime is not None:
        capture["core:datetime"] = datetime
    optional = {"core:hw": info.hw, "core:description": info.description, "core:sha512": sha512}
    content = {
        "global": {
            "core:datatype": info.datatype,
            "core:sample_rate": info.sample_rate,
            "core:version": __specification__,
            "core:recorder": info.recorder,
            "core:num_channels": 1,
            **{key: value for key, value in optional.items() if value},
            "core:extensions": [{"name": NAMESPACE, "version": NAMESPACE_VERSION, "optional": True}],
            **({} if info.datatype == "cf32_le" else {FULL_SCALE_KEY: info.full_scale, CLIPPED_KEY: n_clipped}),
        },
        "captures": [capture],
        "annotations": [
            annotation.to_sigmf(info.sample_rate, info.center_freq)
            for annotation in sorted(annotations, key=lambda one: one.start)
        ],
    }
    require_sigmf(content, "the recording's metadata")
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def require_sigmf(content: Any, where: str) -> None:
    """Checks metadata with the validator of SigMF.

    Raises:
        RecordingError: It is not valid; one line.
    """
    from sigmf.validate import validate

    if not isinstance(content, dict):
        raise RecordingError(f"{where} is no SigMF: {_start(content)} instead of an object")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about undeclared extensions
            validate(content)
    except Exception as exc:  # besides its own error the validator raises others
        place = ".".join(str(part) for part in getattr(exc, "absolute_path", ()))
        reason = _start(getattr(exc, "message", None) or f"{type(exc).__name__}: {exc}")
        raise RecordingError(f"{where} is no SigMF: {place + ': ' if place else ''}{reason}") from exc


def parse(text: str, where: str) -> dict[str, Any]:
    """Parses the metadata of a file from elsewhere: valid SigMF with one channel in a supported datatype.

    Raises:
        RecordingError: It is anything else; one line.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise RecordingError(f"{where} is no SigMF: not JSON ({_start(exc)})") from exc
    require_sigmf(content, where)
    for requirement in _REQUIREMENTS:
        complaint = requirement(content)
        if complaint is not None:
            raise RecordingError(f"{where}: {complaint}")
    checked: dict[str, Any] = content
    return checked


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _start(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else text[:117] + "..."


# Requirements on a file from elsewhere besides the schema: each returns what is wrong, or None


def _datatype(content: dict[str, Any]) -> str | None:
    datatype = content["global"]["core:datatype"]
    return None if datatype in FORMATS else f"its datatype is {_start(datatype)}; {' and '.join(FORMATS)} can be read"


def _sample_rate(content: dict[str, Any]) -> str | None:
    rate = content["global"].get("core:sample_rate")
    if rate is None:
        return "it tells no sample rate; add core:sample_rate to its global section"
    if MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        return None
    return f"a sample rate of {_start(rate)} Hz; from {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} is possible"


def _one_channel(content: dict[str, Any]) -> str | None:
    n_channels = content["global"].get("core:num_channels", 1)
    return None if n_channels == 1 else f"it has {n_channels} channels; give one of them alone"


def _own_data(content: dict[str, Any]) -> str | None:
    if content["global"].get("core:metadata_only"):
        return "it is metadata alone, without samples"
    if "core:dataset" in content["global"]:
        return f"its samples are in another file; call that {DATA_SUFFIX} and take core:dataset out"
    has_header = any(capture.get("core:header_bytes") for capture in content["captures"])
    if has_header or content["global"].get("core:trailing_bytes"):
        return "its data file holds more than samples; convert it to a plain one"
    return None


def _extensions(content: dict[str, Any]) -> str | None:
    for extension in content["global"].get("core:extensions", []):
        if not extension["optional"] and extension["name"] != NAMESPACE:
            return f"it needs the extension {_start(extension['name'])}, which is not known here"
    return None


def _full_scale(content: dict[str, Any]) -> str | None:
    value = content["global"].get(FULL_SCALE_KEY, 1.0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and 0 < value <= MAX_FULL_SCALE:
        return None
    return f"{FULL_SCALE_KEY} is {_start(value)}; a positive number up to {MAX_FULL_SCALE:g} is possible"


_REQUIREMENTS = (_datatype, _sample_rate, _one_channel, _own_data, _extensions, _full_scale)
