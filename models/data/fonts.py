# SPDX-License-Identifier: GPL-3.0-or-later
"""The font of the pages that Pillow draws: sheets of pictures, and sent and received picture side by side."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def load_font(size: int, style: str = "") -> Font:
    """DejaVu Sans, which comes with matplotlib; Pillow's own font where that is missing.

    Args:
        size: Height of a line, pixels.
        style: "-Bold", "-Oblique", or empty for the regular one.
    """
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{style}.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
