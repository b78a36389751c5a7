# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: photographs from files as picture PDUs, again and again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from gened.gr_blocks.frame_pdus import MAX_SIDE, MIN_SIDE, Image, picture_to_pdu
from gened.gr_blocks.message_block import MessageBlock
from gened.gr_blocks.phy.errors import ConfigError, ImageError

MAX_FILE_PIXELS = 100_000_000
MIN_PERIOD_S = 0.01


def load_picture(path: str | Path = "", max_side: int = MAX_SIDE) -> Image:
    """A photograph as [H, W, 3] uint8 RGB, upright, reduced if its longer side exceeds `max_side`.

    Args:
        path: Any file that Pillow opens; empty: the astronaut Eileen Collins, NASA, public domain, from scikit-image.
        max_side: Pixels.

    Raises:
        ImageError: No such file, not a picture, or outside the sizes that can be sent.
    """
    from PIL import Image as pillow
    from PIL import ImageOps

    if not path:
        import skimage.data

        picture = pillow.fromarray(skimage.data.astronaut())
    else:
        picture = _open(Path(path))
    picture = ImageOps.exif_transpose(picture).convert("RGB")
    picture.thumbnail((min(max_side, MAX_SIDE),) * 2, pillow.Resampling.LANCZOS)
    if min(picture.size) < MIN_SIDE:
        raise ImageError(f"{path}: {picture.width}x{picture.height} pixels; a picture has at least {MIN_SIDE} a side")
    return np.array(picture, np.uint8)


def _open(path: Path) -> Any:
    from PIL import Image as pillow

    try:
        picture = pillow.open(path)
        if picture.width * picture.height > MAX_FILE_PIXELS:
            raise ImageError(f"{path}: {picture.width}x{picture.height} pixels; reduce it below {MAX_FILE_PIXELS}")
        picture.load()
    except FileNotFoundError as exc:
        raise ImageError(f"no such file: {path}") from exc
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as exc:
        raise ImageError(f"{path} is not a picture that Pillow opens: {exc}") from exc
    return picture


class picture_source(MessageBlock):  # noqa: N801
    """Sends a photograph at once and then every `period_s`.

    Port: `pictures` out.

    Args:
        path: A file; a photograph of scikit-image when empty.
        period_s: Seconds between pictures.
        n_frames: Pictures to send; 0 for no end.
        caption: Travels with each picture; empty for none.
        max_side: Longer sides are reduced to this, in pixels.

    Raises:
        ImageError: The file is missing or is no picture.
        ConfigError: A period that is not positive.
    """

    def __init__(
        self, path: str | Path = "", period_s: float = 2.0, n_frames: int = 0, caption: str = "", max_side: int = 256
    ) -> None:
        super().__init__("picture_source", {}, ("pictures",))
        if not period_s >= MIN_PERIOD_S:
            raise ConfigError(f"period_s is {period_s}; at least {MIN_PERIOD_S} s")
        meta = {"name": Path(path).name or "astronaut"} | ({"caption": caption} if caption else {})
        self._picture = picture_to_pdu(load_picture(path, int(max_side)), meta)
        self._period_s = float(period_s)
        self._n_frames = int(n_frames)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Called by the flowgraph."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._send, name="gened-pictures", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> bool:
        """Called by the flowgraph."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(2.0)
        return True

    def set_period_s(self, period_s: float) -> None:
        """Seconds between pictures, from the next one on."""
        self._period_s = max(MIN_PERIOD_S, float(period_s))

    def _send(self) -> None:
        while not self._stopped.is_set():
            self.publish("pictures", self._picture)
            if self.counters.add("n_pictures") == self._n_frames:
                return
            self._stopped.wait(self._period_s)
