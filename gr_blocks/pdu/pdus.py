# SPDX-License-Identifier: GPL-3.0-or-later
"""PDUs to and from Python: `pmt.cons(dictionary, vector)` <-> `(dict, np.ndarray)`.

A message port takes anything that anybody connects to it, so `from_pdu` checks before it converts and raises `PduError`
for whatever is not a PDU of the kind that was asked for; blocks drop and count these.
"""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pmt

from gened.errors import GenedError

AnyArray = npt.NDArray[Any]

MAX_ITEMS = 3 * 4096 * 4096
"""Longest vector accepted: a picture of 4096x4096 RGB bytes."""
MAX_META = 128
"""Most entries of a dictionary accepted."""


class PduError(GenedError):
    """A message is not a PDU of the kind that this port takes."""


class _Serials:
    """Counts frames over the threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0

    def __call__(self) -> int:
        with self._lock:
            self._next += 1
            return self._next - 1


_VECTORS = (
    # type, test, code and byte order in PMT's serialized form
    (np.uint8, pmt.is_u8vector, 0x00, ">u1"),
    (np.float32, pmt.is_f32vector, 0x08, ">f4"),
    (np.complex64, pmt.is_c32vector, 0x0A, ">c8"),
)
_UNIFORM_VECTOR = 0x0A  # gnuradio-runtime/include/pmt/pmt_serial_tags.scm
_HEADER = struct.Struct(">BBIBx")  # tag, type, items, one byte of padding follows


def to_vector(array: AnyArray | bytes) -> Any:
    """A uniform vector of bytes, float32 or complex64; arrays are flattened in C order.

    Made through PMT's serialized form: `pmt.init_u8vector` walks the items one by one and holds the interpreter for
    3.5 s on a picture of 12 million pixels; this takes 0.15 s.
    """
    if isinstance(array, bytes | bytearray):
        array = np.frombuffer(array, np.uint8)
    for dtype, _, code, order in _VECTORS:
        if array.dtype == dtype:
            return pmt.deserialize_str(
                _HEADER.pack(_UNIFORM_VECTOR, code, array.size, 1) + array.astype(order).tobytes()
            )
    raise PduError(f"no PDU vector for {array.dtype}; use uint8, float32 or complex64")


def from_vector(vector: Any) -> AnyArray:
    """The array of a uniform vector of bytes, float32 or complex64: a copy, 1-D.

    Raises:
        PduError: Another type, or longer than `MAX_ITEMS`.
    """
    for dtype, is_type, _, order in _VECTORS:
        if is_type(vector):
            if pmt.length(vector) > MAX_ITEMS:
                raise PduError(f"a vector of {pmt.length(vector)} items; at most {MAX_ITEMS} are taken")
            return np.frombuffer(pmt.serialize_str(vector), order, offset=_HEADER.size).astype(dtype)
    raise PduError("expected a vector of uint8, float32 or complex64")


def to_value(value: Any) -> Any:
    """A pmt of a plain Python value: None, bool, int, float, str, bytes, or an array."""
    if value is None:
        return pmt.PMT_NIL
    if isinstance(value, bool | np.bool_):
        return pmt.from_bool(bool(value))
    if isinstance(value, int | np.integer):
        return pmt.from_uint64(int(value)) if value > 2**31 - 1 else pmt.from_long(int(value))
    if isinstance(value, float | np.floating):
        return pmt.from_double(float(value))
    if isinstance(value, str):
        return pmt.intern(value)
    return to_vector(value)


def from_value(value: Any) -> Any:
    """The Python value of a pmt that `to_value` can make; vectors of bytes come as arrays.

    Raises:
        PduError: Something else.
    """
    if pmt.is_null(value):
        return None
    if pmt.is_bool(value):
        return pmt.to_bool(value)
    if pmt.is_symbol(value):
        return pmt.symbol_to_string(value)
    if pmt.is_integer(value):
        return pmt.to_long(value)
    if pmt.is_uint64(value):
        return pmt.to_uint64(value)
    if pmt.is_real(value):
        return pmt.to_double(value)
    return from_vector(value)


def to_pdu(meta: Mapping[str, Any], data: AnyArray | bytes) -> Any:
    """A PDU from plain values and one array."""
    dictionary = pmt.make_dict()
    for key, value in meta.items():
        dictionary = pmt.dict_add(dictionary, pmt.intern(key), to_value(value))
    return pmt.cons(dictionary, to_vector(data))


def from_pdu(message: Any, dtype: type[np.generic] | None = None) -> tuple[dict[str, Any], AnyArray]:
    """Dictionary and array of a PDU.

    Args:
        message: Any pmt.
        dtype: What the vector must hold; anything of `_VECTORS` when None.

    Raises:
        PduError: Not a PDU, an entry or a vector of another type, or too long. Entries of the dictionary that are of no
            type we know are left out: other blocks may add what they like.
    """
    if not pmt.is_pair(message):
        raise PduError("expected a PDU, a pair of dictionary and vector")
    head, tail = pmt.car(message), pmt.cdr(message)
    if not (pmt.is_dict(head) or pmt.is_null(head)):
        raise PduError("the first half of a PDU is a dictionary")
    data = from_vector(tail)
    if dtype is not None and data.dtype != dtype:
        raise PduError(f"expected a vector of {np.dtype(dtype).name}, got {data.dtype.name}")
    return _from_dict(head), data


def _from_dict(dictionary: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if pmt.is_null(dictionary):
        return meta
    items = pmt.dict_items(dictionary)
    for _ in range(MAX_META):
        if not pmt.is_pair(items):
            return meta
        key, value = pmt.car(pmt.car(items)), pmt.cdr(pmt.car(items))
        items = pmt.cdr(items)
        if pmt.is_symbol(key):
            try:
                meta[sys.intern(pmt.symbol_to_string(key))] = from_value(value)  # many frames' facts are kept
            except (PduError, UnicodeDecodeError):
                continue
    if pmt.is_pair(items):
        raise PduError(f"a dictionary of more than {MAX_META} entries")
    return meta


def take(
    meta: Mapping[str, Any], key: str, kind: type[Any], low: float | None = None, high: float | None = None
) -> Any:
    """A checked entry of a dictionary: present, of its type, finite and within its bounds.

    Raises:
        PduError: Missing, of another type, not finite or out of bounds.
    """
    value: Any = meta.get(key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise PduError(f"the PDU's '{key}' must be {kind.__name__}, got {type(value).__name__}")
    found: Any = value
    if kind is float and not np.isfinite(found):
        raise PduError(f"the PDU's '{key}' is not finite")
    if (low is not None and found < low) or (high is not None and found > high):
        raise PduError(f"the PDU's '{key}' is {found}, outside {low} to {high}")
    return found


next_serial = _Serials()
"""A number for each frame that this process has made, from 0."""
