# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor `none`: returns I_r, for comparisons and tests of a set-up."""

from __future__ import annotations

from collections.abc import Sequence

from gened.models.editing.base import Edited, EditRequest, unedited


class NoEditor:
    """Returns every picture unchanged."""

    name = version = "none"
    max_batch = 64

    def __init__(self, *, device: str = "cpu") -> None:
        del device

    def edit(self, request: EditRequest) -> Edited:
        """I_r, marked as not edited."""
        return unedited(request, "no editor")

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """As `edit`, for each request."""
        return [self.edit(request) for request in requests]
