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
from gened.models.data.images import Mask, Pixels, to_float, to_uint8

MIN_SIDE, MAX_SIDE = 16, 4096
MAX_TEXT_BYTES = 4096
"""Longest caption of a request, UTF-8 bytes; a frame carries fewer."""


@dataclass(frozen=True)
class EditRequest:
    """A received picture for an editor's network, with what the receiver measured of its frame.

    Raises:
        EditorError: A picture or a mask of another shape, or a number out of range.
    """

    x_hat: Picture
    """I_r, [3, H, W] float32 RGB in [0, 1]."""
    text: str = ""
    """The caption of the frame; empty if none arrived, or a damaged one."""
    mask: Map | None = None
    """Importance as the receiver knows it, [H, W] in [0, 1]."""
    snr_est_db: float | None = None
    """Es/N0 as the receiver estimated it, dB, -100 to 100; None: unknown."""
    noise_var_mean: float | None = None
    """Mean complex noise variance of the equalised symbols that arrived; None: unknown."""
    strength: float = 1.0
    """Strength of the edit in [0, 1]: 0 leaves I_r as it is."""
    seed: int = 0
    """Seed of all random numbers, 0 to 2^31 - 1: equal requests with equal seeds give equal pictures."""

    def __post_init__(self) -> None:
        x = self.x_hat
        if x.ndim != 3 or x.shape[0] != 3:
            raise EditorError(f"a picture to edit is [3, H, W], not {list(x.shape)}")
        _check(self, x.shape[1:])


@dataclass(frozen=True)
class EditTask:
    """A received picture on its way to an editor: `EditRequest` with 8 bits per value, as it arrives and is displayed.

    Raises:
        EditorError: A picture or a mask of another shape, or a number out of range.
    """

    pixels: Pixels
    """I_r, [H, W, 3] uint8 RGB."""
    text: str = ""
    """See `EditRequest`, as for all further attributes."""
    mask: Mask | None = None
    """[H, W] uint8, 255 is important."""
    snr_est_db: float | None = None
    noise_var_mean: float | None = None
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise EditorError(f"a picture to edit is [H, W, 3], not {list(self.pixels.shape)}")
        _check(self, self.pixels.shape[:2])

    def request(self) -> EditRequest:
        """The task as the network takes it, in float32."""
        mask = None if self.mask is None else self.mask.astype(np.float32) / np.float32(255)
        return EditRequest(
            to_float(self.pixels), self.text, mask, self.snr_est_db, self.noise_var_mean, self.strength, self.seed
        )

    def unedited(self, reason: str, backend: str = "none") -> EditResult:
        """I_r as the result, with the editor's reason."""
        return EditResult(self.pixels, 0.0, backend, edited=False, reason=reason)

    def failed(self, reason: str) -> EditResult:
        """I_r as the result, because the editor gave none."""
        return EditResult(self.pixels, 0.0, "none", edited=False, reason=reason, failed=True)


def _check(request: EditRequest | EditTask, size: tuple[int, ...]) -> None:
    """Checks that both forms of a request share; `size` is the height and the width of the picture."""
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise EditorError(
            f"a picture to edit has {MIN_SIDE} to {MAX_SIDE} pixels on each side, not {size[1]}x{size[0]}"
        )
    if request.mask is not None and request.mask.shape != size:
        raise EditorError(f"the mask of a picture of {list(size)} pixels has {list(request.mask.shape)}")
    if not 0 <= request.strength <= 1:
        raise EditorError(f"an editing strength of {request.strength:g}; from 0 to 1 is possible")
    if not 0 <= request.seed < 2**31:
        raise EditorError(f"a seed of {request.seed}; from 0 to {2**31 - 1} is possible")
    if request.snr_est_db is not None and not -100 <= request.snr_est_db <= 100:
        raise EditorError(f"an SNR of {request.snr_est_db:g} dB; from -100 to 100 is possible")
    if request.noise_var_mean is not None and not 0 <= request.noise_var_mean < math.inf:
        raise EditorError(f"a noise variance of {request.noise_var_mean:g}; a finite positive number is expected")
    if len(request.text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise EditorError(f"a text of more than {MAX_TEXT_BYTES} bytes")


@dataclass(frozen=True)
class Edited:
    """Result of an editor."""

    x: Picture
    """I_g, or I_r if nothing was edited: [3, H, W] float32 in [0, 1]."""
    seconds: float
    """Time of computation, s."""
    backend: str
    """Name of the editor."""
    edited: bool = True
    """False: `x` is I_r, for the given reason."""
    reason: str = ""


@dataclass(frozen=True)
class EditResult:
    """`Edited` with 8 bits per value, as it travels back."""

    pixels: Pixels
    """[H, W, 3] uint8 RGB."""
    seconds: float
    """See `Edited`, as for all further attributes."""
    backend: str
    edited: bool = True
    reason: str = ""
    failed: bool = False
    """True: the editor gave no result, for the given reason, and `pixels` is I_r."""

    @classmethod
    def of(cls, edited: Edited) -> EditResult:
        """An editor's result, rounded to 8 bits."""
        return cls(to_uint8(edited.x), edited.seconds, edited.backend, edited.edited, edited.reason)


class Editor(Protocol):
    """Edits received pictures; used by the editing service and by `evaluate`.

    The constructor raises `EditorError` if weights, packages or the device are missing, so that no picture is lost.
    """

    name: str
    version: str
    """Version of weights and libraries; part of the key of cached scores."""
    max_batch: int
    """Largest number of requests of one `edit_batch`."""

    def edit(self, request: EditRequest) -> Edited:
        """Edit one picture.

        Raises:
            EditorError: The picture cannot be edited; the caller delivers I_r.
        """
        ...

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Edit at most `max_batch` pictures of one size; each result equals that of `edit`."""
        ...


def check_edited(edited: object, n_requests: int, request: EditRequest) -> list[Edited]:
    """The results of `edit_batch`, if they keep the contract; requests of one batch have one size.

    Args:
        edited: What the editor returned.
        n_requests: Number of requests.
        request: One of them.

    Raises:
        EditorError: Another number of results, or one that is not [3, H, W] float32 without NaN.
    """
    if not isinstance(edited, list) or len(edited) != n_requests:
        n_found = f"{len(edited)} results" if isinstance(edited, list) else type(edited).__name__
        raise EditorError(f"the editor returned {n_found} for {n_requests} pictures")
    for one in edited:
        if not isinstance(one, Edited):
            raise EditorError(f"the editor returned {type(one).__name__}, not Edited")
        x: object = one.x
        if not isinstance(x, np.ndarray):
            raise EditorError(f"the editor returned a picture of type {type(x).__name__}, not an array")
        if x.shape != request.x_hat.shape or x.dtype != np.float32:
            raise EditorError(
                f"the editor returned a picture of {list(x.shape)} {x.dtype}, not {list(request.x_hat.shape)} float32"
            )
        if not np.isfinite(x).all():
            raise EditorError(f"the editor returned {np.count_nonzero(~np.isfinite(x))} values that are not finite")
    return edited


def unedited(request: EditRequest, reason: str, backend: str = "none") -> Edited:
    """I_r as the result, with the reason."""
    return Edited(request.x_hat, 0.0, backend, edited=False, reason=reason)


def blended(x_hat: Picture, edited: Picture, strength: float) -> Picture:
    """Linear interpolation from I_r (`strength` 0) to the edited picture (1), clipped to [0, 1]."""
    mixed = x_hat + np.float32(strength) * (edited - x_hat)
    return np.clip(mixed, 0, 1).astype(np.float32)
