# SPDX-License-Identifier: GPL-3.0-or-later
"""Editors by name: built-in ones, and those of other packages in the entry-point group `gened.editors`.

An editor is constructed as `(*, device: str = "cpu", **options)`; an unknown option is an `EditorError`.
"""

from __future__ import annotations

from typing import Any, cast

from gened.errors import EditorError
from gened.models.editing.base import Editor
from gened.models.plugins import Registry

ENTRY_POINT_GROUP = "gened.editors"
BUILT_IN: dict[str, str] = {
    "diffusers": "gened.models.editing.diffusion:DiffusersEditor",
    "embedded": "gened.models.editing.embedded:EmbeddedEditor",
    "none": "gened.models.editing.none:NoEditor",
    "realesrgan": "gened.models.editing.realesrgan:RealEsrganEditor",
}
"""Name to module and class; a module is imported when its editor is loaded."""


_REGISTRY = Registry("editor", ENTRY_POINT_GROUP, BUILT_IN, EditorError)


def editor_names() -> list[str]:
    """Names that `load_editor` knows, sorted."""
    return _REGISTRY.names()


def load_editor(name: str, *, device: str = "cpu", **options: Any) -> Editor:
    """The editor called `name`.

    Args:
        name: See `editor_names`.
        device: PyTorch device.
        **options: Of this editor; unknown ones are refused with a list of the known ones.

    Raises:
        EditorError: Unknown editor or option, or weights, packages or a device that are not there.
    """
    return cast(Editor, _REGISTRY.make(name, device=device, options=options))
