# SPDX-License-Identifier: GPL-3.0-or-later
"""The PDUs that our blocks pass to each other, packed and checked in one place.

    picture   u8  [H W 3] RGB      height, width;  may have: caption, frame, name, and mask: u8 [H W], 255 is important
    encoded   c32 symbols          session, frame, codec_id, height, width, rate_num, rate_den, snr_design_db,
    side_info;
                                   from the caption encoder: text, text_mode
    capture   c32 samples          what the detector knows of a burst (see `capture_to_pdu`)
    received  c32 symbols          noise_var and all that `ReceivedFrame` tells
    report    u8  (empty)          facts about a frame, as plain values; `error` when it failed

Entries that a block does not know travel on, so a name or a caption given with a picture is still there in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import FrameError
from gened.gr_blocks.pdu.pdus import PduError, from_pdu, take, to_pdu
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, PartialBytes, Received, ReceivedFrame

MIN_SIDE = 64
MAX_SIDE = 4096
"""Pictures are 64x64 to 4096x4096; the header has 12 bits for each side."""
MAX_DENOMINATOR = 512
MAX_NUMERATOR = 8
"""What the header can tell of a rate."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
"""[H, W] uint8, 255 is important."""
Meta = dict[str, Any]

_VECTOR_KEYS = ("side_info", "text", "partial_text", "partial_text_is_sure", "noise_var", "constellation", "mask")


def parse_rate(rate: Fraction | str | float) -> Fraction:
    """A rate as the header can tell it, from "1/24", a Fraction or a number.

    Raises:
        FrameError: Not a rate between 0 and 1 with a numerator up to 8 and a denominator up to 512.
    """
    try:
        value = Fraction(rate).limit_denominator(MAX_DENOMINATOR) if isinstance(rate, float) else Fraction(rate)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError) as exc:
        raise FrameError(f"'{rate}' is not a rate; write it like 1/24") from exc
    if not 0 < value <= 1 or value.numerator > MAX_NUMERATOR or value.denominator > MAX_DENOMINATOR:
        raise FrameError(
            f"rate {value} cannot be sent; the numerator goes to {MAX_NUMERATOR}, the denominator to {MAX_DENOMINATOR}"
        )
    return value


def plain(meta: Mapping[str, Any]) -> Meta:
    """The dictionary without its vectors: what fits into a report."""
    return {key: value for key, value in meta.items() if not isinstance(value, np.ndarray) and key not in _VECTOR_KEYS}


# Pictures


def picture_to_pdu(image: Image, meta: Mapping[str, Any] | None = None, mask: Mask | None = None) -> Any:
    """A picture, [H, W, 3] uint8 RGB, as a PDU, with the importance of its pixels where it is known."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise FrameError(f"a picture is [H, W, 3] uint8, not {list(image.shape)} {image.dtype}")
    if mask is not None and (mask.shape != image.shape[:2] or mask.dtype != np.uint8):
        raise FrameError(f"the mask of a picture is [H, W] uint8 as the picture, not {list(mask.shape)} {mask.dtype}")
    facts = {**(meta or {}), "height": image.shape[0], "width": image.shape[1]}
    return to_pdu(facts if mask is None else {**facts, "mask": mask}, image)


def picture_from_pdu(message: Any) -> tuple[Image, Meta]:
    """Picture and dictionary of a PDU; its `mask`, where there is one, is [H, W] uint8.

    Raises:
        PduError: Not a picture of 64x64 to 4096x4096, its length is not height x width x 3, or that of its mask is not
            height x width.
    """
    meta, data = from_pdu(message, np.uint8)
    height = take(meta, "height", int, MIN_SIDE, MAX_SIDE)
    width = take(meta, "width", int, MIN_SIDE, MAX_SIDE)
    if len(data) != height * width * 3:
        raise PduError(f"a picture of {width}x{height} has {height * width * 3} bytes, the PDU has {len(data)}")
    mask = _bytes(meta, "mask")
    if mask is not None:
        if len(mask) != height * width:
            raise PduError(f"the mask of a picture of {width}x{height} has {height * width} bytes, not {len(mask)}")
        meta["mask"] = np.frombuffer(mask, np.uint8).reshape(height, width)
    return data.reshape(height, width, 3), meta


# Encoded frames


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
        PduError: An entry is missing, of another type or out of bounds, or symbols are not finite.
    """
    meta, symbols = from_pdu(message, np.complex64)
    if not np.isfinite(symbols.view(np.float32)).all():
        raise PduError("symbols of an encoded frame are not finite")
    frame = Frame(
        session=take(meta, "session", int, 0, 2**16 - 1),
        number=take(meta, "frame", int, 0, 2**16 - 1),
        codec_id=take(meta, "codec_id", int, 0, 2**32 - 1),
        size=_size(meta),
        rate=_rate(meta),
        snr_design_db=take(meta, "snr_design_db", float, -100, 100),
        encoded=Encoded(
            symbols, _bytes(meta, "side_info") or b"", take(meta, "side_mode", str) if "side_mode" in meta else None
        ),
        text=_bytes(meta, "text") or b"",
        text_mode=take({"text_mode": "bpsk-1/2", **meta}, "text_mode", str),
    )
    return frame, meta


def _size(meta: Mapping[str, Any]) -> ImageSize:
    return ImageSize(take(meta, "height", int, 1, MAX_SIDE), take(meta, "width", int, 1, MAX_SIDE))


def _rate(meta: Mapping[str, Any]) -> Fraction:
    return Fraction(take(meta, "rate_num", int, 1, MAX_NUMERATOR), take(meta, "rate_den", int, 1, MAX_DENOMINATOR))


def _bytes(meta: Mapping[str, Any], key: str) -> bytes | None:
    value = meta.get(key)
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        raise PduError(f"the PDU's '{key}' must be a vector of bytes")
    return value.tobytes()


# Captured bursts


def capture_to_pdu(capture: Capture) -> Any:
    """A captured burst as a PDU: its samples, where it began, its carrier offset and its packed header."""
    return to_pdu(
        {"start": capture.start, "cfo_cps": capture.cfo_cps, "header": capture.header.pack()}, capture.samples
    )


def capture_from_pdu(message: Any) -> Capture:
    """The captured burst of a PDU.

    Raises:
        PduError: An entry is missing or wrong, or the samples do not hold the burst that the header announces.
    """
    meta, samples = from_pdu(message, np.complex64)
    header = Header.unpack(_bytes(meta, "header") or b"")
    if header is None:
        raise PduError("the PDU's 'header' is no header")
    if len(samples) < WAVEFORM.burst_len(header.n_cells) or not np.isfinite(samples.view(np.float32)).all():
        raise PduError(f"{len(samples)} samples do not hold a burst of {header.n_cells} cells, or are not finite")
    return Capture(samples, take(meta, "start", int, 0), header, take(meta, "cfo_cps", float, -0.5, 0.5))


# Received frames


def received_to_pdu(frame: ReceivedFrame) -> Any:
    """A received frame as a PDU; `received_from_pdu` is the way back."""
    received = frame.received
    return to_pdu(
        {
            "session": frame.session, "frame": frame.number, "codec_id": frame.codec_id, "height": received.size.height,
            "width": received.size.width, "rate_num": received.rate.numerator, "rate_den": received.rate.denominator,
            "snr_design_db": received.snr_design_db, "side_info": received.side_info, "noise_var": received.noise_var,
            "text": frame.text, "has_text": frame.has_text, "n_bursts": frame.n_bursts,
            **_partial_to_meta(frame.partial_text),
            "n_bursts_received": frame.n_bursts_received, "snr_est_db": frame.snr_est_db,
            "cfo_est_cps": frame.cfo_est_cps, "sfo_est_ppm": frame.sfo_est_ppm, "on_air_samples": frame.on_air_samples,
            "caption_symbols": frame.text_symbols, "side_symbols": frame.side_symbols,
            "analog_symbols": len(received.symbols),
            "erased_fraction": frame.erased_fraction, "constellation": frame.constellation, "evm_db": frame.evm_db,
        },
        received.symbols,
    )  # fmt: skip


def received_from_pdu(message: Any) -> tuple[ReceivedFrame, Meta]:
    """Received frame and dictionary of a PDU.

    Raises:
        PduError: An entry is missing, of another type or out of bounds.
    """
    meta, symbols = from_pdu(message, np.complex64)
    noise_var = meta.get("noise_var")
    if not isinstance(noise_var, np.ndarray) or noise_var.dtype != np.float32 or len(noise_var) != len(symbols):
        raise PduError("the PDU's 'noise_var' must be float32, one for each symbol")
    received = Received(
        symbols,
        noise_var,
        _bytes(meta, "side_info"),
        _size(meta),
        _rate(meta),
        take(meta, "snr_design_db", float, -100, 100),
    )
    constellation = meta.get("constellation")
    frame = ReceivedFrame(
        session=take(meta, "session", int, 0, 2**16 - 1),
        number=take(meta, "frame", int, 0, 2**16 - 1),
        codec_id=take(meta, "codec_id", int, 0, 2**32 - 1),
        received=received,
        text=_bytes(meta, "text"),
        partial_text=partial_from_meta(meta),
        has_text=take(meta, "has_text", bool),
        n_bursts=take(meta, "n_bursts", int, 1, 256),
        n_bursts_received=take(meta, "n_bursts_received", int, 0, 256),
        snr_est_db=_measured(meta, "snr_est_db"),
        cfo_est_cps=_measured(meta, "cfo_est_cps"),
        sfo_est_ppm=_measured(meta, "sfo_est_ppm"),
        on_air_samples=take(meta, "on_air_samples", int, 0),
        text_symbols=take(meta, "caption_symbols", int, 0),
        side_symbols=take(meta, "side_symbols", int, 0),
        constellation=constellation if isinstance(constellation, np.ndarray) else np.zeros(0, np.complex64),
        evm_db=_measured({"evm_db": float("nan"), **meta}, "evm_db"),
    )
    return frame, meta


def _partial_to_meta(partial: PartialBytes | None) -> Meta:
    if partial is None:
        return {}
    return {"partial_text": partial.data, "partial_text_is_sure": partial.is_sure.tobytes()}


def partial_from_meta(meta: Mapping[str, Any]) -> PartialBytes | None:
    """What is left of a broken text, of a received PDU's dictionary; None where there is none.

    Raises:
        PduError: Not two vectors of bytes, as long as each other.
    """
    data, is_sure = _bytes(meta, "partial_text"), _bytes(meta, "partial_text_is_sure")
    if data is None and is_sure is None:
        return None
    if data is None or is_sure is None or len(data) != len(is_sure):
        raise PduError("the PDU's 'partial_text' and 'partial_text_is_sure' must be as long as each other")
    return PartialBytes(data, np.frombuffer(is_sure, np.uint8) != 0)


def _measured(meta: Mapping[str, Any], key: str) -> float:
    """A measured figure; may be NaN, when nothing could be measured."""
    value = meta.get(key)
    if not isinstance(value, float):
        raise PduError(f"the PDU's '{key}' must be a real number")
    return value


# Reports


def report_to_pdu(meta: Mapping[str, Any], **facts: Any) -> Any:
    """Facts about a frame, without its vectors."""
    return to_pdu({**plain(meta), **facts}, b"")


def report_from_pdu(message: Any) -> Meta:
    """The facts of a report.

    Raises:
        PduError: Not a PDU.
    """
    return from_pdu(message)[0]
