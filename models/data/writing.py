# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files of a run: one writer, and one rule for their names.

```text
sent.png                     of a run with one picture of its kind; otherwise the first picture of its kind
received-0003.png            one of several, here frame 3
received-00007-0003.png      the same of another sender, session 7
received-0003-mask.png       beside it: the importance of its pixels; mask.png beside received.png
```
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

COMPRESS_LEVEL = 4
"""zlib level of PNG files. 6, the default, takes 2.6 times as long for files 3 % smaller (Kodak)."""


def picture_name(kind: str, *numbers: str) -> str:
    """The file name of a picture, from its kind and its numbers, such as "received" and "0003"."""
    return f"{'-'.join((kind, *numbers))}.png"


def mask_name(name: str) -> str:
    """The file name of the mask that belongs to a picture."""
    stem = name.removesuffix(".png")
    return f"{stem}-mask.png" if "-" in stem else "mask.png"


def write_png(pixels: npt.NDArray[np.uint8], *paths: Path) -> None:
    """Encodes a picture once and writes it to each path, whole or not at all: a reader never sees half a file.

    Args:
        pixels: [H, W, 3] or [H, W] uint8.
        *paths: Files; existing ones are replaced.

    Raises:
        OSError: A file cannot be written.
    """
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG", compress_level=COMPRESS_LEVEL)
    for path in paths:
        partial = path.with_name(f".{path.name}.part")
        try:
            partial.write_bytes(encoded.getbuffer())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class PictureFolder:
    """The folder in which a run leaves its pictures."""

    folder: Path
    is_numbered: bool
    """Whether the run has several pictures of a kind."""

    def names(self, kind: str, *numbers: str, is_first: bool = False) -> list[str]:
        """File names of a picture; the last one has the numbers if any has.

        Args:
            kind: First part of the name.
            *numbers: Parts that follow in a run with several pictures.
            is_first: Whether the picture is the first of its kind, which has a name without numbers, too.
        """
        plain = [picture_name(kind)] if is_first or not self.is_numbered else []
        return [*plain, picture_name(kind, *numbers)] if self.is_numbered else plain

    def write(self, names: Iterable[str], pixels: npt.NDArray[np.uint8] | None) -> None:
        """Writes a picture under each name.

        Args:
            names: File names.
            pixels: [H, W, 3] or [H, W] uint8; None: files of these names, which an earlier run left, are removed.
        """
        paths = [self.folder / name for name in names]
        if pixels is not None:
            write_png(pixels, *paths)
            return
        for path in paths:
            path.unlink(missing_ok=True)
