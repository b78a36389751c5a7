# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec, a captioner and an editor of another package, each of which fails in the way that its option `fault` names.

    raises      an exception of its own                 hangs       never returns
    allocates   asks for more memory than there is      dies        ends its process without a word
    ...and results that break the contract, see `broken_picture`

`install` makes them known to every process that has this folder and the given one on its path.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gened.gr_blocks.phy.framing.budget import budget
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded, Map, Picture
from gened.models.editing.base import Edited, EditRequest

ENTRY_POINTS = """\
[gened.codecs]
failing = failing_plugins:FailingCodec
[gened.captioners]
failing = failing_plugins:FailingCaptioner
[gened.editors]
failing = failing_plugins:FailingEditor
"""
EXIT_CODE = 41
FOLDER = Path(__file__).resolve().parent
"""To be on the path of a process that uses the plug-ins."""


class FaultError(Exception):
    """What a plug-in's own code raises."""


def install(folder: Path) -> None:
    """Makes the plug-ins known by entry points."""
    place = folder / "failing-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(ENTRY_POINTS)


def fail(fault: str) -> None:
    """Fails as told; returns where the fault lies in the result, or where there is none."""
    if fault == "raises":
        raise FaultError("the plug-in's own\nfault")
    if fault == "hangs":
        threading.Event().wait()
    if fault == "allocates":
        np.ones(2**50)
    if fault == "dies":
        os._exit(EXIT_CODE)


def broken_picture(fault: str, size: ImageSize) -> Any:
    """A grey picture, [3, H, W], that breaks the contract where the fault says so."""
    height, width = size
    grey = np.full((3, height, width), 0.5, np.float32)
    if fault == "not finite":
        grey[1, height // 2, width // 2] = np.nan
    return {
        "half the size": grey[:, ::2, ::2],
        "channels last": grey.transpose(1, 2, 0),
        "no channels": grey[0],
        "bytes": np.full((3, height, width), 128, np.uint8),
        "complex": grey.astype(np.complex64),
        "a list": grey.tolist(),
        "nothing": None,
    }.get(fault, grey)


class FailingCodec:
    """Sends noise of the whole budget, and decodes it into a grey picture."""

    name = "failing"
    codec_id = 0xFA111116

    def __init__(self, folder: Path | None = None, *, device: str = "cpu", fault: str = "", encoder: str = "") -> None:
        self._fault, self._encoder = fault, encoder
        if fault == "constructor":
            raise FaultError("cannot be made")

    def encode(self, x: Picture, *, rate: Fraction, snr_db: float) -> Encoded:
        fail(self._encoder)
        size = ImageSize(*x.shape[1:])
        rng = np.random.default_rng(1)
        symbols = np.exp(2j * np.pi * rng.random(budget(size, rate, snr_db).symbols)).astype(np.complex64)
        return Encoded(symbols)

    def decode(self, received: Received) -> Any:
        fail(self._fault)
        picture = broken_picture(self._fault, received.size)
        height, width = received.size
        if self._fault == "no record":
            return picture
        mask = {"a mask of another size": np.ones((8, 8), np.float32)}.get(self._fault)
        confidence = {"a confidence of another size": np.ones((8, 8), np.float32)}.get(self._fault)
        return Decoded(picture, mask, confidence)


class FailingCaptioner:
    """Writes "grey"."""

    name = "failing"

    def __init__(self, *, device: str = "cpu", fault: str = "") -> None:
        self._fault = fault

    def describe(self, x: Picture, *, max_bytes: int = 106, mask: Map | None = None) -> Any:
        fail(self._fault)
        return {"too long": "grey " * 2000, "bytes": b"grey", "nothing": None}.get(self._fault, "grey")


class FailingEditor:
    """Returns a grey picture."""

    name = "failing"
    version = "1"
    max_batch = 4

    def __init__(self, *, device: str = "cpu", fault: str = "") -> None:
        self.fault = fault

    def edit(self, request: EditRequest) -> Any:
        fail(self.fault)
        if self.fault == "no record":
            return None
        return Edited(broken_picture(self.fault, ImageSize(*request.x_hat.shape[1:])), 0.0, self.name)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Any]:
        return [] if self.fault == "too few" else [self.edit(request) for request in requests]
