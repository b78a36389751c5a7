# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the editing service, packed and checked in one place: a msgpack header, then raw bytes.

    request   header {v, op: "edit", id, height, width, text, snr_db, noise_var, strength, seed, has_mask}
              picture, H W 3 bytes of RGB;  mask, H W bytes, where has_mask says so
    request   header {v, op: "ping", id}            and {v, op: "figures", id}
    answer    header {v, op: "edited", id, height, width, seconds, backend, edited, reason},  picture
    answer    header {v, op: "refused", id, reason}
    answer    header {v, op: "pong", id, backend, device} and {v, op: "figures", id, figures}

Whatever comes off a socket is parsed as hostile: what does not fit raises `MessageError`, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from gened.errors import EditorError
from gened.models.codecs.base import Picture
from gened.models.data.images import to_float, to_uint8
from gened.models.editing.base import MAX_SIDE, MAX_TEXT_BYTES, MIN_SIDE, Edited, EditRequest

VERSION = 1
MAX_HEADER_BYTES = 64 * 1024
MAX_REASON = 500
MAX_ID = 2**63 - 1

Frames = list[bytes]
Header = dict[str, Any]


class MessageError(EditorError):
    """Bytes that are no message of this protocol."""


@dataclass(frozen=True)
class Ask:
    """A request as the server reads it."""

    op: str
    number: int
    request: EditRequest | None = None


def _pack(op: str, number: int, facts: Header | None = None, *blobs: bytes) -> Frames:
    return [msgpack.packb({"v": VERSION, "op": op, "id": number, **(facts or {})}), *blobs]


def _pixels(x: Picture) -> bytes:
    return to_uint8(x).tobytes()


# Requests


def pack_request(number: int, request: EditRequest) -> Frames:
    """A picture to edit; it travels with 8 bits a colour."""
    height, width = request.x_hat.shape[1:]
    facts = {
        "height": height, "width": width, "text": request.text, "snr_db": request.snr_est_db,
        "noise_var": request.noise_var_mean, "strength": request.strength, "seed": request.seed,
        "has_mask": request.mask is not None,
    }  # fmt: skip
    mask = () if request.mask is None else (to_uint8(request.mask[None])[..., 0].tobytes(),)
    return _pack("edit", number, facts, _pixels(request.x_hat), *mask)


def pack_ask(op: str, number: int) -> Frames:
    """A question without a picture: "ping" or "figures"."""
    return _pack(op, number)


def unpack_ask(frames: Sequence[bytes]) -> Ask:
    """What a client asks.

    Raises:
        MessageError: It is no request of this protocol; `number` of the error is the request's where it could be read.
    """
    header = _header(frames)
    op, number = header["op"], header["id"]
    try:
        if op in ("ping", "figures"):
            _require(len(frames) == 1, f"a {op} has no picture")
            return Ask(op, number)
        _require(op == "edit", f"an unknown request {op!r}")
        return Ask(op, number, _request(header, frames[1:]))
    except EditorError as error:
        raise NumberedError(str(error), number) from error


class NumberedError(MessageError):
    """A request that is wrong, but whose number could be read: its sender can be told."""

    def __init__(self, reason: str, number: int) -> None:
        super().__init__(reason)
        self.number = number


def _request(header: Header, blobs: Sequence[bytes]) -> EditRequest:
    has_mask = _take(header, "has_mask", bool)
    _require(len(blobs) == 1 + has_mask, f"{len(blobs)} parts with pixels; expected {1 + has_mask}")
    x_hat = _picture(header, blobs[0])
    mask = None
    if has_mask:
        height, width = x_hat.shape[1:]
        _require(len(blobs[1]) == height * width, f"the mask has {len(blobs[1])} bytes; expected {height * width}")
        mask = np.frombuffer(blobs[1], np.uint8).reshape(height, width).astype(np.float32) / np.float32(255)
    return EditRequest(
        x_hat, text=_take(header, "text", str), mask=mask, snr_est_db=_optional(header, "snr_db"),
        noise_var_mean=_optional(header, "noise_var"), strength=_number(header, "strength"),
        seed=_take(header, "seed", int),
    )  # fmt: skip


# Answers


def pack_edited(number: int, edited: Edited) -> Frames:
    """A picture that was edited, or was not for the reason given."""
    height, width = edited.x.shape[1:]
    facts = {
        "height": height, "width": width, "seconds": edited.seconds, "backend": edited.backend,
        "edited": edited.edited, "reason": edited.reason[:MAX_REASON],
    }  # fmt: skip
    return _pack("edited", number, facts, _pixels(edited.x))


def pack_refused(number: int, reason: str) -> Frames:
    """No picture, for this reason."""
    return _pack("refused", number, {"reason": " ".join(reason.split())[:MAX_REASON]})


def pack_pong(number: int, backend: str, device: str) -> Frames:
    """The server is there and has its model."""
    return _pack("pong", number, {"backend": backend, "device": device})


def pack_figures(number: int, figures: Header) -> Frames:
    """How the server does."""
    return _pack("figures", number, {"figures": figures})


@dataclass(frozen=True)
class Answer:
    """What the client reads."""

    op: str
    number: int
    edited: Edited | None = None
    reason: str = ""
    facts: Header | None = None


def unpack_answer(frames: Sequence[bytes]) -> Answer:
    """What a server answers.

    Raises:
        MessageError: It is no answer of this protocol.
    """
    header = _header(frames)
    op, number = header["op"], header["id"]
    if op == "edited":
        _require(len(frames) == 2, f"an answer of {len(frames)} parts; expected 2")
        edited = Edited(
            _picture(header, frames[1]), seconds=_number(header, "seconds"), backend=_take(header, "backend", str)[:64],
            edited=_take(header, "edited", bool), reason=_take(header, "reason", str)[:MAX_REASON],
        )  # fmt: skip
        return Answer(op, number, edited)
    _require(len(frames) == 1, f"an answer {op!r} of {len(frames)} parts")
    if op == "refused":
        return Answer(op, number, reason=_take(header, "reason", str)[:MAX_REASON])
    if op == "pong":
        return Answer(op, number, facts={key: _take(header, key, str)[:64] for key in ("backend", "device")})
    _require(op == "figures", f"an unknown answer {op!r}")
    return Answer(op, number, facts=_take(header, "figures", dict))


# Checks


def _header(frames: Sequence[bytes]) -> Header:
    _require(1 <= len(frames) <= 3, f"a message of {len(frames)} parts")
    _require(len(frames[0]) <= MAX_HEADER_BYTES, f"a header of {len(frames[0])} bytes")
    try:
        header = msgpack.unpackb(frames[0], raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise MessageError(f"no header: {type(error).__name__}") from error
    _require(isinstance(header, dict), "a header that is no map")
    version = header.get("v")
    _require(version == VERSION, f"protocol version {str(version)[:20]}; this is version {VERSION}")
    number = _take(header, "id", int)
    _require(0 <= number <= MAX_ID, "a number out of range")
    _take(header, "op", str)
    found: Header = header
    return found


def _picture(header: Header, pixels: bytes) -> Picture:
    height, width = _take(header, "height", int), _take(header, "width", int)
    _require(
        all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width)),
        f"a picture of {str(width)[:8]}x{str(height)[:8]}",
    )
    _require(len(pixels) == 3 * height * width, f"{len(pixels)} bytes for a picture of {width}x{height}")
    return to_float(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))


def _take(header: Header, key: str, kind: type) -> Any:
    value = header.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MessageError(f"'{key}' must be {kind.__name__}, got {type(value).__name__}")
    return value


def _number(header: Header, key: str) -> float:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MessageError(f"'{key}' must be a finite number")
    return float(value)


def _optional(header: Header, key: str) -> float | None:
    return None if header.get(key) is None else _number(header, key)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise MessageError(reason)


assert MAX_TEXT_BYTES < MAX_HEADER_BYTES  # a header has room for the longest text
