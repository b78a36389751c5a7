# SPDX-License-Identifier: GPL-3.0-or-later
"""Editors by name: ours, and other people's by the entry-point group `gened.editors`.

An editor is made by `(*, device: str = "cpu", **options)`; an option that it does not know is an `EditorError`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, cast

from gened.gr_blocks.phy.errors import EditorError
from gened.models.editing.base import Editor

ENTRY_POINT_GROUP = "gened.editors"
BUILT_IN: dict[str, str] = {
    "diffusers": "gened.models.editing.diffusion:DiffusersEditor",
    "embedded": "gened.models.editing.embedded:EmbeddedEditor",
    "none": "gened.models.editing.none:NoEditor",
    "realesrgan": "gened.models.editing.realesrgan:RealEsrganEditor",
}
"""Name to module and class; a module is imported when its editor is asked for."""


def _others() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def editor_names() -> list[str]:
    """Names that `load_editor` knows, sorted."""
    return sorted(BUILT_IN | _others())


def load_editor(name: str, *, device: str = "cpu", **options: Any) -> Editor:
    """The editor called `name`.

    Args:
        name: See `editor_names`.
        device: PyTorch device.
        **options: Of this editor; unknown ones are refused with a list of the known ones.

    Raises:
        EditorError: Unknown editor or option, or weights, packages or a device that are not there.
    """
    targets = _others() | BUILT_IN
    if name not in targets:
        raise EditorError(f"unknown editor '{name}'; known are {', '.join(sorted(targets))}")
    module, _, attribute = targets[name].partition(":")
    try:
        factory = cast(Callable[..., Editor], getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        raise EditorError(f"editor {name} needs the Python package {error.name}, which is not installed") from error
    known = [key for key in inspect.signature(factory).parameters if key != "device"]
    for key in options:
        if key not in known:
            raise EditorError(f"editor {name} has no option '{key}'; it has {', '.join(known) or 'none'}")
    return factory(device=device, **options)
