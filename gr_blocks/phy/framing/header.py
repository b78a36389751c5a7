# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a burst: 24 bytes and a CRC-24, in a low-rate code.

The receiver knows nothing but the waveform before it reads one.

    version 4 | session 16 | frame 16 | burst 8 | n_bursts-1 8 | codec_id 32 | height-1 12 | width-1 12 |
    rate numerator-1 3 | rate denominator-1 9 | design SNR 6 | side_mode 4 | text_mode 4 | n_symbols 23 |
    side_len 16 | text_len 11 | side_byte 8

216 bits, LDPC (rate 1/2 of n = 576, shortened to 504), interleaved, QPSK, repeated until the header's symbols are full.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gened.errors import FrameError
from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.crc import crc24
from gened.gr_blocks.phy.coding.interleave import permutation
from gened.gr_blocks.phy.coding.ldpc import LdpcCode
from gened.gr_blocks.phy.coding.modes import INTERLEAVER_SEED, MODE_NAMES, mode, n_symbols
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, SNR_MIN_DB, SNR_STEP_DB, frame_symbols, snr_class
from gened.gr_blocks.phy.framing.budget import quantize_snr_db as quantize_snr_db
from gened.gr_blocks.phy.types import ComplexArray, ImageSize

VERSION = 1
HEADER_BYTES = 24
CRC_BYTES = 3
MAX_BURST_ELEMENTS = 65536
"""Payload symbols of a burst, digital ones included: what a receiver is ready to wait for."""
_CODE = LdpcCode.for_payload(8 * (HEADER_BYTES + CRC_BYTES))


class HeaderFault(Enum):
    """Why there is no header."""

    CHECKSUM = "checksum"
    """Noise, too few cells, or a code word beyond repair."""
    VERSION = "version"
    """Whole, but of another format version."""
    CONTENT = "content"
    """Whole and of this version, but nothing that a sender of it would send."""


class _Field(NamedTuple):
    name: str
    n_bits: int


_FIELDS = (
    _Field("version", 4), _Field("session", 16), _Field("frame", 16), _Field("burst", 8), _Field("n_bursts_minus_1", 8),
    _Field("codec_id", 32), _Field("height_minus_1", 12), _Field("width_minus_1", 12), _Field("numerator_minus_1", 3),
    _Field("denominator_minus_1", 9), _Field("snr_class", 6), _Field("side_mode", 4), _Field("text_mode", 4),
    _Field("n_symbols", 23), _Field("side_len", 16), _Field("text_len", 11), _Field("side_byte", 8),
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What every burst says of itself and of its frame."""

    session: int
    frame: int
    burst: int
    n_bursts: int
    codec_id: int
    size: ImageSize
    rate: Fraction
    snr_design_db: float
    side_mode: str
    text_mode: str
    n_symbols: int
    """Analogue symbols of the whole frame."""
    side_len: int
    """Bytes of side information of the whole frame; 1: it is `side_byte`."""
    text_len: int
    """Bytes of text of the whole frame."""
    side_byte: int = 0

    @property
    def first_symbol(self) -> int:
        """Index of this burst's first analogue symbol among the frame's interleaved ones."""
        return self.burst * self.n_symbols // self.n_bursts

    @property
    def n_analog(self) -> int:
        """Analogue symbols in this burst."""
        return (self.burst + 1) * self.n_symbols // self.n_bursts - self.first_symbol

    @property
    def side_plan(self) -> erasure_code.PacketPlan:
        """How the side information travels; a single byte does not travel beside the header."""
        return erasure_code.plan(self.side_len if self.side_len > 1 else 0, self.n_bursts)

    @property
    def text_plan(self) -> erasure_code.PacketPlan:
        """How the text travels."""
        return erasure_code.plan(self.text_len, self.n_bursts)

    @property
    def n_side(self) -> int:
        """Symbols of side information in this burst."""
        packets = self.side_plan
        return n_symbols(packets.packet_len, self.side_mode) if self.burst < packets.m else 0

    @property
    def n_text(self) -> int:
        """Symbols of text in this burst."""
        packets = self.text_plan
        return n_symbols(packets.packet_len, self.text_mode) if self.burst < packets.m else 0

    @property
    def n_elements(self) -> int:
        """Payload symbols of this burst: side information, text, analogue symbols."""
        return self.n_side + self.n_text + self.n_analog

    def _values(self) -> dict[str, int]:
        return {
            "version": VERSION, "session": self.session, "frame": self.frame, "burst": self.burst,
            "n_bursts_minus_1": self.n_bursts - 1, "codec_id": self.codec_id, "height_minus_1": self.size.height - 1,
            "width_minus_1": self.size.width - 1, "numerator_minus_1": self.rate.numerator - 1,
            "denominator_minus_1": self.rate.denominator - 1, "snr_class": snr_class(self.snr_design_db),
            "side_mode": mode(self.side_mode).number, "text_mode": mode(self.text_mode).number,
            "n_symbols": self.n_symbols,
            "side_len": self.side_len, "text_len": self.text_len, "side_byte": self.side_byte,
        }  # fmt: skip

    def pack(self) -> bytes:
        """24 bytes.

        Raises:
            FrameError: A field does not fit its bits.
            ConfigError: No such mode.
        """
        values = self._values()
        packed = 0
        for name, n_bits in _FIELDS:
            if not 0 <= values[name] < 1 << n_bits:
                raise FrameError(f"header field {name} = {values[name]} does not fit {n_bits} bits")
            packed = packed << n_bits | values[name]
        return packed.to_bytes(HEADER_BYTES, "big")

    @classmethod
    def unpack(cls, data: bytes) -> Header | None:
        """The header of 24 bytes, or None when no sender of this version would have sent it."""
        found = cls.parse(data)
        return found if isinstance(found, Header) else None

    @classmethod
    def parse(cls, data: bytes) -> Header | HeaderFault:
        """As `unpack`, with the reason."""
        if len(data) != HEADER_BYTES:
            return HeaderFault.CONTENT
        packed, values = int.from_bytes(data, "big"), {}
        for name, n_bits in reversed(_FIELDS):
            values[name] = packed & ((1 << n_bits) - 1)
            packed >>= n_bits
        if values["version"] != VERSION:
            return HeaderFault.VERSION
        if values["side_mode"] not in MODE_NAMES or values["text_mode"] not in MODE_NAMES:
            return HeaderFault.CONTENT
        header = cls(
            session=values["session"], frame=values["frame"], burst=values["burst"],
            n_bursts=values["n_bursts_minus_1"] + 1,
            codec_id=values["codec_id"], size=ImageSize(values["height_minus_1"] + 1, values["width_minus_1"] + 1),
            rate=Fraction(values["numerator_minus_1"] + 1, values["denominator_minus_1"] + 1),
            snr_design_db=SNR_MIN_DB + SNR_STEP_DB * values["snr_class"], side_mode=MODE_NAMES[values["side_mode"]],
            text_mode=MODE_NAMES[values["text_mode"]], n_symbols=values["n_symbols"], side_len=values["side_len"],
            text_len=values["text_len"], side_byte=values["side_byte"],
        )  # fmt: skip
        return header if header._is_possible() else HeaderFault.CONTENT

    def _is_possible(self) -> bool:
        """Bounds that keep a forged header from making the receiver allocate or wait without end."""
        return (
            self.burst < self.n_bursts
            and self.n_symbols <= self.n_bursts * MAX_BURST_SYMBOLS
            and self.n_symbols <= frame_symbols(self.size, self.rate)
            and self.n_elements <= MAX_BURST_ELEMENTS
        )


def encode_header(header: Header, n_elements: int) -> ComplexArray:
    """The header's symbols, [n_elements] complex64 of unit energy."""
    data = header.pack()
    bits = np.unpackbits(np.frombuffer(data + crc24(data).to_bytes(CRC_BYTES, "big"), np.uint8))
    coded = _CODE.encode(bits)[permutation(_CODE.n_coded, INTERLEAVER_SEED)]
    return modulate(np.resize(coded, 2 * n_elements), 2)


def decode_header(symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]]) -> Header | None:
    """The header in these cells, or None; never raises. Arguments as `decode_header_or_fault`."""
    found = decode_header_or_fault(symbols, noise_var)
    return found if isinstance(found, Header) else None


def decode_header_or_fault(symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]]) -> Header | HeaderFault:
    """The header in these cells, or the reason why there is none; never raises.

    Args:
        symbols: Equalised, at least 252.
        noise_var: Whole complex variance of each.
    """
    llr = demodulate(symbols, noise_var, 2)
    if len(llr) < _CODE.n_coded:
        return HeaderFault.CHECKSUM
    n_rounds = -(-len(llr) // _CODE.n_coded)
    folded = np.concatenate([llr, np.zeros(n_rounds * _CODE.n_coded - len(llr))]).reshape(n_rounds, -1).sum(0)
    block = np.empty(_CODE.n_coded)
    block[permutation(_CODE.n_coded, INTERLEAVER_SEED)] = folded
    data = np.packbits(_CODE.decode(block)[0]).tobytes()
    body, check = data[:HEADER_BYTES], data[HEADER_BYTES:]
    return Header.parse(body) if crc24(body).to_bytes(CRC_BYTES, "big") == check else HeaderFault.CHECKSUM
