# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that are with the editing service, handed on in the order in which they came; no GNU Radio."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable

from gened.errors import ConfigError
from gened.gr_blocks.pdu.frame_meta import Image, Mask, Meta
from gened.models.editing.base import EditResult, EditTask
from gened.models.serving.editor_client import EditorClient

OnEdited = Callable[[Image, Mask | None, Meta, EditResult], None]


class _Slot:
    """A picture that is with the service, and the answer when it has arrived."""

    def __init__(self, image: Image, mask: Mask | None, meta: Meta) -> None:
        self.image, self.mask, self.meta = image, mask, meta
        self.answer: EditResult | None = None


class EditQueue:
    """Sends pictures to the editing service, and hands them on in their order when their answers have come.

    Args:
        strength: Editing strength in [0, 1]; 0 leaves the pictures unchanged.
        on_edited: Called once per picture with the edited pixels, or the unchanged ones where `EditResult.edited` is
            false, its mask, its dictionary with the editor's entries, and the answer; any thread, one at a time.

    Raises:
        ConfigError: The strength is out of range.
    """

    def __init__(self, strength: float, on_edited: OnEdited) -> None:
        if not 0 <= strength <= 1:
            raise ConfigError(f"an editing strength of {strength:g}; from 0 to 1 is possible")
        self._strength = float(strength)
        self._on_edited = on_edited
        self._slots: collections.deque[_Slot] = collections.deque()
        self._lock = threading.Lock()

    @property
    def n_pending(self) -> int:
        """Pictures that have come and were not handed on."""
        with self._lock:
            return len(self._slots)

    def submit(self, client: EditorClient, image: Image, mask: Mask | None, meta: Meta) -> None:
        """Sends a picture with its caption, mask and SNR; never waits for the service.

        Args:
            client: Connection to the service.
            image: The picture as received.
            mask: Importance of its pixels; None: unknown.
            meta: What is known of the frame.
        """
        slot = _Slot(image, mask, meta)
        task = EditTask(
            image, text=_text(meta), mask=mask,
            snr_est_db=_finite(meta, "snr_est_db", -100, 100),
            noise_var_mean=_finite(meta, "noise_var_mean", 0, 1e6),
            strength=self._strength, seed=int(meta.get("frame") or 0),
        )  # fmt: skip
        with self._lock:
            self._slots.append(slot)

        def on_answer(result: EditResult) -> None:
            slot.answer = result
            self._hand_on()

        client.submit(task, on_answer)

    def _hand_on(self) -> None:
        """Hands on the pictures at the head of the queue that have their answer; any thread."""
        with self._lock:  # held meanwhile, so that two threads cannot change the order
            while self._slots and self._slots[0].answer is not None:
                slot = self._slots.popleft()
                assert slot.answer is not None
                self._on_edited(*_result(slot, slot.answer))


def _result(slot: _Slot, answer: EditResult) -> tuple[Image, Mask | None, Meta, EditResult]:
    meta = {
        **slot.meta, "edited": answer.edited, "edit_backend": answer.backend,
        "edit_reason": None if answer.edited else answer.reason, "edit_failed": answer.failed,
        "editor_ms": 1e3 * answer.seconds,
    }  # fmt: skip
    return (answer.pixels if answer.edited else slot.image), slot.mask, meta, answer


def _text(meta: Meta) -> str:
    """The caption, if it arrived with a correct checksum."""
    caption = meta.get("caption")
    return caption if isinstance(caption, str) and meta.get("crc_ok") is not False else ""


def _finite(meta: Meta, key: str, low: float, high: float) -> float | None:
    value = meta.get(key)
    is_number = isinstance(value, float) and low <= value <= high
    return float(value) if is_number and value is not None else None
