# SPDX-License-Identifier: GPL-3.0-or-later
"""No editor: I_r goes on as it is, for comparisons and for trying a set-up."""

from __future__ import annotations

from collections.abc import Sequence

from gened.models.editing.base import Edited, EditRequest, unedited


class NoEditor:
    """Gives every picture back."""

    name = version = "none"
    max_batch = 64

    def __init__(self, *, device: str = "cpu") -> None:
        del device

    def edit(self, request: EditRequest) -> Edited:
        """I_r, marked as not edited."""
        return unedited(request, "no editor")

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Each as `edit` would."""
        return [self.edit(request) for request in requests]
