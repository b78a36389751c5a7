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
        return {point.name: point.value for point in entry_points(group=self._group)} | self._built_in

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._targets())

    def make(self, name: str, *, device: str, options: Mapping[str, Any]) -> Any:
        """Construct the class called `name` with `(*, device, **options)`.

        Raises:
            GenedError: The registry's error: unknown name or option, or a missing package, weights or device.
        """
        targets = self._targets()
        if name not in targets:
            raise self._error(f"unknown {self._kind} '{name}'; known are {', '.join(sorted(targets))}")
        module, _, attribute = targets[name].partition(":")
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            text = f"{self._kind} {name} needs the Python package {error.name}, which is not installed"
            raise self._error(text) from error
        known = [key for key in inspect.signature(factory).parameters if key != "device"]
        for key in options:
            if key not in known:
                raise self._error(f"{self._kind} {name} has no option '{key}'; it has {', '.join(known) or 'none'}")
        try:
            return factory(device=device, **options)
        except self._error:
            raise
        except GenedError as error:  # such as that of a detector whose weights are missing
            raise self._error(str(error)) from error


def package_folder(module: str) -> Path | None:
    """Folder of an installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec is not None and spec.submodule_search_locations else None
