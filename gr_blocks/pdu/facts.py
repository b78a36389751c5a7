# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two ends of a link know of a frame, as typed records that pass between flowgraphs, processes and reports.

    flowgraph   PDU's dictionary  --`facts_from_meta`, `sent_facts_from_meta` (frame_pdus.py)-->  record
    process     record  --`to_wire`-->  JSON object  --`FrameFacts.from_wire`-->  record

A value that is not known is None. On the wire such an entry is absent; null and absent mean the same to a reader. This
module needs no GNU Radio.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import AliasChoices, Field

from gened.hostile import Count, Finite, Flag, HostileError, Measured, Share, Text, UInt16, UInt32, checked

Side = Annotated[int, Field(strict=True, ge=1, le=4096)]
"""Pixels of a picture's height or width."""
NBursts = Annotated[int, Field(strict=True, ge=0, le=256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What both ends know: the frame's number, its picture's size, and what it costs on the air."""

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {}
    """Entries whose name on the wire is not that of the attribute."""

    frame: UInt16
    """Number of the frame, counted by its sender modulo 2^16."""
    session: UInt16 | None = None
    """Number of the sender's run."""
    codec_id: UInt32 | None = None
    """Hash of the codec's name, configuration and weights."""
    height: Side | None = None
    """Pixels."""
    width: Side | None = None
    """Pixels."""
    rate_num: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Numerator of the rate, complex symbols per source value."""
    rate_den: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Denominator of the rate."""
    snr_design_db: Finite | None = None
    """Es/N0 for which the encoder designed."""
    caption: Text | None = None
    """The caption: as sent, or as received with a correct checksum."""
    analog_symbols: Count | None = None
    """Analogue symbols of the frame."""
    side_symbols: Count | None = None
    """Symbols of the side information."""
    caption_symbols: Count | None = None
    """Symbols of the text."""
    on_air_samples: Count | None = None
    """Samples from the first preamble sample to the last, over all bursts that were sent or received."""
    n_bursts: NBursts | None = None
    """Bursts of the frame."""
    error: Text | None = None
    """Why the frame was not sent, or has no picture: one line; None when all went well."""
    error_code: Text | None = None
    """What kind of error, such as `other-weights` (`gened.errors.GenedError.code`); None when it has no code."""

    def to_wire(self) -> dict[str, Any]:
        """A JSON object: plain values by their names on the wire, without those that are None."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {self.WIRE_NAMES.get(name, name): value for name, value in values if value is not None}

    @classmethod
    def wire_names(cls) -> tuple[str, ...]:
        """Names of all entries on the wire."""
        return tuple(cls.WIRE_NAMES.get(field.name, field.name) for field in dataclasses.fields(cls))

    @classmethod
    def from_wire(cls, values: object) -> Self:
        """The record of a JSON object, which may be hostile; entries of other names are ignored.

        Raises:
            HostileError: An entry is missing, of another type or out of range.
        """
        return checked(cls, values, where="a frame's facts, ", error=HostileError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts(_Facts):
    """What a receiver knows of a frame: from the flowgraph, the codec, the editor and the files that it wrote."""

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {"cfo_est_norm": "cfo_est_cps"}

    n_bursts_received: NBursts | None = None
    """Bursts of the frame that arrived."""
    has_text: Flag | None = None
    """Whether the sender sent a text."""
    caption_partial: Text | None = None
    """What is left of a caption whose checksum fails, U+FFFD where something is missing."""
    station: Text | None = None
    """The sender's station identification."""
    crc_ok: Flag | None = None
    """Whether the text arrived with a correct checksum; None when none was sent."""
    snr_est_db: Measured = None
    """Estimated Es/N0 per occupied carrier."""
    snr_set_db: Measured = None
    """Es/N0 to which the channel emulator is set."""
    evm_db: Measured = None
    """Error vector magnitude of the digital symbols; None where there are none."""
    noise_var_mean: Measured = None
    """Mean noise variance of the analogue symbols that arrived."""
    cfo_est_norm: Annotated[Measured, Field(validation_alias=AliasChoices("cfo_est_cps", "cfo_est_norm"))] = None
    """Estimated carrier frequency offset, cycles per sample."""
    cfo_est_hz: Measured = None
    """Estimated carrier frequency offset, Hz."""
    cfo_set_hz: Measured = None
    """Carrier frequency offset to which the channel emulator is set, Hz."""
    sfo_est_ppm: Measured = None
    """Estimated sampling frequency offset."""
    airtime_s: Measured = None
    """`on_air_samples` in seconds."""
    erased_fraction: Share | None = None
    """Share of the analogue symbols that did not arrive."""
    codec: Text | None = None
    """Name of the codec that decoded the picture."""
    decode_ms: Measured = None
    """Wall-clock milliseconds of the codec."""
    is_lost: Flag | None = None
    """Whether the picture is a stand-in, because the information that decides everything did not arrive."""
    received: Text | None = None
    """Picture file, relative to the output folder."""
    mask: Text | None = None
    """Picture file of the importance, relative to the output folder."""
    edited: Flag | None = None
    """Whether the editor changed the picture."""
    edit_failed: Flag | None = None
    """Whether the editor gave no result: it is absent, slow or busy, or has failed."""
    edit_reason: Text | None = None
    """Why the editor did not change it."""
    edit_backend: Text | None = None
    """Name of the editor."""
    editor_ms: Measured = None
    """Wall-clock milliseconds of the editor."""
    edited_picture: Text | None = None
    """Picture file of the edited picture, relative to the output folder."""

    @property
    def key(self) -> tuple[int | None, int]:
        """Session and frame, by which a frame is known among those of all senders."""
        return self.session, self.frame


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFacts(_Facts):
    """What a transmitter knows of a frame."""

    photo: Count | None = None
    """Index of the photograph."""
    name: Text | None = None
    """Name that was given with the picture."""
    sent: Text | None = None
    """Picture file as sent, relative to the output folder."""
    text_mode: Text | None = None
    """Digital mode of the text."""
    side_mode: Text | None = None
    """Digital mode of the side information where the codec chose it."""
    payload_symbols: Count | None = None
    """Analogue, side and caption symbols together."""
    encode_ms: Measured = None
    """Wall-clock milliseconds of the codec."""
