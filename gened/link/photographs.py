# SPDX-License-Identifier: GPL-3.0-or-later
"""The photographs of a transmitter: all checked before the first is sent, then read again in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gened.errors import FrameError
from gened.gr_blocks.phy.framing.budget import n_bursts
from gened.gr_blocks.phy.types import ImageSize
from gened.link.config import TransmitConfig
from gened.link.describing import Describer
from gened.link.importance import importance
from gened.models.data.images import Mask, Pixels, load_image
from gened.models.data.writing import PictureFolder
from gened.paths import make_folder

KEPT_PICTURES = 4
"""Decoded photographs that are kept; others are read again."""
N_NUMBERS = 65536
"""Frame numbers; they wrap around."""


@dataclass(frozen=True)
class Outgoing:
    """A frame to be sent."""

    number: int
    """Number of the frame on the air."""
    photo: int
    """Index of the photograph."""
    image: Pixels
    mask: Mask | None
    """Importance of the pixels, where the user gave one."""
    caption: str
    """Empty where there is none."""
    sent: str | None
    """File of the picture as sent, where it is kept."""

    @property
    def meta(self) -> dict[str, int | str]:
        """Entries of `SentFacts` that travel with the picture."""
        meta: dict[str, int | str] = {"frame": self.number, "photo": self.photo}
        return meta | ({"caption": self.caption} if self.caption else {}) | ({"sent": self.sent} if self.sent else {})


class Photographs:
    """Reads the photographs and their masks, and keeps them as they are sent.

    Args:
        config: Of the transmitter.

    Raises:
        ImageError: A photograph or the mask cannot be used.
        ConfigError: The mask or a box does not fit a photograph.
        FrameError: A photograph needs more bursts than a frame may have at this rate.
    """

    def __init__(self, config: TransmitConfig) -> None:
        self._config = config
        self._load = lru_cache(KEPT_PICTURES)(self._read)
        self._sent: dict[int, str] = {}
        """File of each photograph as sent."""
        if config.out is not None:
            make_folder(config.out)
        for index, path in enumerate(config.photos):
            pixels = self._load(path)[0]
            try:
                n_bursts(ImageSize(*pixels.shape[:2]), config.encode.rate)
            except FrameError as error:
                raise FrameError(f"{path}: {error}") from error
            self._keep(index, pixels)

    def frame(self, number: int, describer: Describer | None) -> Outgoing:
        """A frame of the run.

        Args:
            number: Index of the frame, counted from 0.
            describer: Describes a photograph that has no caption; None: it has none.
        """
        config = self._config
        index = number % len(config.photos)
        image, mask = self._load(config.photos[index])
        caption = config.captions[number % len(config.captions)] if config.captions else ""
        if describer is not None:
            caption = describer(index, image, mask) or caption
        return Outgoing(number % N_NUMBERS, index, image, mask, caption, self._sent.get(index))

    def _read(self, path: Path) -> tuple[Pixels, Mask | None]:
        pixels = load_image(path, max_side=self._config.max_side)
        return pixels, importance(path, pixels, self._config.mask, self._config.mask_boxes)

    def _keep(self, index: int, pixels: Pixels) -> None:
        if self._config.out is None:
            return
        folder = PictureFolder(self._config.out, is_numbered=len(self._config.photos) > 1)
        names = folder.names("sent", f"{index:04d}", is_first=index == 0)
        folder.write(names, pixels)
        self._sent[index] = names[-1]
