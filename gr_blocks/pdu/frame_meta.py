# SPDX-License-Identifier: GPL-3.0-or-later
"""The dictionaries that travel with a frame, and the typed records that are made of them; no GNU Radio.

The blocks pack these dictionaries into PDUs (`frame_pdus.py`); the NumPy ends of a link (`gened.link.numpy_receiver`,
`gened.link.numpy_transmitter`) hand them on as they are. So both report the same entries.

    ReceivedFrame  --`received_meta`, `text_meta`-->  dictionary  --`facts_from_meta`-->  FrameFacts
    Frame          --`sent_meta`------------------->  dictionary  --`sent_facts_from_meta`-->  SentFacts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import GenedError
from gened.gr_blocks.pdu.counters import Counters
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.planning import is_sendable
from gened.gr_blocks.phy.framing.records import partial_caption, unpack_records
from gened.gr_blocks.phy.types import Frame, PartialBytes, ReceivedFrame
from gened.hostile import T, checked, prepare

Image = npt.NDArray[np.uint8]
"""[H, W, 3] uint8 RGB."""
Mask = npt.NDArray[np.uint8]
"""[H, W] uint8, 255 is important."""
Meta = dict[str, Any]

_VECTOR_KEYS = ("side_info", "text", "partial_text", "partial_text_is_sure", "noise_var", "constellation", "mask")


class PduError(GenedError):
    """A message is not a PDU of the kind that this port takes."""


def checked_meta(kind: type[T], meta: Mapping[str, Any]) -> T:
    """The typed record of a dictionary; entries of other names are left out.

    Raises:
        PduError: An entry is missing, of another type or out of bounds.
    """
    return checked(kind, meta, where="the PDU's ", error=PduError)


def plain(meta: Mapping[str, Any]) -> Meta:
    """The dictionary without its vectors: what fits into a report."""
    return {key: value for key, value in meta.items() if not isinstance(value, np.ndarray) and key not in _VECTOR_KEYS}


# The receiver's side


def received_meta(frame: ReceivedFrame) -> Meta:
    """The scalar entries of a received frame: where it comes from, its size, what arrived of it and what it cost."""
    received = frame.received
    return {
        "session": frame.session, "frame": frame.number, "codec_id": frame.codec_id, "height": received.size.height,
        "width": received.size.width, "rate_num": received.rate.numerator, "rate_den": received.rate.denominator,
        "snr_design_db": received.snr_design_db, "has_text": frame.has_text, "n_bursts": frame.n_bursts,
        "n_bursts_received": frame.n_bursts_received, "snr_est_db": frame.snr_est_db,
        "cfo_est_cps": frame.cfo_est_norm, "sfo_est_ppm": frame.sfo_est_ppm, "on_air_samples": frame.on_air_samples,
        "caption_symbols": frame.text_symbols, "side_symbols": frame.side_symbols,
        "analog_symbols": len(received.symbols), "erased_fraction": frame.erased_fraction, "evm_db": frame.evm_db,
    }  # fmt: skip


def text_meta(has_text: bool, packed: bytes | None, partial: PartialBytes | None) -> Meta:
    """Caption and station of a received frame.

    Args:
        has_text: Whether the sender sent any text.
        packed: The packed records; None where their checksum fails or none were sent.
        partial: What is left of packed records whose checksum fails.

    Returns:
        `caption` and `station`; `caption_partial`, what is left of a caption whose checksum fails, with U+FFFD where
        something is missing; `crc_ok`, None where no text was sent.
    """
    records = unpack_records(packed or b"")
    is_there = packed is not None
    return {
        "caption": records.caption,
        "caption_partial": None if is_there or partial is None else partial_caption(partial),
        "station": records.station,
        "crc_ok": is_there if has_text else None,
    }


def noise_var_mean(frame: ReceivedFrame) -> float | None:
    """Mean noise variance of the analogue symbols that arrived; None where there are none."""
    known = frame.received.noise_var[np.isfinite(frame.received.noise_var)]
    return float(known.mean()) if len(known) else None


def facts_from_meta(meta: Mapping[str, Any], sample_rate: float) -> FrameFacts:
    """What a received or decoded frame's dictionary says about it, as a record, in physical units too.

    Args:
        meta: Of a received frame, a picture or a report; its vectors and entries of other names are left out.
        sample_rate: Hz; gives `cfo_est_hz` and `airtime_s`.

    Raises:
        PduError: An entry is of another type or out of bounds, or the frame has no number.
    """
    values = plain(meta)
    cfo_est_norm, on_air_samples = values.get("cfo_est_cps"), values.get("on_air_samples")
    if isinstance(cfo_est_norm, float):
        values["cfo_est_hz"] = cfo_est_norm * sample_rate
    if isinstance(on_air_samples, int):
        values["airtime_s"] = on_air_samples / sample_rate
    return checked_meta(FrameFacts, values)


# The transmitter's side


def sent_meta(frame: Frame, contents: Sequence[BurstContent], on_air_samples: int) -> Meta:
    """What a frame costs on the air: its symbols by kind, its bursts and their samples."""
    n_side = sum(content.header.n_side for content in contents)
    n_text = sum(content.header.n_text for content in contents)
    n_analog = len(frame.encoded.symbols)
    return {
        "analog_symbols": n_analog, "side_symbols": n_side, "caption_symbols": n_text,
        "payload_symbols": n_analog + n_side + n_text, "n_bursts": len(contents), "on_air_samples": on_air_samples,
        "text_mode": frame.text_mode,
    }  # fmt: skip


def count_bad_symbols(counters: Counters, frame: Frame) -> None:
    """Counts symbols that `plan_bursts` replaces by 0, and says so for the first frame that has some."""
    symbols = frame.encoded.symbols
    n_bad = int(np.count_nonzero(~is_sendable(symbols)))
    if n_bad:
        reason = f"{n_bad} of {len(symbols)} symbols are not finite or too large; each is sent as 0"
        counters.report_once("n_bad_symbols", n_bad, f"frame {frame.number}: {reason}")


def sent_facts_from_meta(meta: Mapping[str, Any]) -> SentFacts:
    """What a transmitter's report says about its frame, as a record.

    Raises:
        PduError: An entry is of another type or out of bounds.
    """
    return checked_meta(SentFacts, plain(meta))


prepare(FrameFacts, SentFacts)
