# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of a running link."""

from __future__ import annotations

from gened.errors import LinkError


class NoFrameError(LinkError):
    """No frame was received within the time limit."""


class ChildDiedError(LinkError):
    """A process of the loopback ended when it should not have."""
