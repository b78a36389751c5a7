# SPDX-License-Identifier: GPL-3.0-or-later
"""The saved state of a training: the last two are kept, and a damaged one is recognised before it is used.

`state.pt` is the newest and `state.previous.pt` the one before. Both are archives of PyTorch (ZIP with a CRC-32 of each
record), read with `weights_only`, so a state from a stranger cannot run code.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gened.errors import ConfigError
from gened.models.training.files import write_whole

STATE_FILE, PREVIOUS_FILE = "state.pt", "state.previous.pt"
FREE_ON_RESUME = frozenset({"steps", "save_every_s", "validate_every_s"})
"""Keys of a configuration that may change on the way. With other `steps` the learning rate falls at other steps."""

State = dict[str, Any]


class StateError(ConfigError):
    """A state cannot be written or read, or is of another training."""


def write_state(out: Path, state: State) -> None:
    """Write the newest state; the one that was the newest becomes the previous one.

    Raises:
        StateError: The disk is full, or the folder cannot be written to. The earlier states stay.
    """
    newest = out / STATE_FILE
    part = out / (STATE_FILE + ".new")
    try:
        write_whole(part, lambda file: torch.save(state, file))
        if newest.exists():
            newest.replace(out / PREVIOUS_FILE)
        part.replace(newest)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        kept = "the last saved state is kept" if has_state(out) else "there is no saved state"
        raise StateError(f"cannot write {newest}: {reason_of(error)}; {kept}") from error


def has_state(out: Path) -> bool:
    """Whether a folder holds a state, readable or not."""
    return any((out / name).exists() for name in (STATE_FILE, PREVIOUS_FILE))


def read_state(out: Path, say: Callable[[str], None] = lambda line: None) -> State:
    """The newest state in a folder that is whole.

    Args:
        out: Folder of the training.
        say: Receives a line where the newest state is damaged and the one before it is used.

    Raises:
        StateError: There is no state, or none can be read.
    """
    found = [out / name for name in (STATE_FILE, PREVIOUS_FILE) if (out / name).exists()]
    if not found:
        raise StateError(f"nothing to resume: {out / STATE_FILE} does not exist; start without --resume")
    reasons = []
    for path in found:
        try:
            state = _read(path)
        except StateError as error:
            reasons.append(str(error))
            continue
        if reasons:
            say(f"{reasons[0]}; going on from {path.name}, step {state['step']}")
        return state
    raise StateError(f"{'; '.join(reasons)}; start without --resume, with --overwrite")


def _read(path: Path) -> State:
    """One state, checked as far as it can be without its training.

    Raises:
        StateError: It is damaged, or something else than a state.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # PyTorch itself does not compare the CRCs
        if damaged is not None:
            raise StateError(f"{path} is damaged: the CRC of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        reason = "it is empty" if path.stat().st_size == 0 else "it is cut off, or no state of a training"
        raise StateError(f"{path} is damaged: {reason}") from error
    except pickle.UnpicklingError as error:
        raise StateError(
            f"{path} is no state of a training: it holds other objects than numbers and tensors"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise StateError(f"{path} is damaged: {reason_of(error)}") from error
    is_state = isinstance(state, dict) and isinstance(state.get("step"), int)
    if not is_state or not isinstance(state.get("schedule"), dict):
        raise StateError(f"{path} is damaged, or no state of a training")
    return dict(state)


class Difference(NamedTuple):
    """A value that is not the same in a state and in this run."""

    name: str
    there: Any
    here: Any

    def __str__(self) -> str:
        return f"{self.name} is {self.there!r} there and {self.here!r} here"


def require_same_training(out: Path, state: State, schedule: Mapping[str, Any], data: Mapping[str, str]) -> None:
    """Refuse a state whose configuration or data differ from those of this run, but for `FREE_ON_RESUME`.

    A state of an earlier version that does not hold one of the values is not compared in that value.

    Args:
        out: Folder of the training, for the message.
        state: From `read_state`.
        schedule: Configuration of this run, by key.
        data: Fingerprints of this run's data by name of the option, see `fingerprint`.

    Raises:
        StateError: They differ; the message names what differs.
    """
    theirs, ours = dict(state.get("schedule", {})), schedule
    codec = theirs.get("codec", ours.get("codec"))
    if codec != ours.get("codec"):
        raise StateError(
            f"{out} holds a training of {codec}, and this is one of {ours.get('codec')}; name another --out, "
            "or start anew with --overwrite"
        )
    differences = [
        str(Difference(key, theirs[key], value))
        for key, value in ours.items()
        if key not in FREE_ON_RESUME and key in theirs and _plain(theirs[key]) != _plain(value)
    ]
    differences += [
        f"the {name} are others" for name, value in data.items() if state.get("data", {}).get(name, value) != value
    ]
    if differences:
        raise StateError(
            f"{out} holds another training: {', '.join(differences)}; resume with the same configuration and data, "
            "or start anew with --overwrite"
        )


def _plain(value: Any) -> Any:
    """A value of a configuration; earlier versions wrote weights of the package as a path in the repository."""
    return value.removeprefix("models/weights/") if isinstance(value, str) else value


def reason_of(error: BaseException) -> str:
    """Reason of a failure in one short line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # PyTorch reports a failed write by the position in its archive; the cause is in its context.
    cause = error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error).partition("\n")[0] or type(error).__name__
