# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of the loopback: `python -m gened.link.child`, started and spoken to by `loopback` alone.

    stdin    length (8 bytes) and pickle of (role, configuration); then a byte a frame that may be sent; its end: leave
    stdout   one JSON object a line: {"state"}, a frame's facts, {"failed": class, "message": line}, {"state": "done"}

It runs in a session of its own, so that Ctrl-C on a terminal reaches the supervisor alone, which then closes stdin. The
same end comes when the supervisor was killed: no process is left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from gened.errors import GenedError
from gened.link.children import GRACE_S

STATUS_EVERY_S = 0.5


class _Teller:
    """Writes events to what was stdout; whatever else is printed in this process goes to stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def tell(self, facts: dict[str, Any]) -> None:
        line = json.dumps(facts, default=str)
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._out.write(line + "\n")
            self._out.flush()


def _read_configuration() -> tuple[str, Any]:
    """What the supervisor, and nobody else, has written to our stdin; not a byte more is read."""

    def exactly(n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = os.read(0, n - len(data))
            if not part:
                sys.exit("this process is started by `gened loopback`")
            data += part
        return data

    role, config = pickle.loads(exactly(int.from_bytes(exactly(8), "big")))
    return role, config


def _watch_stdin(permits: threading.Semaphore, stop: threading.Event) -> None:
    """Permits as they come; at the end of stdin an orderly end, and after some time an end in any case."""
    while permitted := os.read(0, 4096):
        permits.release(len(permitted))
    stop.set()
    time.sleep(GRACE_S)
    os._exit(1)


def _run(
    role: str, config: Any, tell: Callable[[dict[str, Any]], None], stop: threading.Event, permits: threading.Semaphore
) -> None:
    """The heavy imports are done here, each role its own."""
    if role == "air":
        from gened.link.air import Air
        from gened.link.control import Status

        last_s = 0.0

        def tell_status(status: Status) -> None:
            tell({"status": status.model_dump(), "dropped_bursts": air.take_dropped()})

        def on_status(status: Status) -> None:
            nonlocal last_s
            if status.is_over or time.monotonic() - last_s > STATUS_EVERY_S:
                last_s = time.monotonic()
                tell_status(status)

        air = Air(config)
        tell({"state": "ready"})
        tell_status(air.run(stop, on_status))
    elif role == "transmit":
        from gened.link.transmit import run_transmit

        run_transmit(config, stop=stop, on_frame=tell, permits=permits)
    elif role == "receive":
        from gened.link.receive import run_receive

        run_receive(config, stop=stop, on_frame=tell)
    elif role == "pluto":
        from gened.virtual_pluto.server import serve

        serve(config, stop=stop, on_ready=lambda uris: tell({"state": "ready", "uris": uris}))
    elif role == "editor":
        from gened.models.editing.registry import load_editor
        from gened.models.serving.editor_server import EditorServer

        EditorServer(
            lambda device: load_editor(config.backend, device=device, **config.options), config.backend,
            devices=(config.device,), address=config.address,
        ).serve(stop, lambda address: tell({"state": "ready", "address": address}))  # fmt: skip
    else:
        raise GenedError(f"no role '{role}'")


def main() -> None:
    """The entry point of the process."""
    teller = _Teller()
    role, config = _read_configuration()
    permits, stop = threading.Semaphore(0), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_stdin, args=(permits, stop), daemon=True).start()
    code = 0
    try:
        _run(role, config, teller.tell, stop, permits)
        teller.tell({"state": "done"})
    except GenedError as error:
        code = 1
        teller.tell({"failed": type(error).__name__, "message": " ".join(str(error).split())})
    except Exception as error:
        code = 1
        if os.environ.get("GENED_DEBUG") == "1":
            raise
        teller.tell({"failed": "ChildDiedError", "message": f"{type(error).__name__}: {' '.join(str(error).split())}"})
    sys.stderr.flush()
    os._exit(
        code
    )  # flowgraph and sockets are closed; destructors of libraries have crashed before and have nothing to add


if __name__ == "__main__":
    main()
