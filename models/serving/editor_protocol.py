# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the editing service, packed and checked in one place: a msgpack header, then raw bytes.

    request   header {v, op: "edit", id, height, width, text, snr_db, noise_var, strength, seed, has_mask}
              picture, H W 3 bytes of RGB;  mask, H W bytes if has_mask is true
    request   header {v, op: "ping", id}            and {v, op: "figures", id}
    answer    header {v, op: "edited", id, height, width, seconds, backend, edited, reason},  picture
    answer    header {v, op: "refused", id, reason}
    answer    header {v, op: "pong", id, backend, device} and {v, op: "figures", id, figures}

Pictures and masks have 8 bits per value on the whole way; the backend's thread converts them to float. Messages are
untrusted: one that does not fit raises `MessageError`, and no other error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgpack
import numpy as np
from pydantic import Field

from gened import hostile
from gened.errors import EditorError
from gened.models.data.images import Pixels
from gened.models.editing.base import MAX_SIDE, MAX_TEXT_BYTES, MIN_SIDE, EditResult, EditTask

VERSION = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_REASON = 500
"""Characters of a reason; longer ones are cut."""
MAX_NAME = 64
"""Characters of a backend's or a device's name; longer ones are cut."""
MAX_ID = 2**63 - 1

Frames = list[bytes]
Header = dict[str, Any]
Side = Annotated[int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE)]


class MessageError(EditorError):
    """Bytes that are no message of this protocol."""


class NumberedError(MessageError):
    """A malformed request whose number could be read, so that it can be answered."""

    def __init__(self, reason: str, number: int) -> None:
        super().__init__(reason)
        self.number = number


# Headers, as they are checked


@dataclass(frozen=True, slots=True)
class _Envelope:
    """Entries of every header."""

    v: object
    id: Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]
    op: hostile.Text


@dataclass(frozen=True, slots=True)
class _Edit:
    height: Side
    width: Side
    text: hostile.Text
    strength: hostile.Finite
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)]
    has_mask: hostile.Flag
    snr_db: hostile.Finite | None = None
    noise_var: hostile.Finite | None = None


@dataclass(frozen=True, slots=True)
class _Edited:
    height: Side
    width: Side
    seconds: hostile.Finite
    backend: hostile.Text
    edited: hostile.Flag
    reason: hostile.Text


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: hostile.Text


@dataclass(frozen=True, slots=True)
class _Pong:
    backend: hostile.Text
    device: hostile.Text


@dataclass(frozen=True, slots=True)
class _Figures:
    figures: dict[str, Any]


# Requests


@dataclass(frozen=True)
class Ask:
    """A request as the server reads it."""

    op: str
    number: int
    task: EditTask | None = None


def pack_request(number: int, task: EditTask) -> Frames:
    """A picture to edit."""
    height, width = task.pixels.shape[:2]
    facts = {
        "height": height, "width": width, "text": task.text, "snr_db": task.snr_est_db,
        "noise_var": task.noise_var_mean, "strength": task.strength, "seed": task.seed,
        "has_mask": task.mask is not None,
    }  # fmt: skip
    mask = () if task.mask is None else (task.mask.tobytes(),)
    return _pack("edit", number, facts, task.pixels.tobytes(), *mask)


def pack_ask(op: str, number: int) -> Frames:
    """A request without a picture: "ping" or "figures"."""
    return _pack(op, number)


def unpack_ask(frames: Sequence[bytes]) -> Ask:
    """A client's request.

    Raises:
        MessageError: No request of this protocol; a `NumberedError` if the number could be read.
    """
    envelope, header = _header(frames)
    try:
        if envelope.op in ("ping", "figures"):
            _require(len(frames) == 1, f"a {envelope.op} has no picture")
            return Ask(envelope.op, envelope.id)
        _require(envelope.op == "edit", f"an unknown request {envelope.op[:20]!r}")
        return Ask(envelope.op, envelope.id, _task(header, frames[1:]))
    except EditorError as error:
        raise NumberedError(str(error), envelope.id) from error


def _task(header: object, blobs: Sequence[bytes]) -> EditTask:
    edit = hostile.checked(_Edit, header, error=MessageError)
    _require(len(blobs) == 1 + edit.has_mask, f"{len(blobs)} parts with pixels; expected {1 + edit.has_mask}")
    mask = None
    if edit.has_mask:
        n_pixels = edit.height * edit.width
        _require(len(blobs[1]) == n_pixels, f"the mask has {len(blobs[1])} bytes; expected {n_pixels}")
        mask = np.frombuffer(blobs[1], np.uint8).reshape(edit.height, edit.width)
    return EditTask(
        _pixels(edit, blobs[0]), text=edit.text, mask=mask, snr_est_db=edit.snr_db, noise_var_mean=edit.noise_var,
        strength=edit.strength, seed=edit.seed,
    )  # fmt: skip


# Answers


@dataclass(frozen=True)
class Answer:
    """An answer as the client reads it."""

    op: str
    number: int
    result: EditResult | None = None
    reason: str = ""
    facts: Header | None = None


def pack_edited(number: int, result: EditResult) -> Frames:
    """A picture that was edited, or was not for the given reason."""
    height, width = result.pixels.shape[:2]
    facts = {
        "height": height, "width": width, "seconds": result.seconds, "backend": result.backend,
        "edited": result.edited, "reason": result.reason[:MAX_REASON],
    }  # fmt: skip
    return _pack("edited", number, facts, result.pixels.tobytes())


def pack_refused(number: int, reason: str) -> Frames:
    """No picture, for this reason."""
    return _pack("refused", number, {"reason": " ".join(reason.split())[:MAX_REASON]})


def pack_pong(number: int, backend: str, device: str) -> Frames:
    """The server is running and has loaded its model."""
    return _pack("pong", number, {"backend": backend, "device": device})


def pack_figures(number: int, figures: Header) -> Frames:
    """Queue, latencies, memory and counts of the server."""
    return _pack("figures", number, {"figures": figures})


def unpack_answer(frames: Sequence[bytes]) -> Answer:
    """A server's answer.

    Raises:
        MessageError: No answer of this protocol.
    """
    envelope, header = _header(frames)
    op, number = envelope.op, envelope.id
    if op == "edited":
        _require(len(frames) == 2, f"an answer of {len(frames)} parts; expected 2")
        edited = hostile.checked(_Edited, header, error=MessageError)
        result = EditResult(
            _pixels(edited, frames[1]), edited.seconds, edited.backend[:MAX_NAME], edited.edited,
            edited.reason[:MAX_REASON],
        )  # fmt: skip
        return Answer(op, number, result)
    _require(len(frames) == 1, f"an answer {op[:20]!r} of {len(frames)} parts")
    if op == "refused":
        refused = hostile.checked(_Refused, header, error=MessageError)
        return Answer(op, number, reason=refused.reason[:MAX_REASON])
    if op == "pong":
        pong = hostile.checked(_Pong, header, error=MessageError)
        return Answer(op, number, facts={"backend": pong.backend[:MAX_NAME], "device": pong.device[:MAX_NAME]})
    _require(op == "figures", f"an unknown answer {op[:20]!r}")
    return Answer(op, number, facts=hostile.checked(_Figures, header, error=MessageError).figures)


# Both


def _pack(op: str, number: int, facts: Header | None = None, *blobs: bytes) -> Frames:
    return [msgpack.packb({"v": VERSION, "op": op, "id": number, **(facts or {})}), *blobs]


def _header(frames: Sequence[bytes]) -> tuple[_Envelope, object]:
    """The entries of every header, and the whole header, of which the rest is not checked yet."""
    _require(1 <= len(frames) <= 3, f"a message of {len(frames)} parts")
    _require(len(frames[0]) <= MAX_HEADER_BYTES, f"a header of {len(frames[0])} bytes")
    try:
        header: object = msgpack.unpackb(frames[0], raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise MessageError(f"no header: {type(error).__name__}") from error
    _require(isinstance(header, dict), "a header that is no map")
    envelope = hostile.checked(_Envelope, header, error=MessageError)
    version = envelope.v
    _require(version == VERSION, f"protocol version {str(version)[:20]}; this is version {VERSION}")
    return envelope, header


def _pixels(header: _Edit | _Edited, content: bytes) -> Pixels:
    n_bytes = 3 * header.height * header.width
    _require(len(content) == n_bytes, f"{len(content)} bytes for a picture of {header.width}x{header.height}")
    return np.frombuffer(content, np.uint8).reshape(header.height, header.width, 3)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise MessageError(reason)


assert MAX_TEXT_BYTES < MAX_HEADER_BYTES  # a header has room for the longest text
