# SPDX-License-Identifier: GPL-3.0-or-later
"""A receiver's editor: a service that runs somewhere, or a backend in a process of its own on this machine.

```text
receiver's process                                   another process, maybe another machine
EditorClient <-- ZeroMQ, 5560 ----------------------> EditorServer -> backend
```
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gened.link.children import Child, end_all
from gened.link.config import EditConfig
from gened.link.control import free_ports
from gened.models.serving.editor_client import EditorClient
from gened.processes import Failure

LOADING_S = 300.0
"""A backend on this machine may load for so long; pictures wait for it as far as the queue reaches."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceConfig:
    """What the process of a backend is told."""

    backend: str
    device: str
    options: Mapping[str, Any]
    address: str


class EditorSide:
    """Connection to the editor, with its process where it is one of this machine. Use it as a context.

    Args:
        config: See there.

    Raises:
        ConfigError: Keys that are not there.
    """

    def __init__(self, config: EditConfig) -> None:
        self._child: Child | None = None
        self._is_told = False
        address, patience_s = config.editor, None
        if not config.is_remote:
            address, patience_s = f"tcp://127.0.0.1:{free_ports(1)[0]}", LOADING_S
            self._child = Child("editor", ServiceConfig(config.editor, config.device, config.options, address))
        self.client = EditorClient(address, keys=config.keys, timeout_s=config.timeout_s, patience_s=patience_s)

    def look(self) -> None:
        """Hears of the backend's process; one that failed is not waited for any longer."""
        if self._child is None or self._is_told:
            return
        for facts in self._child.events():
            if (failure := Failure.from_message(facts)) is not None:
                self._lose(failure.line)
        if not self._is_told and self._child.has_ended() and not self._child.has_events():
            self._lose(f"the editor's process died ({self._child.exit_text()})")

    def _lose(self, reason: str) -> None:
        self._is_told = True
        log.warning("pictures are delivered as they are received: %s", reason)
        self.client.give_up(reason)

    @property
    def pid(self) -> int | None:
        """Of the backend's process; None where a service is asked."""
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
