# SPDX-License-Identifier: GPL-3.0-or-later
"""CURVE keys that authenticate the editing service and its clients (ZeroMQ, RFC 26).

```text
DIR/server/server.key_secret     stays on the editor's machine
DIR/server/clients/client.key    authorised clients, one file each
DIR/client/client.key_secret     goes to the receiver's machine
DIR/client/server.key            authenticates the server
```
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.auth

from gened.errors import ConfigError

SERVER, CLIENT, CLIENTS = "server", "client", "clients"
PUBLIC, SECRET = ".key", ".key_secret"
SECRET_MODE = 0o600


class Keys(NamedTuple):
    """A key pair in ZeroMQ's printable form (Z85)."""

    public: bytes
    secret: bytes


def make_keys(folder: Path, client: str = CLIENT) -> None:
    """Create keys for a server and a client; if the server has keys already, for one more client.

    Args:
        folder: Created if absent.
        client: Name of the client in the file names.

    Raises:
        ConfigError: The client has keys already, its name is malformed, or the folder is not writable.
    """
    if not client.isidentifier() or client in (SERVER, CLIENTS):
        raise ConfigError(f"'{client}' is no name for a client: letters, digits and _ make one")
    server, theirs = folder / SERVER, folder / client
    if theirs.exists():
        raise ConfigError(f"{theirs} exists: keys are not overwritten; name another client or remove it")
    try:
        (server / CLIENTS).mkdir(parents=True, exist_ok=True)
        if not (server / f"{SERVER}{SECRET}").exists():
            _make_pair(server, SERVER)
        theirs.mkdir()
        _make_pair(theirs, client)
        shutil.move(theirs / f"{client}{PUBLIC}", server / CLIENTS / f"{client}{PUBLIC}")
        (theirs / f"{client}{SECRET}").rename(theirs / f"{CLIENT}{SECRET}")
        shutil.copy(server / f"{SERVER}{PUBLIC}", theirs / f"{SERVER}{PUBLIC}")
    except OSError as error:
        raise ConfigError(f"cannot write keys to {folder}: {error.strerror}") from error


def _make_pair(folder: Path, name: str) -> None:
    """Public and secret file of a new pair; at no time is the secret one readable for other users."""
    with tempfile.TemporaryDirectory(dir=folder) as hidden:  # a folder of mode 700
        public, secret = zmq.auth.create_certificates(hidden, name)
        os.chmod(secret, SECRET_MODE)
        for path in (public, secret):
            shutil.move(path, folder / Path(path).name)


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"no key in {path}: {error}; gened editor keys makes them") from error


def server_keys(folder: Path) -> tuple[Keys, Path]:
    """The server's key pair and the folder of authorised clients.

    Args:
        folder: DIR/server, or DIR.

    Raises:
        ConfigError: They are missing.
    """
    base = folder / SERVER if (folder / SERVER).is_dir() else folder
    public, secret = _load(base / f"{SERVER}{SECRET}")
    clients = base / CLIENTS
    if secret is None or not any(clients.glob(f"*{PUBLIC}")):
        raise ConfigError(f"{base} lets no client in: {clients} holds no public keys")
    return Keys(public, secret), clients


def client_keys(folder: Path) -> tuple[Keys, bytes]:
    """The client's key pair and the server's public key.

    Args:
        folder: DIR/client, or DIR.

    Raises:
        ConfigError: They are missing.
    """
    base = folder / CLIENT if (folder / CLIENT).is_dir() else folder
    public, secret = _load(base / f"{CLIENT}{SECRET}")
    if secret is None:
        raise ConfigError(f"{base / f'{CLIENT}{SECRET}'} holds no secret key")
    return Keys(public, secret), _load(base / f"{SERVER}{PUBLIC}")[0]
