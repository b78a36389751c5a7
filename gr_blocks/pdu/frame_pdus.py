# SPDX-License-Identifier: GPL-3.0-or-later
"""The PDUs that our blocks pass to each other, packed and checked in one place.

    picture   u8  [H W 3] RGB   height, width; optional: caption, frame, name, encode_options (JSON) and
                                mask: u8 [H W], 255 is important
    encoded   c32 symbols       session, frame, codec_id, height, width, rate_num, rate_den, snr_design_db, side_info;
                                from the caption encoder: text, text_mode
    capture   c32 samples       what the detector knows of a burst (see `capture_to_pdu`)
    received  c32 symbols       noise_var and the other entries of `ReceivedFrame`
    report    u8  (empty)       facts about a frame, as plain values; `error` and `error_code` when it failed

Entries that a block does not know travel on, so a name or a caption given with a picture is still there in the report.
At the end of a flowgraph the dictionary becomes a typed record, see `frame_meta.py` and `facts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, TypeVar

import numpy as np
import pmt
from pydantic import AfterValidator, BeforeValidator, Field

from gened.errors import FrameError, GenedError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.gr_blocks.pdu.frame_meta import Image as Image
from gened.gr_blocks.pdu.frame_meta import Mask as Mask
from gened.gr_blocks.pdu.frame_meta import Meta as Meta
from gened.gr_blocks.pdu.frame_meta import checked_meta as _checked
from gened.gr_blocks.pdu.frame_meta import facts_from_meta as facts_from_meta
from gened.gr_blocks.pdu.frame_meta import plain as plain
from gened.gr_blocks.pdu.frame_meta import received_meta, sent_facts_from_meta
from gened.gr_blocks.pdu.pdus import PduError, from_pdu, from_vector, meta_from_pdu, to_pdu
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.framing.rate import MAX_DENOMINATOR, MAX_NUMERATOR
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, PartialBytes, Received, ReceivedFrame
from gened.hostile import Count, Finite, Flag, Text, UInt16, UInt32, prepare
from gened.models.codecs.encode_options import EncodeOptions

MIN_SIDE = 64
MAX_SIDE = 4096
"""Pictures are 64x64 to 4096x4096; the header has 12 bits for each side."""

Settings = TypeVar("Settings", bound=EncodeOptions)


def _to_bytes(value: object) -> bytes:
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        raise ValueError("must be a vector of bytes")
    return value.tobytes()


def _to_vector(value: object) -> object:
    if not isinstance(value, np.ndarray):
        raise ValueError("must be a vector")
    return value


Bytes = Annotated[bytes, BeforeValidator(_to_bytes)]
Vector = Annotated[Any, AfterValidator(_to_vector)]
SnrDb = Annotated[Finite, Field(ge=-100, le=100)]
MaybeNan = Annotated[float, Field(strict=True)]
"""A measured figure; NaN when nothing could be measured."""
Side = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE)]


# Pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class _PictureMeta:
    height: Annotated[int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE)]
    width: Annotated[int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE)]
    mask: Vector | None = None


def picture_to_pdu(image: Image, meta: Mapping[str, Any] | None = None, mask: Mask | None = None) -> Any:
    """A picture, [H, W, 3] uint8 RGB, as a PDU, with the importance of its pixels where it is known."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise FrameError(f"a picture is [H, W, 3] uint8, not {list(image.shape)} {image.dtype}")
    if mask is not None and (mask.shape != image.shape[:2] or mask.dtype != np.uint8):
        raise FrameError(f"the mask of a picture is [H, W] uint8 as the picture, not {list(mask.shape)} {mask.dtype}")
    facts = {**(meta or {}), "height": image.shape[0], "width": image.shape[1]}
    return to_pdu(facts if mask is None else {**facts, "mask": mask}, image)


def picture_from_pdu(message: Any) -> tuple[Image, Meta]:
    """Picture and dictionary of a PDU; its `mask`, where there is one, is [H, W] uint8. Both arrays are read-only.

    Raises:
        PduError: Not a picture of 64x64 to 4096x4096, its length is not height x width x 3, or that of its mask is not
            height x width.
    """
    meta, data = from_pdu(message, np.uint8)
    found = _checked(_PictureMeta, meta)
    height, width, mask = found.height, found.width, found.mask
    if len(data) != height * width * 3:
        raise PduError(f"a picture of {width}x{height} has {height * width * 3} bytes, the PDU has {len(data)}")
    if mask is not None:
        if mask.dtype != np.uint8 or len(mask) != height * width:
            raise PduError(f"the mask of a picture of {width}x{height} has {height * width} bytes, not {mask.nbytes}")
        meta["mask"] = mask.reshape(height, width)
    return data.reshape(height, width, 3), meta


def picture_number(meta: Mapping[str, Any], default: int) -> tuple[int, int]:
    """Session and frame number of a picture.

    Args:
        meta: Its dictionary; both entries are optional, and the session is 0 without one.
        default: Number of the frame without one.

    Raises:
        PduError: One of them is not a count.
    """
    found = _checked(_NumberMeta, meta)
    return found.session, default if found.frame is None else found.frame


@dataclass(frozen=True, slots=True, kw_only=True)
class _NumberMeta:
    session: Count = 0
    frame: Count | None = None


def take_options(meta: Meta, kind: type[Settings]) -> Settings | None:
    """Take a picture's own encoder settings, JSON as `EncodeOptions.to_text` writes it, out of its dictionary.

    Raises:
        PduError: Not such JSON, or a setting that is unknown or out of range.
    """
    if "encode_options" not in meta:
        return None
    text = meta.pop("encode_options")
    if not isinstance(text, str):
        raise PduError("the PDU's 'encode_options' must be text")
    try:
        return kind.from_text(text)
    except GenedError as error:
        raise PduError(f"the PDU's 'encode_options': {error}") from error


# Encoded frames


@dataclass(frozen=True, slots=True, kw_only=True)
class _FrameMeta:
    """What an encoded and a received frame have in common."""

    session: UInt16
    frame: UInt16
    codec_id: UInt32
    height: Side
    width: Side
    rate_num: Annotated[int, Field(strict=True, ge=1, le=MAX_NUMERATOR)]
    rate_den: Annotated[int, Field(strict=True, ge=1, le=MAX_DENOMINATOR)]
    snr_design_db: SnrDb
    side_info: Bytes | None = None
    text: Bytes | None = None

    @property
    def size(self) -> ImageSize:
        return ImageSize(self.height, self.width)

    @property
    def rate(self) -> Fraction:
        return Fraction(self.rate_num, self.rate_den)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EncodedMeta(_FrameMeta):
    side_mode: Annotated[str, Field(strict=True, max_length=64)] | None = None
    text_mode: Annotated[str, Field(strict=True, max_length=64)] = "bpsk-1/2"


def encoded_to_pdu(frame: Frame, meta: Mapping[str, Any] | None = None) -> Any:
    """A frame to send as a PDU."""
    return to_pdu(
        {
            **(meta or {}),
            "session": frame.session, "frame": frame.number, "codec_id": frame.codec_id, "height": frame.size.height,
            "width": frame.size.width, "rate_num": frame.rate.numerator, "rate_den": frame.rate.denominator,
            "snr_design_db": frame.snr_design_db, "side_info": frame.encoded.side_info, "text": frame.text,
            "text_mode": frame.text_mode,
            **({} if frame.encoded.side_mode is None else {"side_mode": frame.encoded.side_mode}),
        },
        frame.encoded.symbols,
    )  # fmt: skip


def encoded_from_pdu(message: Any) -> tuple[Frame, Meta]:
    """Frame and dictionary of a PDU.

    Raises:
        PduError: An entry is missing, of another type or out of bounds. Symbols may have any value.
    """
    meta, symbols = from_pdu(message, np.complex64)
    found = _checked(_EncodedMeta, meta)
    frame = Frame(
        session=found.session, number=found.frame, codec_id=found.codec_id, size=found.size, rate=found.rate,
        snr_design_db=found.snr_design_db, encoded=Encoded(symbols, found.side_info or b"", found.side_mode),
        text=found.text or b"", text_mode=found.text_mode,
    )  # fmt: skip
    return frame, meta


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedDesign:
    """What the text of an encoded frame depends on."""

    snr_design_db: SnrDb
    caption: Text | None = None
    """Caption that came with the picture; None without one."""


def design_from_pdu(message: Any) -> EncodedDesign:
    """Design SNR and caption of an encoded PDU; its symbols and all other vectors stay untouched.

    Raises:
        PduError: Not a PDU of symbols, or an entry is missing, of another type or out of bounds.
    """
    return _checked(EncodedDesign, meta_from_pdu(message, np.complex64, EncodedDesign.__dataclass_fields__))


# Captured bursts


@dataclass(frozen=True, slots=True, kw_only=True)
class _CaptureMeta:
    start: Count
    header: Bytes
    cfo_norm: Annotated[Finite, Field(ge=-0.5, le=0.5, validation_alias="cfo_cps")]


def capture_to_pdu(capture: Capture) -> Any:
    """A captured burst as a PDU: its samples, where it began, its carrier offset and its packed header."""
    return to_pdu(
        {"start": capture.start, "cfo_cps": capture.cfo_norm, "header": capture.header.pack()}, capture.samples
    )


def capture_from_pdu(message: Any) -> Capture:
    """The captured burst of a PDU.

    Raises:
        PduError: An entry is missing or wrong, or the samples do not hold the burst that the header announces.
    """
    place = place_from_pdu(message)
    header, samples = place.header, from_vector(pmt.cdr(message))
    if len(samples) < WAVEFORM.burst_len(header.n_elements) or not np.isfinite(samples.view(np.float32)).all():
        raise PduError(f"{len(samples)} samples do not hold the header's burst, or are not finite")
    return Capture(samples, place.start, header, place.cfo_norm)


@dataclass(frozen=True)
class BurstPlace:
    """A captured burst without its samples."""

    start: int
    """Index of its first sample in the receiver's stream."""
    header: Header
    cfo_norm: float
    """Carrier frequency offset by the detector, cycles per sample."""


def place_from_pdu(message: Any) -> BurstPlace:
    """Place, header and carrier offset of a captured burst, whose samples are not read.

    Raises:
        PduError: Not a PDU of samples, or an entry is missing or wrong.
    """
    found = _checked(_CaptureMeta, meta_from_pdu(message, np.complex64))
    header = Header.unpack(found.header)
    if header is None:
        raise PduError("the PDU's 'header' is no header")
    return BurstPlace(found.start, header, found.cfo_norm)


# Received frames


@dataclass(frozen=True, slots=True, kw_only=True)
class _TextMeta:
    """What a received frame's dictionary says about the text."""

    has_text: Flag
    text: Bytes | None = None
    partial_text: Bytes | None = None
    partial_text_is_sure: Bytes | None = None

    @property
    def partial(self) -> PartialBytes | None:
        data, is_sure = self.partial_text, self.partial_text_is_sure
        if data is None and is_sure is None:
            return None
        if data is None or is_sure is None or len(data) != len(is_sure):
            raise PduError("the PDU's 'partial_text' and 'partial_text_is_sure' must be as long as each other")
        return PartialBytes(data, np.frombuffer(is_sure, np.uint8) != 0)


_TEXT_NAMES = frozenset(_TextMeta.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReceivedMeta(_FrameMeta):
    noise_var: Vector
    n_bursts: Annotated[int, Field(strict=True, ge=1, le=256)]
    n_bursts_received: Annotated[int, Field(strict=True, ge=0, le=256)]
    snr_est_db: MaybeNan
    cfo_est_norm: Annotated[MaybeNan, Field(validation_alias="cfo_est_cps")]
    sfo_est_ppm: MaybeNan
    evm_db: MaybeNan = float("nan")
    on_air_samples: Count
    caption_symbols: Count
    side_symbols: Count
    constellation: Vector | None = None


@dataclass(frozen=True)
class ReceivedText:
    """The text of a received frame, still packed."""

    has_text: bool
    """Whether the sender sent a text."""
    packed: bytes | None
    """The packed records; None when their checksum fails or none were sent."""
    partial: PartialBytes | None
    """What is left of packed records whose checksum fails."""
    session: int
    frame: int


@dataclass(frozen=True)
class PackedFrame:
    """A received frame as its PDU, for a reader that may not need its symbols."""

    message: Any

    def unpack(self) -> ReceivedFrame:
        """The frame with its symbols.

        Raises:
            PduError: As `received_from_pdu`.
        """
        return received_from_pdu(self.message)[0]


def received_to_pdu(frame: ReceivedFrame) -> Any:
    """A received frame as a PDU; `received_from_pdu` is the way back."""
    received = frame.received
    return to_pdu(
        {
            **received_meta(frame), "side_info": received.side_info, "noise_var": received.noise_var,
            "text": frame.text, **_partial_to_meta(frame.partial_text), "constellation": frame.constellation,
        },
        received.symbols,
    )  # fmt: skip


def received_from_pdu(message: Any) -> tuple[ReceivedFrame, Meta]:
    """Received frame and dictionary of a PDU; its arrays are read-only.

    Raises:
        PduError: An entry is missing, of another type or out of bounds.
    """
    meta, symbols = from_pdu(message, np.complex64)
    found, text = _checked(_ReceivedMeta, meta), _checked(_TextMeta, meta)
    noise_var, constellation = found.noise_var, found.constellation
    if noise_var.dtype != np.float32 or len(noise_var) != len(symbols):
        raise PduError("the PDU's 'noise_var' must be float32, one value per symbol")
    frame = ReceivedFrame(
        session=found.session, number=found.frame, codec_id=found.codec_id,
        received=Received(symbols, noise_var, found.side_info, found.size, found.rate, found.snr_design_db),
        text=text.text, partial_text=text.partial, has_text=text.has_text, n_bursts=found.n_bursts,
        n_bursts_received=found.n_bursts_received, snr_est_db=found.snr_est_db, cfo_est_norm=found.cfo_est_norm,
        sfo_est_ppm=found.sfo_est_ppm, on_air_samples=found.on_air_samples, text_symbols=found.caption_symbols,
        side_symbols=found.side_symbols, evm_db=found.evm_db,
        constellation=np.zeros(0, np.complex64) if constellation is None else constellation,
    )  # fmt: skip
    return frame, meta


def received_text_from_pdu(message: Any) -> ReceivedText:
    """The text of a received PDU; its symbols and all other vectors stay untouched.

    Raises:
        PduError: Not a PDU of symbols, or an entry is missing, of another type or out of bounds.
    """
    meta = meta_from_pdu(message, np.complex64, _TEXT_NAMES | {"session", "frame"})
    found = _checked(_TextMeta, meta)
    session, frame = picture_number(meta, 0)
    return ReceivedText(found.has_text, found.text, found.partial, session, frame)


def _partial_to_meta(partial: PartialBytes | None) -> Meta:
    if partial is None:
        return {}
    return {"partial_text": partial.data, "partial_text_is_sure": partial.is_sure.tobytes()}


# Facts and reports


def facts_from_pdu(message: Any, sample_rate: float) -> FrameFacts:
    """As `facts_from_meta`, for a received PDU or a report, of which no vector is read.

    Raises:
        PduError: As `facts_from_meta`, or not a PDU.
    """
    return facts_from_meta(meta_from_pdu(message, names=_FACT_NAMES), sample_rate)


def sent_facts_from_pdu(message: Any) -> SentFacts:
    """What a transmitter's report says about its frame, as a record.

    Raises:
        PduError: Not a PDU, or an entry is of another type or out of bounds.
    """
    return sent_facts_from_meta(meta_from_pdu(message, names=_SENT_NAMES))


_FACT_NAMES = frozenset(FrameFacts.wire_names()) | {"cfo_est_norm"} - {"mask"}
_SENT_NAMES = frozenset(SentFacts.wire_names())


def report_to_pdu(meta: Mapping[str, Any], **facts: Any) -> Any:
    """Facts about a frame, without its vectors."""
    return to_pdu({**plain(meta), **facts}, b"")


def report_from_pdu(message: Any) -> Meta:
    """The facts of a report as a dictionary.

    Raises:
        PduError: Not a PDU.
    """
    return from_pdu(message)[0]


prepare(_PictureMeta, _EncodedMeta, _CaptureMeta, _TextMeta, _ReceivedMeta, _NumberMeta)
