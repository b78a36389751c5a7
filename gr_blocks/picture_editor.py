# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: has received pictures edited by the editing service, and passes them on in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gened.gr_blocks.pdu.edit_queue import EditQueue
from gened.gr_blocks.pdu.frame_pdus import Image, Mask, Meta, picture_from_pdu, picture_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.models.editing.base import EditResult
from gened.models.serving.editor_client import EditorClient

DEFAULT_ADDRESS = "tcp://127.0.0.1:5560"
TIMEOUT_S = 30.0


class picture_editor(MessageBlock):  # noqa: N801
    """Sends each picture to the editing service; no handler waits for it.

    Ports: `pictures` in; `pictures` out, one per picture and in the same order: the edited picture with `edited` true,
    or the unchanged one with `edited` false and `edit_reason`. `edit_failed` is true if the service is absent, slow or
    busy, has crashed, or sent a malformed reply, and false if the editor leaves the picture as it is. All have
    `editor_ms` and `edit_backend`. Caption, mask and SNR of a picture are sent with it. The connection lasts as long as
    the flowgraph runs. Counters: `n_edited`, `n_unedited`.

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
        self._queue = EditQueue(strength, self._publish)
        self._address, self._keys, self._timeout_s = address, Path(keys) if keys else None, timeout_s
        self._is_owner = client is None
        self.client = client

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
        return self._queue.n_pending

    def _edit(self, message: Any) -> None:
        image, meta = picture_from_pdu(message)
        assert self.client is not None
        self._queue.submit(self.client, image, meta.pop("mask", None), meta)

    def _publish(self, image: Image, mask: Mask | None, meta: Meta, answer: EditResult) -> None:
        if answer.edited:
            self.counters.add("n_edited")
        else:
            self.counters.report("n_unedited", f"frame {meta.get('frame')}: {answer.reason}")
        self.publish("pictures", picture_to_pdu(image, meta, mask))
