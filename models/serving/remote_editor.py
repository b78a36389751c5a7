# SPDX-License-Identifier: GPL-3.0-or-later
"""An editing service as an `Editor`, so that an evaluation can use the editor of another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gened.errors import EditorError
from gened.models.data.images import to_float, to_uint8
from gened.models.editing.base import Edited, Editor, EditRequest, EditTask
from gened.models.editing.registry import load_editor
from gened.models.serving.editor_client import EditorClient

READY_S = 10.0
"""Time for a first answer of the service."""


def is_address(editor: str) -> bool:
    """Whether the name of an editor is the address of a service."""
    return "://" in editor


def editor_at(
    name: str,
    *,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    keys: Path | None = None,
    timeout_s: float = 60.0,
) -> Editor:
    """The editor of a name, loaded here, or the service at an address.

    Args:
        name: A backend, or an address such as tcp://127.0.0.1:5560.
        device: PyTorch device of a backend.
        options: Options of a backend.
        keys: Folder with the client's CURVE keys; None: no encryption. For a service.
        timeout_s: Time limit of a picture, for a service.

    Raises:
        EditorError: The backend cannot be loaded, or no service answers.
        ConfigError: Missing keys.
    """
    if not is_address(name):
        return load_editor(name, device=device, **(options or {}))
    if options:
        raise EditorError("--editor-option is for a backend of this machine; a service has its options already")
    return RemoteEditor(name, keys=keys, timeout_s=timeout_s)


class RemoteEditor:
    """The editor behind a service; a service that fails ends the evaluation, because its figures would be wrong.

    Args:
        address: Address of the service.
        keys: Folder with the client's CURVE keys; None: no encryption.
        timeout_s: Time limit of a picture.

    Raises:
        EditorError: A malformed address, or no service answers.
        ConfigError: Missing keys.
    """

    max_batch = 1

    def __init__(self, address: str, *, keys: Path | None = None, timeout_s: float = 60.0) -> None:
        self._client = EditorClient(address, keys=keys, timeout_s=timeout_s)
        if not self._client.wait_ready(READY_S):
            self._client.close()
            raise EditorError(f"no editor answers at {address} within {READY_S:g} s; start one with gened editor serve")
        self.name = self._client.backend or address
        self.version = f"service at {address}"

    def edit(self, request: EditRequest) -> Edited:
        """Edit one picture.

        Raises:
            EditorError: The service has gone, took too long or returned a malformed answer.
        """
        mask = None if request.mask is None else np.round(np.clip(request.mask, 0, 1) * 255).astype(np.uint8)
        result = self._client.edit(
            EditTask(
                to_uint8(request.x_hat), request.text, mask, request.snr_est_db, request.noise_var_mean,
                request.strength, request.seed,
            )
        )  # fmt: skip
        if not result.edited and result.backend != self.name:  # the client's own answer, not the service's
            raise EditorError(result.reason)
        return Edited(to_float(result.pixels), result.seconds, result.backend, result.edited, result.reason)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Edit the pictures one after another."""
        return [self.edit(request) for request in requests]

    def close(self) -> None:
        """End the connection."""
        self._client.close()
