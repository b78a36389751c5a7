# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor of a receiver: a service that runs already, or a backend in a process of its own on this machine.

```text
receiver's process                                   another process, maybe another machine
EditorClient <-- ZeroMQ, 5560 ----------------------> EditorServer -> backend
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gened.errors import EditorError, GenedError
from gened.link.children import Child, end_all
from gened.link.config import EditConfig
from gened.link.control import free_ports
from gened.link.events import Ready
from gened.models.serving.editor_client import EditorClient
from gened.processes import Failure

LOADING_S = 300.0
"""Time that a backend on this machine may take to load; pictures wait for it as far as the queue reaches."""

DEATH_S = 1.0
"""Time for a process whose connection ended to be gone."""


@dataclass(frozen=True)
class ServiceConfig:
    """Configuration of the process of a backend."""

    backend: str
    device: str
    options: Mapping[str, Any]
    address: str


class EditorSide:
    """Connection to the editor, with its process where the backend runs on this machine. Use it as a context.

    Args:
        config: The editor.

    Raises:
        ConfigError: The keys are missing.
    """

    def __init__(self, config: EditConfig) -> None:
        self._child: Child | None = None
        self._is_ready = self._is_lost = False
        address, patience_s = config.editor, None
        if not config.is_remote:
            address, patience_s = f"tcp://127.0.0.1:{free_ports(1)[0]}", LOADING_S
            self._child = Child("editor", ServiceConfig(config.editor, config.device, config.options, address))
        self.client = EditorClient(
            address, keys=config.keys, timeout_s=config.timeout_s, patience_s=patience_s, why_lost=self._why_lost
        )

    def poll(self) -> None:
        """Checks the process of the backend; where it has failed, pictures no longer wait for it.

        Raises:
            EditorError: The backend cannot be loaded, with these options above all.
        """
        if self._child is None or self._is_lost:
            return
        for event in self._child.events():
            self._is_ready = self._is_ready or isinstance(event, Ready)
            if isinstance(event, Failure):
                self._lose(event.error(EditorError))
        if not self._is_lost and self._child.has_ended() and not self._child.has_events():
            self._lose(EditorError(f"the editor's process died ({self._child.exit_text()})"))

    def _lose(self, error: GenedError) -> None:
        self._is_lost = True
        self.client.give_up(str(error))
        if not self._is_ready:
            raise error

    def _why_lost(self) -> str | None:
        """Why the connection has ended; None where the process lives on. Called by a thread of the client's."""
        if self._child is None or not self._child.wait_for_end(DEATH_S):
            return None
        return f"the editor's process died ({self._child.exit_text()})"

    @property
    def pid(self) -> int | None:
        """Process id of the backend; None where the editor is a service."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """Ends connection and process."""
        self.client.close()
        if self._child is not None:
            end_all([self._child])

    def __enter__(self) -> EditorSide:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
