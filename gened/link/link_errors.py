# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of a running link."""

from __future__ import annotations

from collections.abc import Collection

from gened.errors import DecoderError, LinkError, OtherWeightsError
from gened.gr_blocks.pdu.facts import FrameFacts


class NoFrameError(LinkError):
    """No frame was received within the time limit."""


class ChildDiedError(LinkError):
    """A process of the loopback ended when it should not have."""


def require_picture(frames: Collection[FrameFacts]) -> None:
    """Checks that at least one of the frames that arrived became a picture.

    Raises:
        CodecError: None of them did; the reason is that of the first.
    """
    errors = [facts for facts in frames if facts.error is not None]
    if errors and len(errors) == len(frames):
        kind = OtherWeightsError if errors[0].error_code == OtherWeightsError.code else DecoderError
        raise kind(f"no picture came of {len(errors)} frames that arrived: {errors[0].error}")
