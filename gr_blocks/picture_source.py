# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: sends a photograph from a file as a picture PDU, periodically."""

from __future__ import annotations

import threading
from pathlib import Path

from gened.errors import ConfigError
from gened.gr_blocks.pdu.frame_pdus import Image, Mask, picture_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.models.data.images import load_image, load_mask

MIN_PERIOD_S = 0.01


def load_picture(path: str | Path = "", max_side: int | None = None) -> Image:
    """A photograph as [H, W, 3] uint8 RGB, as `load_image` gives it.

    Args:
        path: Any picture file that Pillow opens; empty: the astronaut Eileen Collins, NASA, public domain, from
            scikit-image.
        max_side: Largest side in pixels; larger pictures are reduced.

    Raises:
        ImageError: The file is missing, is not a picture, or has a size that cannot be sent.
    """
    if path:
        return load_image(path, max_side=max_side)
    import skimage

    return load_image(Path(skimage.__file__).parent / "data" / "astronaut.png", max_side=max_side)


def _mask(path: str | Path, image: Image) -> Mask | None:
    return load_mask(path, *image.shape[:2]) if path else None


class picture_source(MessageBlock):  # noqa: N801
    """Sends a photograph when the flowgraph starts and then every `period_s`, from a thread of its own.

    Port: `pictures` out. Counter: `n_pictures`.

    Args:
        path: A picture file; empty: a photograph of scikit-image.
        period_s: Seconds between pictures.
        n_frames: Number of pictures to send; 0: no end.
        caption: Caption of each picture; empty for none.
        max_side: Largest side in pixels; larger pictures are reduced.
        mask: A picture file of the importance, white is important; empty for none.

    Raises:
        ImageError: The file is missing or is no picture.
        ConfigError: The period is not positive, or the mask has another shape than the photograph.
    """

    def __init__(
        self,
        path: str | Path = "",
        period_s: float = 2.0,
        n_frames: int = 0,
        caption: str = "",
        max_side: int = 256,
        mask: str | Path = "",
    ) -> None:
        super().__init__("picture_source", {}, ("pictures",))
        if not period_s >= MIN_PERIOD_S:
            raise ConfigError(f"period_s is {period_s}; at least {MIN_PERIOD_S} s")
        meta = {"name": Path(path).name or "astronaut"} | ({"caption": caption} if caption else {})
        image = load_picture(path, int(max_side))
        self._picture = picture_to_pdu(image, meta, _mask(mask, image))
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
        """Sets the seconds between pictures, from the next one on."""
        self._period_s = max(MIN_PERIOD_S, float(period_s))

    def _send(self) -> None:
        while not self._stopped.is_set():
            self.publish("pictures", self._picture)
            if self.counters.add("n_pictures") == self._n_frames:
                return
            self._stopped.wait(self._period_s)
