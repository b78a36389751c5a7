# SPDX-License-Identifier: GPL-3.0-or-later
"""Captioners by name: ours, and other people's by the entry-point group `gened.captioners`.

A captioner is made by `(*, device: str = "cpu", **options)`; an option that it does not know is a `CaptionerError`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, cast

from gened.gr_blocks.phy.errors import CaptionerError, GenedError
from gened.models.captioning.base import Captioner

ENTRY_POINT_GROUP = "gened.captioners"
BUILT_IN: dict[str, str] = {
    "layout": "gened.models.captioning.layout:LayoutCaptioner",
    "transformers": "gened.models.captioning.vision_language:TransformersCaptioner",
}
"""Name to module and class; a module is imported when its captioner is asked for."""


def _others() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def captioner_names() -> list[str]:
    """Names that `load_captioner` knows, sorted."""
    return sorted(BUILT_IN | _others())


def load_captioner(name: str, *, device: str = "cpu", **options: Any) -> Captioner:
    """The captioner called `name`.

    Args:
        name: See `captioner_names`.
        device: PyTorch device.
        **options: Of this captioner; unknown ones are refused with a list of the known ones.

    Raises:
        CaptionerError: Unknown captioner or option, or weights, packages or a device that are not there.
    """
    targets = _others() | BUILT_IN
    if name not in targets:
        raise CaptionerError(f"unknown captioner '{name}'; known are {', '.join(sorted(targets))}")
    module, _, attribute = targets[name].partition(":")
    try:
        factory = cast(Callable[..., Captioner], getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        raise CaptionerError(
            f"captioner {name} needs the Python package {error.name}, which is not installed"
        ) from error
    known = [key for key in inspect.signature(factory).parameters if key != "device"]
    for key in options:
        if key not in known:
            raise CaptionerError(f"captioner {name} has no option '{key}'; it has {', '.join(known) or 'none'}")
    try:
        return factory(device=device, **options)
    except CaptionerError:
        raise
    except GenedError as error:  # such as the detector's, whose weights are missing
        raise CaptionerError(str(error)) from error
