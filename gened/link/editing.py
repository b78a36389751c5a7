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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gened.addresses import split_address
from gened.errors import ConfigError, EditorError
from gened.link.children import Child, end_all
from gened.link.control import free_ports
from gened.models.editing.registry import editor_names
from gened.models.serving.editor_client import EditorClient
from gened.processes import Failure

LOADING_S = 300.0
"""A backend on this machine may load for so long; pictures wait for it as far as the queue reaches."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """Who edits, and how.

    Raises:
        EditorError: Unknown backend.
        ConfigError: A number out of range, or an address that is none.
    """

    editor: str
    """Name of a backend, or tcp://HOST:PORT of a service."""
    keys: Path | None = None
    """Folder with the client's CURVE keys, for a service."""
    device: str = "cpu"
    """PyTorch device of a backend on this machine."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of that backend."""
    strength: float = 1.0
    timeout_s: float = 60.0
    """A picture that has not come back after so long is delivered as it was received."""

    def __post_init__(self) -> None:
        if self.is_remote:
            split_address(self.editor)
        elif self.editor not in editor_names():
            raise EditorError(
                f"unknown editor '{self.editor}'; known are {', '.join(editor_names())}, "
                "or give the address of a service, like tcp://127.0.0.1:5560"
            )
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"an editing strength of {self.strength:g}; from 0 to 1 is possible")
        if not 0 < self.timeout_s <= 86400:
            raise ConfigError(f"an editing time limit of {self.timeout_s:g} s; give a positive number")

    @property
    def is_remote(self) -> bool:
        """Whether a service is asked that runs already."""
        return "://" in self.editor


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
