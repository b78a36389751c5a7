# SPDX-License-Identifier: GPL-3.0-or-later
"""An exact arithmetic coder: integers only, so that a stream is the same on every machine.

References:
    Witten, Neal and Cleary, "Arithmetic coding for data compression", Communications of the ACM 30(6), 1987.
"""

from __future__ import annotations

_TOP = (1 << 32) - 1
_HALF = 1 << 31
_QUARTER = 1 << 30


class RangeEncoder:
    """Encodes symbols by their cumulative frequencies; call `finish` once at the end."""

    def __init__(self) -> None:
        self._low, self._high, self._pending = 0, _TOP, 0
        self._bits: list[int] = []

    def encode(self, begin: int, end: int, total: int) -> None:
        """Encode a symbol with the interval [begin, end) of [0, total); total at most 2^16."""
        span = self._high - self._low + 1
        low = self._low + span * begin // total
        high = self._low + span * end // total - 1
        while True:
            if high < _HALF:
                self._emit(0)
            elif low >= _HALF:
                self._emit(1)
                low, high = low - _HALF, high - _HALF
            elif low >= _QUARTER and high < 3 * _QUARTER:
                self._pending += 1
                low, high = low - _QUARTER, high - _QUARTER
            else:
                break
            low, high = 2 * low, 2 * high + 1
        self._low, self._high = low, high

    def _emit(self, bit: int) -> None:
        self._bits.append(bit)
        if self._pending:
            self._bits.extend([1 - bit] * self._pending)
            self._pending = 0

    def finish(self) -> bytes:
        """The stream without trailing zeros; the decoder reads zeros beyond its end."""
        if self._pending or self._low > 0:
            self._pending += 1
            self._emit(0 if self._low < _QUARTER else 1)
        bits = self._bits + [0] * (-len(self._bits) % 8)
        value = int("".join(map(str, bits)) or "0", 2)
        return value.to_bytes(len(bits) // 8, "big").rstrip(b"\0")


class RangeDecoder:
    """The inverse of `RangeEncoder`. Any bytes decode to some symbols, and no method raises."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._low, self._high, self._value, self._place = 0, _TOP, 0, 0
        for _ in range(32):
            self._value = 2 * self._value + self._bit()

    def _bit(self) -> int:
        byte, self._place = self._place >> 3, self._place + 1
        return (self._data[byte] >> (7 - (self._place - 1) % 8)) & 1 if byte < len(self._data) else 0

    def target(self, total: int) -> int:
        """A number in [0, total) inside the interval of the next symbol."""
        span = self._high - self._low + 1
        return ((self._value - self._low + 1) * total - 1) // span

    def consume(self, begin: int, end: int, total: int) -> None:
        """Continue after the symbol with the interval [begin, end)."""
        span = self._high - self._low + 1
        low = self._low + span * begin // total
        high = self._low + span * end // total - 1
        value = self._value
        while True:
            if high < _HALF:
                offset = 0
            elif low >= _HALF:
                offset = _HALF
            elif low >= _QUARTER and high < 3 * _QUARTER:
                offset = _QUARTER
            else:
                break
            low, high = 2 * (low - offset), 2 * (high - offset) + 1
            value = 2 * (value - offset) + self._bit()
        self._low, self._high, self._value = low, high, value
