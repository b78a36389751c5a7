# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of all editors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gened.errors import EditorError
from gened.models.codecs.base import Map, Picture

MIN_SIDE, MAX_SIDE = 16, 4096
MAX_TEXT_BYTES = 4096
"""Of the words that a request brings; a frame carries fewer."""


@dataclass(frozen=True)
class EditRequest:
    """A received picture, and what the receiver knows of it.

    Raises:
        EditorError: A picture or a mask of another shape, or a number out of range.
    """

    x_hat: Picture
    """I_r, [3, H, W] float32 RGB in [0, 1]."""
    text: str = ""
    """The words that came with it; empty where none came, or where they are damaged."""
    mask: Map | None = None
    """[H, W] in [0, 1], importance as the receiver knows it."""
    snr_est_db: float | None = None
    """Es/N0 as the receiver has estimated it; None: not known."""
    noise_var_mean: float | None = None
    """Mean complex noise variance of the equalised symbols that arrived; None: not known."""
    strength: float = 1.0
    """In [0, 1]: 0 leaves I_r as it is, 1 is all that the editor can do."""
    seed: int = 0
    """Of whatever the editor draws: the same request with the same seed gives the same picture."""

    def __post_init__(self) -> None:
        x = self.x_hat
        if x.ndim != 3 or x.shape[0] != 3 or not all(MIN_SIDE <= side <= MAX_SIDE for side in x.shape[1:]):
            raise EditorError(
                f"a picture to edit is [3, H, W], {MIN_SIDE} to {MAX_SIDE} pixels a side, not {list(x.shape)}"
            )
        if self.mask is not None and self.mask.shape != x.shape[1:]:
            raise EditorError(f"the mask of a picture of {list(x.shape[1:])} pixels has {list(self.mask.shape)}")
        if not 0 <= self.strength <= 1:
            raise EditorError(f"an editing strength of {self.strength:g}; from 0 to 1 is possible")
        if not 0 <= self.seed < 2**31:
            raise EditorError(f"a seed of {self.seed}; from 0 to {2**31 - 1} is possible")
        if self.snr_est_db is not None and not -100 <= self.snr_est_db <= 100:
            raise EditorError(f"an SNR of {self.snr_est_db:g} dB; from -100 to 100 is possible")
        if self.noise_var_mean is not None and not 0 <= self.noise_var_mean < math.inf:
            raise EditorError(f"a noise variance of {self.noise_var_mean:g}; a finite positive number is expected")
        if len(self.text.encode(errors="replace")) > MAX_TEXT_BYTES:
            raise EditorError(f"a text of more than {MAX_TEXT_BYTES} bytes")


@dataclass(frozen=True)
class Edited:
    """What an editor made of a picture."""

    x: Picture
    """I_g, or I_r where nothing was edited: [3, H, W] float32 in [0, 1]."""
    seconds: float
    """Of computation."""
    backend: str
    edited: bool = True
    """False: `x` is I_r, and `reason` says why."""
    reason: str = ""


class Editor(Protocol):
    """What the service and `evaluate` ask of an editor.

    One that is made on a machine that lacks what it needs raises `EditorError` in its constructor, not at the first
    picture.
    """

    name: str
    version: str
    """Of weights and libraries: what was measured with one must not be taken for another's."""
    max_batch: int
    """Requests that it takes at once."""

    def edit(self, request: EditRequest) -> Edited:
        """One picture.

        Raises:
            EditorError: The picture cannot be edited; the caller delivers I_r.
        """
        ...

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Several of one size, at most `max_batch`, each as `edit` would make it."""
        ...


def unedited(request: EditRequest, reason: str, backend: str = "none") -> Edited:
    """I_r, with the reason."""
    return Edited(request.x_hat, 0.0, backend, edited=False, reason=reason)


def blended(x_hat: Picture, edited: Picture, strength: float) -> Picture:
    """`strength` of the way from I_r to what was edited, clipped to [0, 1]."""
    mixed = x_hat + np.float32(strength) * (edited - x_hat)
    return np.clip(mixed, 0, 1).astype(np.float32)
