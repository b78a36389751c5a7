# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of all captioners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gened.models.codecs.base import Map, Picture

MAX_BYTES = 106
"""Of a caption: what the papers' 426 16-QAM symbols carry."""


class Captioner(Protocol):
    """What `transmit`, `loopback` and `evaluate` ask of a captioner."""

    name: str

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """Words for a photograph.

        Args:
            x: [3, H, W] in [0, 1].
            max_bytes: UTF-8 bytes that the words may take at most.
            mask: [H, W] in [0, 1], importance as the codec sees it; None where that is not known.

        Raises:
            CaptionerError: The captioner cannot work.
        """
        ...


def fitted(clauses: Iterable[str], max_bytes: int, separator: str = "; ") -> str:
    """As many of the clauses as fit, the most important first; one that does not fit is left out, not cut."""
    text = ""
    for clause in clauses:
        longer = f"{text}{separator}{clause}" if text else clause
        if len(longer.encode()) <= max_bytes:
            text = longer
    return text


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """The words of a text that fit; a word is not cut unless it is the first and too long by itself."""
    if len(text.encode()) <= max_bytes:
        return text
    part = text.encode()[:max_bytes].decode(errors="ignore")
    whole = part if text[len(part) : len(part) + 1].isspace() else part.rpartition(" ")[0]
    return (whole or part).rstrip(" ,;.:")
