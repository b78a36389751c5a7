# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that ship with the package: there, whole, with their hashes; and the numbers that headers carry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gened.doctor.findings import Finding, Level, Visit, check
from gened.doctor.programs import ProbeError
from gened.paths import WEIGHTS

FILES = ("config.json", "model.safetensors")
FOLDERS = ("softcast", "gened", "deepjscc", "editor")
NEEDED = "softcast"
"""Without its weights there is no codec that works without PyTorch."""
MAX_HEADER = 100_000_000
"""Bytes; what safetensors itself allows."""
REMEDY = "get the package again: git status, git lfs pull, pip install -e ."
SHOWN = 12
"""Digits of a hash on the screen; --json has all."""


@check("Weights")
def weights(visit: Visit) -> list[Finding]:
    """One finding a folder; whether a codec loads is what `gened check` found."""
    try:
        codecs = {item["name"].removeprefix("codec "): item for item in visit.parts()}
    except ProbeError:
        codecs = {}  # another finding reports it
    return [_judged(name, WEIGHTS / name, codecs.get(name)) for name in FOLDERS]


def _judged(name: str, folder: Path, codec: dict[str, object] | None) -> Finding:
    level: Level = "problem" if name == NEEDED else "note"
    try:
        digest, n_bytes = require_whole(folder)
    except (OSError, ValueError) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        return Finding(subject=name, level=level, text=reason, next_step=REMEDY)
    facts = {"sha256": digest, "n_bytes": n_bytes, "folder": str(folder)}
    text = f"{n_bytes / 2**20:.1f} MiB, SHA-256 {digest[:SHOWN]}"
    if codec is None:
        return Finding(subject=name, level="ok", text=text, facts=facts)
    if not codec["is_ok"]:
        return Finding(subject=name, level=level, text=f"{text}; {codec['text']}", next_step=REMEDY, facts=facts)
    return Finding(subject=name, level="ok", text=f"{text}, loads; {codec['text']}", facts=facts)


def require_whole(folder: Path) -> tuple[str, int]:
    """SHA-256 and length of a folder's weights.

    Raises:
        OSError: A file is not there or cannot be read.
        ValueError: A file is cut off, or no file of its kind.
    """
    try:
        json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / FILES[0]} is no JSON") from error
    data = (folder / FILES[1]).read_bytes()
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
            raise ValueError
        tensors = json.loads(data[8 : 8 + length])
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        if len(data) != 8 + length + max(ends, default=0):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{folder / FILES[1]} is cut off, or no safetensors file") from error
    return hashlib.sha256(data).hexdigest(), len(data)
