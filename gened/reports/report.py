# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the link leaves behind: `report.json`, checked before it is written.

Keys are fixed; what is unknown is null, never absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gened.errors import LinkError
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts


def _null_if_not_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_null_if_not_finite)]
Count = Annotated[int, Field(ge=0)] | None
Fraction01 = Annotated[float | None, Field(ge=0, le=1), BeforeValidator(_null_if_not_finite)]


class FrameReport(BaseModel):
    """One frame. Every entry may be null: a lost frame has no figures, a receiver alone knows no original."""

    model_config = ConfigDict(extra="forbid", strict=True)

    frame: Annotated[int, Field(ge=0)]
    photograph: str | None = None
    """File of the photograph, as it was named to the transmitter; null where only the receiver is known."""
    sent: str | None = None
    """Picture file as sent, relative to the report."""
    received: str | None = None
    """Picture file as received, relative to the report; null when the frame was lost."""
    psnr_db: Number = None
    ms_ssim: Fraction01 = None
    snr_set_db: Number = None
    snr_est_db: Number = None
    cfo_set_hz: Number = None
    cfo_est_hz: Number = None
    sfo_est_ppm: Number = None
    erased_fraction: Fraction01 = None
    caption: str | None = None
    """As received."""
    caption_partial: str | None = None
    """What is left of a caption whose checksum fails, U+FFFD wherever something is missing; null when it came whole or
    not at all."""
    crc_ok: bool | None = None
    """Of the text; null when none was sent."""
    analog_symbols: Count = None
    side_symbols: Count = None
    caption_symbols: Count = None
    payload_symbols: Count = None
    on_air_samples: Count = None
    airtime_s: Number = None
    encode_ms: Number = None
    decode_ms: Number = None
    edited: bool | None = None
    edit_reason: str | None = None
    editor_ms: Number = None

    @model_validator(mode="after")
    def _payload_is_the_sum(self) -> Self:
        parts = (self.analog_symbols, self.side_symbols, self.caption_symbols)
        if (
            self.payload_symbols is not None
            and None not in parts
            and self.payload_symbols != sum(part or 0 for part in parts)
        ):
            raise ValueError(f"payload_symbols is {self.payload_symbols}, its parts are {parts}")
        return self


class Report(BaseModel):
    """A run."""

    model_config = ConfigDict(extra="forbid")

    meta: dict[str, Any]
    frames: list[FrameReport]


FRAME_KEYS: tuple[str, ...] = tuple(FrameReport.model_fields)


def shared_settings(frames: Sequence[FrameFacts]) -> dict[str, Any]:
    """The sender's settings as the headers of the received frames state them, for `meta`.

    Returns:
        `codec`, `rate` and `snr_design_db`, each None where the frames differ or do not state it, and `channel`, which
        a receiver alone does not know.
    """
    rates = {f"{one.rate_num}/{one.rate_den}" for one in frames if one.rate_num and one.rate_den}
    codecs = {one.codec for one in frames}
    designs = {one.snr_design_db for one in frames}
    return {
        "codec": codecs.pop() if len(codecs) == 1 else None,
        "rate": rates.pop() if len(rates) == 1 else None,
        "snr_design_db": designs.pop() if len(designs) == 1 else None,
        "channel": None,
    }


SENDERS_FACTS = ("frame", "sent", "encode_ms", "analog_symbols", "side_symbols", "caption_symbols", "on_air_samples")
"""Entries that are the transmitter's, where its facts are known: the receiver counts what arrived."""


def frame_report(
    *, received: FrameFacts | None = None, sent: SentFacts | None = None, **others: float | str | None
) -> FrameReport:
    """The report of a frame from the facts of its sender and its receiver.

    Args:
        received: Facts of the receiver; None where the frame was lost.
        sent: Facts of the sender; None where they are not known.
        **others: Further entries, which take precedence.

    Raises:
        LinkError: An entry is of another type or out of range.
    """
    values: dict[str, object] = {} if received is None else received.to_wire()
    if sent is not None:
        values |= {key: value for key, value in sent.to_wire().items() if key in SENDERS_FACTS}
    return checked_report(values | others)


def checked_report(values: Mapping[str, object]) -> FrameReport:
    """The report of a frame with these entries; those of other names are left out.

    `payload_symbols` is the sum of its parts where only these are known.

    Raises:
        LinkError: An entry is missing, of another type or out of range.
    """
    known = {key: values[key] for key in FRAME_KEYS if key in values}
    parts = [known.get(key) for key in ("analog_symbols", "side_symbols", "caption_symbols")]
    counts = [part for part in parts if isinstance(part, int)]
    if known.get("payload_symbols") is None and len(counts) == len(parts):
        known["payload_symbols"] = sum(counts)
    try:
        return FrameReport.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LinkError(f"frame {known.get('frame')}: {where} cannot be reported: {first['msg']}") from error


def write_report(path: Path, report: Report) -> None:
    """Writes `report.json`, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(report_text(report) + "\n")
    partial.replace(path)


def report_text(report: Report) -> str:
    """The report as JSON."""
    return json.dumps(report.model_dump(), indent=1, ensure_ascii=False, allow_nan=False)
