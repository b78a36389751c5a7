# SPDX-License-Identifier: GPL-3.0-or-later
"""Header of a burst: format of its 24 bytes, coding and decoding.

A receiver needs to know only the waveform to decode a header; all other parameters of a burst are in it.

    version 4 | session 16 | frame 16 | burst 8 | n_bursts-1 8 | codec_id 32 | height-1 12 | width-1 12 |
    rate numerator-1 3 | rate denominator-1 9 | design SNR 6 | side_mode 4 | text_mode 4 | n_symbols 23 |
    side_len 16 | text_len 11 | side_byte 8

The numbers are bits. With a CRC-24 these are 216 bits: LDPC (rate 1/2, n = 576, shortened to 504 coded bits),
interleaver, QPSK, cyclic repetition until the resource elements of the header's OFDM symbols are full.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
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

VERSION = 2
"""Format version that a sender announces."""
VERSIONS = (1, VERSION)
"""Format versions that a receiver decodes. In version 2 the payload symbols have pseudo-random phases
(`ofdm.payload_phases`); in all else both are the same."""
HEADER_BYTES = 24
CRC_BYTES = 3
MAX_BURST_ELEMENTS = 65536
"""Most payload symbols of a burst, digital ones included; bounds how long a receiver waits for the end of a burst."""
KEPT_HEADERS = 256
"""Decoded headers kept in a cache."""
_CODE = LdpcCode.for_payload(8 * (HEADER_BYTES + CRC_BYTES))


class HeaderFault(Enum):
    """Reason why decoding returned no header."""

    CHECKSUM = "checksum"
    """The CRC fails: noise, too few symbols, or too many errors."""
    VERSION = "version"
    """The CRC holds, but the format version is none of `VERSIONS`."""
    CONTENT = "content"
    """The CRC holds and the version is known, but no sender of that version sends these values."""


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
    """Description of a burst and of its frame."""

    session: int
    """Random number of the sender's run, 16 bits."""
    frame: int
    """Frame counter, 16 bits."""
    burst: int
    """Number of the burst in its frame, 0 to `n_bursts` - 1."""
    n_bursts: int
    """Number of bursts of the frame, 1 to 256."""
    codec_id: int
    """Hash of the codec's name, configuration and weights, 32 bits."""
    size: ImageSize
    """Size of the picture, 1 to 4096 pixels per side."""
    rate: Fraction
    """Analogue and side symbols per source value; numerator 1 to 8, denominator 1 to 512."""
    snr_design_db: float
    """Es/N0 for which the frame is designed, dB; multiples of 0.5 from -8 to 23.5."""
    side_mode: str
    """Digital mode of the side information, a key of `modes.MODES`."""
    text_mode: str
    """Digital mode of the text, a key of `modes.MODES`."""
    n_symbols: int
    """Number of analogue symbols of the whole frame."""
    side_len: int
    """Bytes of side information of the whole frame; a single byte is in `side_byte`."""
    text_len: int
    """Bytes of text of the whole frame."""
    side_byte: int = 0
    """Side information of one byte, 0 to 255."""
    version: int = VERSION
    """Format version of the burst, one of `VERSIONS`."""

    @property
    def first_symbol(self) -> int:
        """Index of this burst's first analogue symbol in the frame's interleaved symbols."""
        return self.burst * self.n_symbols // self.n_bursts

    @property
    def n_analog(self) -> int:
        """Number of analogue symbols in this burst."""
        return (self.burst + 1) * self.n_symbols // self.n_bursts - self.first_symbol

    @property
    def side_plan(self) -> erasure_code.PacketPlan:
        """Packets of the side information; none for a single byte, which is in the header."""
        return erasure_code.plan(self.side_len if self.side_len > 1 else 0, self.n_bursts)

    @property
    def text_plan(self) -> erasure_code.PacketPlan:
        """Packets of the text."""
        return erasure_code.plan(self.text_len, self.n_bursts)

    @property
    def n_side(self) -> int:
        """Number of symbols of side information in this burst."""
        packets = self.side_plan
        return n_symbols(packets.packet_len, self.side_mode) if self.burst < packets.m else 0

    @property
    def n_text(self) -> int:
        """Number of symbols of text in this burst."""
        packets = self.text_plan
        return n_symbols(packets.packet_len, self.text_mode) if self.burst < packets.m else 0

    @property
    def n_elements(self) -> int:
        """Number of payload symbols in this burst: side information, text, analogue symbols."""
        return self.n_side + self.n_text + self.n_analog

    def _values(self) -> dict[str, int]:
        return {
            "version": self.version, "session": self.session, "frame": self.frame, "burst": self.burst,
            "n_bursts_minus_1": self.n_bursts - 1, "codec_id": self.codec_id, "height_minus_1": self.size.height - 1,
            "width_minus_1": self.size.width - 1, "numerator_minus_1": self.rate.numerator - 1,
            "denominator_minus_1": self.rate.denominator - 1, "snr_class": snr_class(self.snr_design_db),
            "side_mode": mode(self.side_mode).number, "text_mode": mode(self.text_mode).number,
            "n_symbols": self.n_symbols,
            "side_len": self.side_len, "text_len": self.text_len, "side_byte": self.side_byte,
        }  # fmt: skip

    def pack(self) -> bytes:
        """Pack the header into its 24 bytes.

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
        """Unpack 24 bytes; None when no sender of a version of `VERSIONS` would have sent them."""
        found = cls.parse(data)
        return found if isinstance(found, Header) else None

    @classmethod
    def parse(cls, data: bytes) -> Header | HeaderFault:
        """As `unpack`, but return the reason instead of None. Equal bytes are parsed once per process."""
        return _parse(bytes(data))

    @classmethod
    def _parse(cls, data: bytes) -> Header | HeaderFault:
        if len(data) != HEADER_BYTES:
            return HeaderFault.CONTENT
        packed, values = int.from_bytes(data, "big"), {}
        for name, n_bits in reversed(_FIELDS):
            values[name] = packed & ((1 << n_bits) - 1)
            packed >>= n_bits
        if values["version"] not in VERSIONS:
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
            text_len=values["text_len"], side_byte=values["side_byte"], version=values["version"],
        )  # fmt: skip
        return header if header._is_possible() else HeaderFault.CONTENT

    def _is_possible(self) -> bool:
        """Check the bounds that keep a forged header from making a receiver allocate memory or wait without limit."""
        return (
            self.burst < self.n_bursts
            and self.n_symbols <= self.n_bursts * MAX_BURST_SYMBOLS
            and self.n_symbols <= frame_symbols(self.size, self.rate)
            and self.n_elements <= MAX_BURST_ELEMENTS
        )


@lru_cache(maxsize=KEPT_HEADERS)
def _parse(data: bytes) -> Header | HeaderFault:
    """Detector, demodulator and recorder in one process unpack the same header from their messages."""
    return Header._parse(data)


def encode_header(header: Header, n_elements: int) -> ComplexArray:
    """Code and modulate a header.

    Args:
        header: Header of a burst.
        n_elements: Number of resource elements to fill, 581 in this waveform; at least 252.

    Returns:
        [n_elements] complex64, unit energy.

    Raises:
        FrameError: A field does not fit its bits.
    """
    data = header.pack()
    bits = np.unpackbits(np.frombuffer(data + crc24(data).to_bytes(CRC_BYTES, "big"), np.uint8))
    coded = _CODE.encode(bits)[permutation(_CODE.n_coded, INTERLEAVER_SEED)]
    return modulate(np.resize(coded, 2 * n_elements), 2)


def decode_header(symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]]) -> Header | None:
    """As `decode_header_or_fault`, but return None without the reason; never raises."""
    found = decode_header_or_fault(symbols, noise_var)
    return found if isinstance(found, Header) else None


def decode_header_or_fault(symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]]) -> Header | HeaderFault:
    """Demodulate and decode a header; never raises.

    Args:
        symbols: Header symbols equalised to unit gain, [n] complex, n >= 252.
        noise_var: Whole complex noise variance of each symbol, [n].

    Returns:
        The header, or the reason why there is none.
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
