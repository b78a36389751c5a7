# SPDX-License-Identifier: GPL-3.0-or-later
"""The frames of a receiver: collected from the threads of the flowgraph, with their pictures written to files."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gened.errors import LinkError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.types import ComplexArray, ReceivedFrame
from gened.link.config import ReceiveConfig
from gened.link.control import Status
from gened.link.events import OnEvent, send
from gened.models.data.images import Mask, Pixels
from gened.models.data.writing import PictureFolder, mask_name
from gened.monitor.live_figures import LiveFigures

if TYPE_CHECKING:
    from gened.monitor.link_monitor import ReceiverMonitor

N_POINTS = 4096
"""Largest number of analogue symbols that are kept for the constellation."""


class ArrivedFrame(Protocol):
    """A frame whose symbols may still be packed, as those of `gr_blocks.pdu.frame_pdus.PackedFrame` are."""

    def unpack(self) -> ReceivedFrame:
        """The frame with its symbols."""


@dataclass(frozen=True)
class UnpackedFrame:
    """A frame that was never packed."""

    frame: ReceivedFrame

    def unpack(self) -> ReceivedFrame:
        """The frame with its symbols."""
        return self.frame


class Inbox:
    """Frames as they arrive; its methods are called by the threads of the flowgraph.

    Args:
        config: Of the receiver.
        on_event: Called with the facts of each frame when it is complete.
    """

    def __init__(self, config: ReceiveConfig, on_event: OnEvent | None) -> None:
        self.frames: list[FrameFacts] = []
        """Facts of the frames that are complete, in the order in which they were decoded."""
        self.monitor: ReceiverMonitor | None = None
        """Receives the facts of each frame."""
        self.fault: LinkError | None = None
        """Why a picture could not be written; None as long as all could."""
        self.live = LiveFigures()
        self.status: Status | None = None
        """Latest status of the channel emulator."""
        self.last_s = time.monotonic()
        """Time at which a frame last arrived."""
        self.first: tuple[Pixels, Mask | None] | None = None
        """Picture and mask of the first frame that has a picture."""
        self.first_edited: Pixels | None = None
        """Edited picture of the same frame."""
        self.symbols: tuple[ComplexArray, ComplexArray] | None = None
        """Digital and analogue symbols of the first frame."""
        self._out = config.out
        self._has_editor = config.edit is not None
        self._pictures = None if config.out is None else PictureFolder(config.out, config.is_numbered)
        self._on_event = on_event
        self._session: int | None = None
        """Session of the first frame, whose pictures have names without a session."""
        self._first_key: tuple[int | None, int] | None = None
        self._waiting: dict[tuple[int | None, int], FrameFacts] = {}
        """Facts of frames whose pictures are with the editor, by session and frame."""

    def frame(self, packed: ArrivedFrame, _facts: FrameFacts) -> None:
        """Takes a frame before it is decoded; only the first one is unpacked, as only its symbols are shown."""
        self.last_s = time.monotonic()
        if self.symbols is None:
            frame = packed.unpack()
            self.symbols = (frame.constellation, _thinned(frame.received.symbols))

    def picture(self, image: Pixels | None, mask: Mask | None, facts: FrameFacts) -> None:
        """Takes a frame after it was decoded; `image` is None where that failed."""
        if self.monitor is not None:
            self.monitor.frame(facts)
        self.live.frame(facts)
        if self.status is not None:
            facts = replace(facts, snr_set_db=self.status.snr_db, cfo_set_hz=self.status.freq_offset_hz)
        if image is None:
            self._complete(facts)
            return
        if self._pictures is not None:
            try:
                facts = self._write(self._pictures, image, mask, facts)
            except OSError as error:
                facts = self._failed(facts, error)
        if self.first is None:
            self.first, self._first_key = (image, mask), facts.key
        if self._has_editor:
            self._waiting[facts.key] = facts
        else:
            self._complete(facts)

    def edited(self, image: Pixels | None, _mask: Mask | None, edited: FrameFacts) -> None:
        """Takes a picture that the editor has returned, changed or not."""
        if self.monitor is not None:
            self.monitor.edited(edited)
        facts = self._waiting.pop(edited.key, None) or FrameFacts(frame=edited.frame, session=edited.session)
        facts = replace(
            facts, edited=edited.edited, edit_failed=edited.edit_failed, edit_reason=edited.edit_reason,
            edit_backend=edited.edit_backend, editor_ms=edited.editor_ms,
        )  # fmt: skip
        if image is not None and edited.edited:
            is_first = self._first_key == edited.key
            if is_first:
                self.first_edited = image
            if self._pictures is not None:
                names = self._pictures.names("edited", *self._numbers(facts), is_first=is_first)
                try:
                    self._pictures.write(names, image)
                    facts = replace(facts, edited_picture=names[-1])
                except OSError as error:
                    facts = self._failed(facts, error)
        self._complete(facts)

    def _failed(self, facts: FrameFacts, error: OSError) -> FrameFacts:
        """Keeps the reason why a picture cannot be written, which ends the run."""
        line = f"cannot write a picture into {self._out}: {error.strerror}"
        self.fault = self.fault or LinkError(line)
        return replace(facts, error=line)

    def _complete(self, facts: FrameFacts) -> None:
        self.frames.append(facts)
        self.last_s = time.monotonic()
        send(self._on_event, facts)

    def _write(self, pictures: PictureFolder, image: Pixels, mask: Mask | None, facts: FrameFacts) -> FrameFacts:
        """Writes picture and mask; only numbers of what was received enter the name of a file.

        Returns:
            The facts with the names of the files.
        """
        is_first = self._session is None
        if self._session is None:
            self._session = facts.session or 0
        names = pictures.names("received", *self._numbers(facts), is_first=is_first)
        masks = [mask_name(name) for name in names]
        pictures.write(masks, mask)
        pictures.write(names, image)
        return replace(facts, received=names[-1], mask=None if mask is None else masks[-1])

    def _numbers(self, facts: FrameFacts) -> tuple[str, ...]:
        """The frame's number, after that of its session where this is another one than the first."""
        session, number = facts.session or 0, f"{facts.frame:04d}"
        return (number,) if session == (self._session or 0) else (f"{session:05d}", number)


def _thinned(symbols: ComplexArray) -> ComplexArray:
    return symbols[:: max(1, -(-len(symbols) // N_POINTS))].copy()
