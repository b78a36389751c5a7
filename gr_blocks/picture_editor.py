# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: has received pictures edited by the editing service, and passes them on in their order."""

from __future__ import annotations

import collections
import threading
from pathlib import Path
from typing import Any

from gened.errors import ConfigError
from gened.gr_blocks.pdu.frame_pdus import Image, Mask, Meta, picture_from_pdu, picture_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.models.editing.base import EditResult, EditTask
from gened.models.serving.editor_client import EditorClient

DEFAULT_ADDRESS = "tcp://127.0.0.1:5560"
TIMEOUT_S = 30.0


class _Slot:
    """A picture that is with the service, and the answer when it has arrived."""

    def __init__(self, image: Image, mask: Mask | None, meta: Meta) -> None:
        self.image, self.mask, self.meta = image, mask, meta
        self.answer: EditResult | None = None


class picture_editor(MessageBlock):  # noqa: N801
    """Sends each picture to the editing service; no handler waits for it.

    Ports: `pictures` in; `pictures` out, one per picture and in the same order: the edited picture with `edited` true,
    or the unchanged one with `edited` false and `edit_reason`: the service is absent, slow or busy, has crashed, or
    sent a malformed reply. Both have `editor_ms` and `edit_backend`. Caption, mask and SNR of a picture are sent with
    it. The connection lasts as long as the flowgraph runs. Counters: `n_edited`, `n_unedited`.

    Args:
        address: Address of the service that `gened editor serve` runs.
        keys: Folder with the client's CURVE keys; empty: no keys.
        strength: Editing strength in [0, 1]; 0 leaves the pictures unchanged.
        timeout_s: A picture without an answer after this time is passed on unchanged.
        client: Connection to use instead of its own.

    Raises:
        ConfigError: The strength is out of range.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        keys: str | Path = "",
        strength: float = 1.0,
        timeout_s: float = TIMEOUT_S,
        *,
        client: EditorClient | None = None,
    ) -> None:
        super().__init__("picture_editor", {"pictures": self._edit}, ("pictures",))
        if not 0 <= strength <= 1:
            raise ConfigError(f"an editing strength of {strength:g}; from 0 to 1 is possible")
        self._address, self._keys, self._timeout_s = address, Path(keys) if keys else None, timeout_s
        self._strength = float(strength)
        self._is_owner = client is None
        self.client = client
        self._slots: collections.deque[_Slot] = collections.deque()
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Called by the flowgraph; connects, without waiting for the service."""
        if self.client is None:
            self.client = EditorClient(self._address, keys=self._keys, timeout_s=self._timeout_s)
        return True

    def stop(self) -> bool:
        """Called by the flowgraph; pictures that are with the service are passed on unchanged."""
        if self._is_owner and self.client is not None:
            self.client.close()
            self.client = None
        return True

    @property
    def n_pending(self) -> int:
        """Pictures that have arrived and not left."""
        with self._lock:
            return len(self._slots)

    def _edit(self, message: Any) -> None:
        image, meta = picture_from_pdu(message)
        mask = meta.pop("mask", None)
        slot = _Slot(image, mask, meta)
        task = EditTask(
            image, text=_text(meta), mask=mask,
            snr_est_db=_finite(meta, "snr_est_db", -100, 100),
            noise_var_mean=_finite(meta, "noise_var_mean", 0, 1e6),
            strength=self._strength, seed=int(meta.get("frame") or 0),
        )  # fmt: skip
        assert self.client is not None
        with self._lock:
            self._slots.append(slot)

        def on_answer(result: EditResult) -> None:
            slot.answer = result
            self._pass_on()

        self.client.submit(task, on_answer)

    def _pass_on(self) -> None:
        """Publishes the pictures at the head of the queue that have their answer; any thread."""
        with self._lock:  # held while publishing, so that two threads cannot change the order
            while self._slots and self._slots[0].answer is not None:
                self._publish(self._slots.popleft())

    def _publish(self, slot: _Slot) -> None:
        answer = slot.answer
        assert answer is not None
        meta = {
            **slot.meta, "edited": answer.edited, "edit_backend": answer.backend,
            "edit_reason": None if answer.edited else answer.reason, "editor_ms": 1e3 * answer.seconds,
        }  # fmt: skip
        if answer.edited:
            self.counters.add("n_edited")
        else:
            self.counters.report("n_unedited", f"frame {meta.get('frame')}: {answer.reason}")
        self.publish("pictures", picture_to_pdu(answer.pixels if answer.edited else slot.image, meta, slot.mask))


def _text(meta: Meta) -> str:
    """The caption, if it arrived with a correct checksum."""
    caption = meta.get("caption")
    return caption if isinstance(caption, str) and meta.get("crc_ok") is not False else ""


def _finite(meta: Meta, key: str, low: float, high: float) -> float | None:
    value = meta.get(key)
    is_number = isinstance(value, float) and low <= value <= high
    return float(value) if is_number and value is not None else None
