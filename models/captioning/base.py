# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of all captioners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gened.errors import CaptionerError
from gened.models.codecs.base import Map, Picture

MAX_BYTES = 106
"""Longest caption by default: the 426 16-QAM symbols of arXiv:2606.04015 carry so many bytes."""


class Captioner(Protocol):
    """Writes a caption for a photograph; used by `transmit`, `loopback` and `evaluate`."""

    name: str

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """A caption for a photograph.

        Args:
            x: [3, H, W] in [0, 1].
            max_bytes: Largest length of the caption, UTF-8 bytes.
            mask: Importance of each pixel as the codec uses it, [H, W] in [0, 1]; None: unknown.

        Raises:
            CaptionerError: The captioner cannot work.
        """
        ...


def check_caption(caption: object, max_bytes: int) -> str:
    """The caption that a captioner wrote, if it keeps the contract.

    Raises:
        CaptionerError: It is not a text, or longer than `max_bytes` in UTF-8.
    """
    if not isinstance(caption, str):
        raise CaptionerError(f"the captioner returned {type(caption).__name__}, not a text")
    n_bytes = len(caption.encode(errors="replace"))
    if n_bytes > max_bytes:
        raise CaptionerError(f"the captioner returned {n_bytes} bytes; {max_bytes} are allowed")
    return caption


def fitted(clauses: Iterable[str], max_bytes: int, separator: str = "; ") -> str:
    """Clauses, the most important first, as far as they fit into `max_bytes`; one that does not fit is left out."""
    text = ""
    for clause in clauses:
        longer = f"{text}{separator}{clause}" if text else clause
        if len(longer.encode()) <= max_bytes:
            text = longer
    return text


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """A text cut after a word to `max_bytes`; only a first word that is too long by itself is cut inside."""
    if len(text.encode()) <= max_bytes:
        return text
    part = text.encode()[:max_bytes].decode(errors="ignore")
    whole = part if text[len(part) : len(part) + 1].isspace() else part.rpartition(" ")[0]
    return (whole or part).rstrip(" ,;.:")
