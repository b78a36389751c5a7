# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between processes, and how such an error crosses from one process to another."""

from __future__ import annotations

from gened.errors import (
    CaptionerError,
    CodecError,
    ConfigError,
    EditorError,
    FrameError,
    GenedError,
    ImageError,
    LinkError,
)
from gened.link.control import PortInUseError
from gened.models.data.images import ImageSizeError, MissingImageError, NotAnImageError


class NoFrameError(LinkError):
    """No frame was received within the time limit."""


class ChildDiedError(LinkError):
    """A process of the loopback ended when it should not have."""


_BY_NAME: dict[str, type[GenedError]] = {
    kind.__name__: kind
    for kind in (
        GenedError, ConfigError, FrameError, CodecError, LinkError, ImageError, ImageSizeError, MissingImageError,
        NotAnImageError, PortInUseError, NoFrameError, ChildDiedError, EditorError, CaptionerError,
    )
}  # fmt: skip


def rebuild(name: str, message: str) -> GenedError:
    """The error that another process told by its class name and its line."""
    return _BY_NAME.get(name, ChildDiedError)(message)
