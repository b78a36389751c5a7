# SPDX-License-Identifier: GPL-3.0-or-later
"""Captioners by name: built-in ones, and those of other packages in the entry-point group `gened.captioners`.

A captioner is constructed as `(*, device: str = "cpu", **options)`; an unknown option is a `CaptionerError`.
"""

from __future__ import annotations

from typing import Any, cast

from gened.errors import CaptionerError
from gened.models.captioning.base import Captioner
from gened.models.plugins import Registry

ENTRY_POINT_GROUP = "gened.captioners"
BUILT_IN: dict[str, str] = {
    "layout": "gened.models.captioning.layout:LayoutCaptioner",
    "transformers": "gened.models.captioning.vision_language:TransformersCaptioner",
}
"""Name to module and class; a module is imported when its captioner is loaded."""


_REGISTRY = Registry("captioner", ENTRY_POINT_GROUP, BUILT_IN, CaptionerError)


def captioner_names() -> list[str]:
    """Names that `load_captioner` knows, sorted."""
    return _REGISTRY.names()


def load_captioner(name: str, *, device: str = "cpu", **options: Any) -> Captioner:
    """The captioner called `name`.

    Args:
        name: See `captioner_names`.
        device: PyTorch device.
        **options: Options of this captioner; unknown ones are refused with a list of the known ones.

    Raises:
        CaptionerError: Unknown captioner or option, or missing weights, packages or device.
    """
    return cast(Captioner, _REGISTRY.make(name, device=device, options=options))
