# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of the processes that a supervisor starts; see `children`.

```text
to the process     argument: the role's configuration; then numbers of frames that may be sent
from the process   JSON objects: {"state"}, a frame's facts, {"failed": ...}, {"state": "done"}
```
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gened.processes import ChannelClosedError, Parent

if TYPE_CHECKING:
    from gened.link.config import AirConfig, ReceiveConfig, TransmitConfig
    from gened.link.editing import ServiceConfig
    from gened.virtual_pluto.server import ServerConfig

STATUS_EVERY_S = 0.5


class _Process:
    """A role's side of its process: sends events, receives permits."""

    def __init__(self, parent: Parent) -> None:
        self._channel = parent.channel
        self.stop = parent.stop
        self.permits = threading.Semaphore(0)
        threading.Thread(target=self._receive_permits, daemon=True).start()

    def send(self, facts: dict[str, Any]) -> None:
        """Sends an event; any thread. A supervisor that has gone is no error: `stop` is set then."""
        with contextlib.suppress(OSError):
            self._channel.send_json(facts)

    def _receive_permits(self) -> None:
        with contextlib.suppress(ChannelClosedError, OSError):
            while True:
                self.permits.release(int(self._channel.receive()))


def _role(function: Callable[[_Process, Any], None]) -> Callable[[Parent, Any], None]:
    """The function of a process that runs a role."""

    def run(parent: Parent, config: Any) -> None:
        process = _Process(parent)
        function(process, config)
        process.send({"state": "done"})

    return run


@_role
def air(process: _Process, config: AirConfig) -> None:
    """The channel emulator."""
    from gened.link.air import Air
    from gened.link.control import Status

    last_s = 0.0

    def send_status(status: Status) -> None:
        process.send({"status": status.model_dump(), "dropped_bursts": emulator.take_dropped()})

    def on_status(status: Status) -> None:
        nonlocal last_s
        if status.is_over or time.monotonic() - last_s > STATUS_EVERY_S:
            last_s = time.monotonic()
            send_status(status)

    emulator = Air(config)
    process.send({"state": "ready"})
    send_status(emulator.run(process.stop, on_status))


@_role
def transmit(process: _Process, config: TransmitConfig) -> None:
    """The transmitter; takes a permit before each frame."""
    from gened.link.transmit import run_transmit

    run_transmit(config, stop=process.stop, on_frame=process.send, permits=process.permits)


@_role
def receive(process: _Process, config: ReceiveConfig) -> None:
    """The receiver."""
    from gened.link.receive import run_receive

    run_receive(config, stop=process.stop, on_frame=process.send)


@_role
def pluto(process: _Process, config: ServerConfig) -> None:
    """A virtual Pluto."""
    from gened.virtual_pluto.server import serve

    serve(config, stop=process.stop, on_ready=lambda uris: process.send({"state": "ready", "uris": uris}))


@_role
def editor(process: _Process, config: ServiceConfig) -> None:
    """An editing service of this machine."""
    from gened.models.editing.registry import load_editor
    from gened.models.serving.editor_server import EditorServer

    EditorServer(
        lambda device: load_editor(config.backend, device=device, **config.options), config.backend,
        devices=(config.device,), address=config.address,
    ).serve(process.stop, lambda address: process.send({"state": "ready", "address": address}))  # fmt: skip
