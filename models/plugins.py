# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries of classes by name, with entry points of other packages; and packages that carry weights."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from gened.errors import GenedError
from gened.processes import one_line


def installed(group: str) -> dict[str, str]:
    """Name to "module:attribute" of all entry points of a group in the installed packages; nothing is imported."""
    return {point.name: point.value for point in entry_points(group=group)}


def load_target(kind: str, name: str, target: str, error: type[GenedError], *, attribute: str = "") -> Any:
    """The object that a registry entry names. Code of another package may fail in any way; it becomes one line.

    Args:
        kind: Kind of the object for messages, such as "codec".
        name: Its name in the registry.
        target: "module:attribute".
        error: Class of the error.
        attribute: Attribute of a target without one.

    Raises:
        GenedError: `error`: a missing package, or a module that cannot be imported or lacks the attribute.
    """
    module, _, named = target.partition(":")
    try:
        found = importlib.import_module(module)
        for part in (named or attribute).split("."):
            found = getattr(found, part)
        return found
    except ModuleNotFoundError as exc:
        raise error(f"{kind} {name} needs the Python package {exc.name}, which is not installed") from exc
    except Exception as exc:
        raise error(f"{kind} {name} ({target}) cannot be loaded: {one_line(exc)}") from exc


def construct(
    kind: str, name: str, factory: Any, error: type[GenedError], *folder: Path, device: str, options: Mapping[str, Any]
) -> Any:
    """The part that a factory makes of its options.

    Args:
        kind: Kind of the part for messages, such as "codec".
        name: Its name in the registry.
        factory: Called with `(*folder, device=device, **options)`.
        error: Class of the errors.
        folder: Folder with weights, if one was named.
        device: PyTorch device.
        options: By keyword.

    Raises:
        GenedError: `error`: the factory has no such option, or fails with an error of its own; else what it raises.
        ModuleNotFoundError: It needs a package that is not installed.
    """
    try:
        known = [key for key in inspect.signature(factory).parameters if key not in ("folder", "device")]
    except (TypeError, ValueError) as exc:
        raise error(f"{kind} {name} cannot be made: its entry point names no class or function") from exc
    for key in options:
        if key not in known:
            raise error(f"{kind} {name} has no option '{key}'; it has {', '.join(known) or 'none'}")
    try:
        return factory(*folder, device=device, **options)
    except (GenedError, ModuleNotFoundError):
        raise
    except Exception as exc:
        raise error(f"{kind} {name} cannot be made: {one_line(exc)}") from exc


class Registry:
    """Classes by name; a module is imported when its class is used.

    Args:
        kind: Kind of the classes for messages, such as "editor".
        group: Entry-point group of other packages; built-in names take precedence.
        built_in: Name to "module:class".
        error: Class of the errors.
    """

    def __init__(self, kind: str, group: str, built_in: Mapping[str, str], error: type[GenedError]) -> None:
        self._kind, self._group, self._built_in, self._error = kind, group, dict(built_in), error

    def _targets(self) -> dict[str, str]:
        return installed(self._group) | self._built_in

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._targets())

    def make(self, name: str, *, device: str, options: Mapping[str, Any]) -> Any:
        """Construct the class called `name` with `(*, device, **options)`.

        Raises:
            GenedError: The registry's error: unknown name or option, a class that cannot be loaded, or a missing
                package, weights or device.
        """
        targets = self._targets()
        if name not in targets:
            raise self._error(f"unknown {self._kind} '{name}'; known are {', '.join(sorted(targets))}")
        factory = load_target(self._kind, name, targets[name], self._error)
        try:
            return construct(self._kind, name, factory, self._error, device=device, options=options)
        except self._error:
            raise
        except GenedError as exc:  # such as that of a detector whose weights are missing
            raise self._error(str(exc)) from exc


def package_folder(module: str) -> Path | None:
    """Folder of an installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec is not None and spec.submodule_search_locations else None
