# SPDX-License-Identifier: GPL-3.0-or-later
"""PDUs to and from Python: `pmt.cons(dictionary, vector)` <-> `(dict, np.ndarray)`.

A message port accepts whatever is connected to it, so these functions check before they convert, and raise `PduError`
for a message that is no PDU of the kind that was asked for; blocks drop such messages and count them.

Vectors are copied once on the way in and not at all on the way out: an array that `from_vector` returns is a read-only
view of the message's own memory.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pmt

from gened.gr_blocks.pdu.frame_meta import PduError as PduError

AnyArray = npt.NDArray[Any]

MAX_ITEMS = 3 * 4096 * 4096
"""Longest vector accepted: a picture of 4096x4096 RGB bytes."""
MAX_META = 128
"""Most entries of a dictionary accepted."""


_VECTORS = (
    # NumPy's type, PMT's test, PMT's constructor
    (np.dtype(np.uint8), pmt.is_u8vector, pmt.make_u8vector),
    (np.dtype(np.float32), pmt.is_f32vector, pmt.make_f32vector),
    (np.dtype(np.complex64), pmt.is_c32vector, pmt.make_c32vector),
)

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class _Memory:
    """The items of a uniform vector as NumPy sees them, and the vector itself, so that they stay."""

    def __init__(self, vector: Any, dtype: np.dtype[Any], n_items: int, *, is_writable: bool) -> None:
        elements = pmt.uniform_vector_writable_elements if is_writable else pmt.uniform_vector_elements
        self._vector = vector
        self.__array_interface__ = {
            "version": 3, "shape": (n_items,), "typestr": dtype.str,
            "data": (_get_pointer(elements(vector, 0), None), not is_writable),
        }  # fmt: skip


def to_vector(array: AnyArray | bytes) -> Any:
    """A uniform vector of bytes, float32 or complex64; arrays are flattened in C order.

    `pmt.init_u8vector` walks the items one by one and holds the interpreter for 3.5 s on a picture of 12 million
    pixels; this copies their memory.
    """
    items = np.frombuffer(array, np.uint8) if isinstance(array, bytes | bytearray) else array.reshape(-1)
    if items.dtype == np.uint8 and len(items):
        items = np.ascontiguousarray(items)
        return pmt.make_blob(_new_capsule(items.ctypes.data, None, None), len(items))  # copies, and fills nothing first
    for dtype, _, make in _VECTORS:
        if items.dtype == dtype:
            vector = make(len(items), 0)
            if len(items):
                np.asarray(_Memory(vector, dtype, len(items), is_writable=True))[:] = items
            return vector
    raise PduError(f"no PDU vector for {items.dtype}; use uint8, float32 or complex64")


def from_vector(vector: Any) -> AnyArray:
    """The items of a uniform vector of bytes, float32 or complex64: 1-D, read-only, in the vector's own memory.

    Raises:
        PduError: Another type, or longer than `MAX_ITEMS`.
    """
    for dtype, is_type, _ in _VECTORS:
        if is_type(vector):
            n_items = pmt.length(vector)
            if n_items > MAX_ITEMS:
                raise PduError(f"a vector of {n_items} items; at most {MAX_ITEMS} are accepted")
            if n_items == 0:
                return np.zeros(0, dtype)
            return np.asarray(_Memory(vector, dtype, n_items, is_writable=False))
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
    return pmt.cons(_with_entries(pmt.make_dict(), meta), to_vector(data))


def with_entries(message: Any, meta: Mapping[str, Any]) -> Any:
    """The PDU with further or other entries in its dictionary; its vector is neither read nor copied."""
    return pmt.cons(_with_entries(pmt.car(message), meta), pmt.cdr(message))


def _with_entries(dictionary: Any, meta: Mapping[str, Any]) -> Any:
    for key, value in meta.items():
        dictionary = pmt.dict_add(dictionary, pmt.intern(key), to_value(value))
    return dictionary


def from_pdu(message: Any, dtype: type[np.generic] | None = None) -> tuple[dict[str, Any], AnyArray]:
    """Dictionary and array of a PDU.

    Args:
        message: Any pmt.
        dtype: What the vector must hold; any type of `_VECTORS` when None.

    Raises:
        PduError: Not a PDU, an entry or a vector of another type, or too long. Entries of the dictionary that are of no
            type we know are left out: other blocks may add what they like.
    """
    return meta_from_pdu(message, dtype), from_vector(pmt.cdr(message))


def meta_from_pdu(
    message: Any, dtype: type[np.generic] | None = None, names: Collection[str] | None = None
) -> dict[str, Any]:
    """Dictionary of a PDU, whose vector stays untouched.

    Args:
        message: Any pmt.
        dtype: What the vector must hold; any type of `_VECTORS` when None.
        names: Entries that are read; all of them when None.

    Raises:
        PduError: As `from_pdu`.
    """
    if not pmt.is_pair(message):
        raise PduError("expected a PDU, a pair of dictionary and vector")
    head, tail = pmt.car(message), pmt.cdr(message)
    if not (pmt.is_dict(head) or pmt.is_null(head)):
        raise PduError("the first half of a PDU is a dictionary")
    found = next((known for known, is_type, _ in _VECTORS if is_type(tail)), None)
    if found is None:
        raise PduError("expected a vector of uint8, float32 or complex64")
    if dtype is not None and found != dtype:
        raise PduError(f"expected a vector of {np.dtype(dtype).name}, got {found.name}")
    return _from_dict(head, names)


def _from_dict(dictionary: Any, names: Collection[str] | None) -> dict[str, Any]:
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
                name = sys.intern(pmt.symbol_to_string(key))  # many frames' facts are kept
                if names is None or name in names:
                    meta[name] = from_value(value)
            except (PduError, UnicodeDecodeError):
                continue
    if pmt.is_pair(items):
        raise PduError(f"a dictionary of more than {MAX_META} entries")
    return meta
