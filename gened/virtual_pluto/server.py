# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of virtual Plutos: a thread for each connection, and one for the air.

A client has one connection for attributes and one for each buffer it opens. Whatever it does, the others go on: lines,
values and buffers have bounds, a connection that ends closes what it had open, and one beyond `MAX_CONNECTIONS` is
closed at once.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from gened.errors import ConfigError, LinkError
from gened.virtual_pluto.air import Air, AirConfig
from gened.virtual_pluto.buffers import ReceiveBuffer
from gened.virtual_pluto.protocol import (
    HELP,
    MAX_LINE,
    MAX_SKIPPED,
    MAX_VALUE,
    VERSION,
    Command,
    IioError,
    LineTooLongError,
    pack_all,
    parse,
    unpack_all,
    value_of,
)
from gened.virtual_pluto.radio import MAX_TIMEOUT_MS, Pluto, TransmitOpening
from gened.virtual_pluto.tree import LPC, Attribute, Device, context_xml, find_device

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
POLL_S = 0.2
"""How soon a thread that waits sees that all is over, or that its client has gone."""
PATIENCE_S = 30.0
"""A client that neither takes nor sends what it owes for so long is let go."""
RECV_BYTES = 2**16
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")


class _GoneError(Exception):
    """The client has closed its connection, or it is to be let go."""


class _Wire:
    """A connected socket that is read in lines and counted bytes.

    Args:
        sock: Connected socket; the caller closes it.
        stop: Ends all waiting.
    """

    def __init__(self, sock: socket.socket, stop: threading.Event) -> None:
        self._sock = sock
        self._stop = stop
        self._buffer = bytearray()
        sock.settimeout(POLL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _more(self, patience_s: float | None) -> None:
        """Waits for bytes; without patience for ever."""
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        while not self._stop.is_set():
            try:
                data = self._sock.recv(RECV_BYTES)
            except TimeoutError as exc:
                if deadline_s is not None and time.monotonic() > deadline_s:
                    raise _GoneError from exc
                continue
            except OSError as exc:
                raise _GoneError from exc
            if not data:
                raise _GoneError
            self._buffer += data
            return
        raise _GoneError

    def line(self) -> bytes:
        """The next line, without its end.

        Raises:
            LineTooLongError: No end within the longest line.
        """
        while (end := self._buffer.find(b"\n", 0, MAX_LINE + 1)) < 0:
            if len(self._buffer) > MAX_LINE:
                raise LineTooLongError
            self._more(None)
        result = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return result

    def exactly(self, n: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < n:
            self._more(PATIENCE_S)
        result = bytes(self._buffer[:n])
        del self._buffer[:n]
        return result

    def skip(self, n: int) -> None:
        """Reads over so many bytes."""
        while n > 0:
            n -= len(self.exactly(min(n, RECV_BYTES)))

    def send(self, data: bytes) -> None:
        """All of it; a client that takes nothing for too long is let go."""
        view = memoryview(data)
        deadline_s = time.monotonic() + PATIENCE_S
        while len(view):
            try:
                n_sent = self._sock.send(view)
            except TimeoutError as exc:
                if self._stop.is_set() or time.monotonic() > deadline_s:
                    raise _GoneError from exc
                continue
            except OSError as exc:
                raise _GoneError from exc
            view = view[n_sent:]
            deadline_s = time.monotonic() + PATIENCE_S

    def number(self, value: int) -> None:
        """An integer and a line end."""
        self.send(b"%d\n" % value)

    def check(self) -> None:
        """Notices, without reading, that the client has gone."""
        if self._stop.is_set():
            raise _GoneError
        try:
            readable, _, _ = select.select([self._sock], [], [], 0)
            if readable and not self._sock.recv(1, socket.MSG_PEEK):
                raise _GoneError
        except (OSError, ValueError) as exc:
            raise _GoneError from exc


class Connection:
    """One client's connection, from its first line to its last.

    Args:
        sock: Connected.
        pluto: The radio it speaks with.
        stop: Ends it.
    """

    def __init__(self, sock: socket.socket, pluto: Pluto, stop: threading.Event) -> None:
        self._wire = _Wire(sock, stop)
        self._pluto = pluto
        self._receive: ReceiveBuffer | None = None
        self._transmit: TransmitOpening | None = None
        self._handlers: dict[str, Callable[[Command], None]] = {
            "PRINT": lambda command: self._text(context_xml(pluto.serial)),
            "VERSION": lambda command: self._wire.send(f"{VERSION}\n".encode()),
            "HELP": lambda command: self._wire.send(HELP.encode()),
            "TIMEOUT": self._set_timeout,
            "OPEN": self._open,
            "CLOSE": self._close,
            "READ": self._read,
            "WRITE": self._write,
            "READBUF": self._read_buffer,
            "WRITEBUF": self._write_buffer,
            "GETTRIG": self._trigger,
            "SETTRIG": self._trigger,
            "SET": self._set_count,
        }

    def serve(self) -> None:
        """Answers line after line until the client leaves; then closes what it had open."""
        try:
            while self._answer_one():
                pass
        except _GoneError:
            pass
        finally:
            self._release()

    def _answer_one(self) -> bool:
        """False when the connection is over."""
        try:
            command = parse(self._wire.line())
            if command is None:
                return True
            if command.verb == "EXIT":
                return False
            if command.verb not in self._handlers:  # ZPRINT
                raise IioError(errno.EINVAL)
            self._handlers[command.verb](command)
        except LineTooLongError as error:
            self._wire.number(error.code)
            return False
        except IioError as error:
            self._wire.number(error.code)
        return True

    def _release(self) -> None:
        if self._receive is not None:
            self._pluto.close_receive(self._receive)
            self._receive = None
        if self._transmit is not None:
            self._pluto.close_transmit(self._transmit)
            self._transmit = None

    def _text(self, text: str) -> None:
        data = text.encode()
        self._wire.send(b"%d\n%s\n" % (len(data), data))

    # Attributes

    def _place(self, command: Command) -> tuple[Device, tuple[Attribute, ...]]:
        device = find_device(command.device)
        everything = device.attributes_at(command.place, command.direction, command.channel)
        if command.attribute is None:
            return device, everything
        named = tuple(attribute for attribute in everything if attribute.name == command.attribute)
        if not named:
            raise IioError(errno.ENOENT)
        return device, named

    def _read(self, command: Command) -> None:
        device, attributes = self._place(command)
        if command.attribute is not None:
            data = self._pluto.read(device, attributes[0]).encode() + b"\0"
            self._wire.send(b"%d\n%s\n" % (len(data), data))
            return
        values: list[str | IioError] = []
        for attribute in attributes:
            try:
                values.append(self._pluto.read(device, attribute))
            except IioError as error:
                values.append(error)
        block = pack_all(values)
        self._wire.send(b"%d\n%s\n" % (len(block), block))

    def _write(self, command: Command) -> None:
        """Reads the value in any case, as the next command follows it."""
        if command.number > MAX_VALUE:
            if command.number > MAX_SKIPPED:
                raise LineTooLongError
            self._wire.skip(command.number)
            raise IioError(errno.EINVAL)
        payload = self._wire.exactly(command.number)
        device, attributes = self._place(command)
        if command.attribute is not None:
            self._pluto.write(device, attributes[0], value_of(payload))
        else:
            for attribute, text in zip(attributes, unpack_all(payload, len(attributes)), strict=True):
                if text is not None:
                    self._pluto.write(device, attribute, text)
        self._wire.number(len(payload))

    def _set_timeout(self, command: Command) -> None:
        self._pluto.timeout_ms = min(command.number, MAX_TIMEOUT_MS)
        self._wire.number(0)

    def _trigger(self, command: Command) -> None:
        find_device(command.device)
        raise IioError(errno.ENOENT)

    def _set_count(self, command: Command) -> None:
        self._pluto.set_buffers_count(find_device(command.device), command.number)
        self._wire.number(0)

    # Buffers

    def _open(self, command: Command) -> None:
        device = find_device(command.device)
        if device.name == LPC:
            if self._receive is not None or command.is_cyclic:
                raise IioError(errno.EBUSY if self._receive is not None else errno.EINVAL)
            self._receive = self._pluto.open_receive(device, command.number, command.mask)
        else:
            if self._transmit is not None:
                raise IioError(errno.EBUSY)
            self._transmit = self._pluto.open_transmit(
                device, command.number, command.mask, is_cyclic=command.is_cyclic
            )
        self._mask = command.mask
        self._wire.number(0)

    def _close(self, command: Command) -> None:
        device = find_device(command.device)
        if device.name == LPC and self._receive is not None:
            self._pluto.close_receive(self._receive)
            self._receive = None
        elif device.n_scan and device.name != LPC and self._transmit is not None:
            self._pluto.close_transmit(self._transmit)
            self._transmit = None
        else:
            raise IioError(errno.ENXIO)
        self._wire.number(0)

    @property
    def _deadline_s(self) -> float:
        """Until when this command may wait for samples or room."""
        limit_ms = self._pluto.timeout_ms
        return time.monotonic() + (limit_ms / 1e3 if limit_ms else float("inf"))

    def _read_buffer(self, command: Command) -> None:
        """Chunks of at most a buffer; the first names the channels."""
        opening = self._receive
        if find_device(command.device).name != LPC or opening is None:
            raise IioError(errno.EBADF)
        left = command.number
        if left < opening.sample_bytes:
            self._wire.number(0)
            return
        mask = f"{self._mask}\n".encode()
        while left > 0:
            data = self._next_received(opening)[:left]
            self._wire.send(b"%d\n%s%s" % (len(data), mask, data))
            left, mask = left - len(data), b""

    def _next_received(self, opening: ReceiveBuffer) -> bytes:
        deadline_s = self._deadline_s
        while time.monotonic() < deadline_s:
            data = opening.pop(min(POLL_S, max(0.0, deadline_s - time.monotonic())))
            if data is not None:
                return data
            self._wire.check()
        raise IioError(errno.ETIMEDOUT)

    def _write_buffer(self, command: Command) -> None:
        """`0`, then the samples come, then their number goes back when there was room for them."""
        opening = self._transmit
        device = find_device(command.device)
        if device.name == LPC or opening is None:
            raise IioError(errno.EBADF)
        if opening.is_cyclic and opening.is_loaded:
            raise IioError(errno.EBUSY)
        sample_bytes = 2 * len(opening.channels)
        if command.number < sample_bytes:
            self._wire.number(0)
            return
        self._wire.number(0)
        left, error = command.number, None
        while left > 0:
            data = self._wire.exactly(min(left, opening.n_samples * sample_bytes))
            left -= len(data)
            data = data[: len(data) - len(data) % sample_bytes]
            if data and error is None:
                try:
                    self._transmit_piece(opening, data)
                except IioError as refused:
                    error = refused
        if error is not None:
            raise error
        self._wire.number(command.number)

    def _transmit_piece(self, opening: TransmitOpening, data: bytes) -> None:
        deadline_s = self._deadline_s
        while time.monotonic() < deadline_s:
            if self._pluto.transmit(opening, data, min(POLL_S, max(0.0, deadline_s - time.monotonic()))):
                return
            self._wire.check()
        raise IioError(errno.ETIMEDOUT)


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Where virtual Plutos listen.

    Raises:
        ConfigError: A port out of range.
    """

    host: str = "127.0.0.1"
    """127.0.0.1 and localhost listen on ::1 too, which is what clients find first under that name."""
    port: int = 30431
    is_pair: bool = False
    """A second one listens at the next port."""
    air: AirConfig = field(default_factory=AirConfig)

    def __post_init__(self) -> None:
        if not 0 < self.port <= 65535 - self.is_pair:
            raise ConfigError(f"port {self.port}; from 1 to {65535 - self.is_pair} is possible")


class VirtualPlutos:
    """One or two Plutos and their air, from entering to leaving the context.

    Args:
        config: Address and channel.

    Raises:
        LinkError: A port is taken, or the host is not one of this machine.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.air = Air(config.air, 1 + config.is_pair)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []
        try:
            for index, pluto in enumerate(self.air.plutos):
                self._listen(config.port + index, pluto)
        except LinkError:
            self._close_listeners()
            raise

    @property
    def uris(self) -> list[str]:
        """As clients of libiio name them."""
        return [f"ip:{self.config.host}:{self.config.port + index}" for index in range(len(self.air.plutos))]

    @property
    def n_connections(self) -> int:
        """Open at this moment."""
        with self._lock:
            return len(self._connections)

    def __enter__(self) -> VirtualPlutos:
        self._start("air", lambda: self.air.run(self._stop))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._close_listeners()
        deadline_s = time.monotonic() + 5.0
        for thread in self._threads:
            thread.join(max(0.1, deadline_s - time.monotonic()))
        while self.n_connections and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def _start(self, name: str, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, name=f"virtual-pluto-{name}", daemon=True))

    def _listen(self, port: int, pluto: Pluto) -> None:
        hosts = [self.config.host]
        try:
            self._bind(self.config.host, port, pluto)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                message = f"port {port} is in use; another program listens there, choose another with --port"
            else:
                message = f"cannot listen at {self.config.host}:{port}: {exc.strerror or exc}"
            raise LinkError(message) from exc
        if hosts[0] in LOOPBACK_HOSTS:
            with contextlib.suppress(OSError):  # a machine without IPv6
                self._bind("::1", port, pluto)

    def _bind(self, host: str, port: int, pluto: Pluto) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(MAX_CONNECTIONS)
            listener.settimeout(POLL_S)
        except OSError:
            listener.close()
            raise
        self._listeners.append(listener)
        self._start(f"{host}:{port}", lambda: self._accept(listener, pluto))

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, pluto: Pluto) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._stop.is_set():
                    return
                time.sleep(POLL_S)  # no file descriptors left; others may close some
                continue
            with self._lock:
                is_welcome = len(self._connections) < MAX_CONNECTIONS
                if is_welcome:
                    self._connections.add(sock)
            if is_welcome:
                threading.Thread(
                    target=self._serve, args=(sock, pluto), name="virtual-pluto-client", daemon=True
                ).start()
            else:
                sock.close()

    def _serve(self, sock: socket.socket, pluto: Pluto) -> None:
        try:
            with sock:
                Connection(sock, pluto, self._stop).serve()
        except Exception:
            log.exception("a connection ended in an error of ours")
        finally:
            with self._lock:
                self._connections.discard(sock)


def serve(config: ServerConfig, *, stop: threading.Event, on_ready: Callable[[list[str]], None] | None = None) -> None:
    """Virtual Plutos until `stop` is set.

    Args:
        config: Address and channel.
        stop: Ends it.
        on_ready: Called with the URIs once all listen.

    Raises:
        LinkError: See `VirtualPlutos`.
    """
    with VirtualPlutos(config) as plutos:
        if on_ready is not None:
            on_ready(plutos.uris)
        stop.wait()
