# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of the processes that a supervisor starts, one function each; see `children`.

```text
to the process     argument: the role's configuration; then numbers of frames that may be sent
from the process   events, see `events`; the last one is `Done`, or the failure that ended the function
```
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gened.link.events import BurstsDropped, Done, LinkEvent, Notice, Ready, to_wire
from gened.processes import ChannelClosedError, Parent

if TYPE_CHECKING:
    from gened.link.config import AirConfig, ReceiveConfig, TransmitConfig
    from gened.link.editing import ServiceConfig
    from gened.virtual_pluto.server import ServerConfig


class _Process:
    """The process of a role: sends its events and receives its permits."""

    def __init__(self, parent: Parent) -> None:
        self._channel = parent.channel
        self.stop = parent.stop
        self.permits = threading.Semaphore(0)
        threading.Thread(target=self._receive_permits, daemon=True).start()

    def send(self, event: LinkEvent | Done) -> None:
        """Sends an event; any thread. A supervisor that has died is no error here: `stop` is set then."""
        with contextlib.suppress(OSError):
            self._channel.send_json(to_wire(event))

    def _receive_permits(self) -> None:
        with contextlib.suppress(ChannelClosedError, OSError):
            while True:
                self.permits.release(int(self._channel.receive()))


class _Remarks(logging.Handler):
    """Sends warnings about photographs, such as a colour profile that is converted, to the supervisor."""

    def __init__(self, process: _Process) -> None:
        super().__init__(logging.WARNING)
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        self._process.send(Notice(f"transmitter: {record.getMessage()}"))


@contextlib.contextmanager
def _remarks(process: _Process) -> Iterator[None]:
    logger, handler = logging.getLogger("gened.models.data"), _Remarks(process)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _role(function: Callable[[_Process, Any], None]) -> Callable[[Parent, Any], None]:
    """Makes a role the function of a process."""

    def run(parent: Parent, config: Any) -> None:
        process = _Process(parent)
        function(process, config)
        process.send(Done())

    return run


@_role
def air(process: _Process, config: AirConfig) -> None:
    """The channel emulator."""
    from gened.link.air import Air

    def send_dropped(_: object = None) -> None:
        if dropped := emulator.take_dropped():
            process.send(BurstsDropped(tuple(dropped)))

    emulator = Air(config)
    process.send(Ready())
    emulator.run(process.stop, on_status=send_dropped)
    send_dropped()


@_role
def transmit(process: _Process, config: TransmitConfig) -> None:
    """The transmitter; takes a permit before each frame."""
    from gened.link.transmit import run_transmit

    with _remarks(process):
        run_transmit(config, stop=process.stop, on_event=process.send, permits=process.permits)


@_role
def receive(process: _Process, config: ReceiveConfig) -> None:
    """The receiver."""
    from gened.link.receive import run_receive

    run_receive(config, stop=process.stop, on_event=process.send)


@_role
def pluto(process: _Process, config: ServerConfig) -> None:
    """A virtual Pluto."""
    from gened.virtual_pluto.server import serve

    serve(config, stop=process.stop, on_ready=lambda _uris: process.send(Ready()))


@_role
def editor(process: _Process, config: ServiceConfig) -> None:
    """An editing service of this machine."""
    from gened.models.editing.registry import load_editor
    from gened.models.serving.editor_server import EditorServer

    EditorServer(
        lambda device: load_editor(config.backend, device=device, **config.options), config.backend,
        devices=(config.device,), address=config.address,
    ).serve(process.stop, lambda _address: process.send(Ready()))  # fmt: skip
