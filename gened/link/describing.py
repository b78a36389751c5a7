# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of a transmitter that come from a captioner in a worker process."""

from __future__ import annotations

from collections.abc import Callable

from gened.errors import CaptionerError, LinkError
from gened.link.config import CaptionConfig
from gened.models.data.images import Mask, Pixels
from gened.models.serving.worker import Worker

SERVICE = "gened.models.serving.caption_service:CaptionService"
MAX_BYTES = 106
"""What the papers' 426 16-QAM symbols carry."""
MAX_TEXT_BYTES = 2000
"""A frame carries little more; see `phy.records`."""

OnFailure = Callable[[str], None]


class Describer:
    """A captioner in a process of its own; each photograph is described once. Use it as a context.

    Args:
        config: The captioner.
        on_failure: Called with the reason whenever a photograph cannot be described.

    Raises:
        CaptionerError: The captioner cannot be made, for want of a model above all.
    """

    def __init__(self, config: CaptionConfig, on_failure: OnFailure | None = None) -> None:
        self._config = config
        self._on_failure = on_failure
        self._known: dict[int, str] = {}
        options = {"captioner": config.captioner, "options": dict(config.options), "device": config.device}
        self._worker = Worker(SERVICE, options)
        try:
            self._worker.call("ready")
        except LinkError as error:
            self._worker.close()
            raise CaptionerError(str(error)) from error

    def __call__(self, index: int, image: Pixels, mask: Mask | None) -> str:
        """The caption of a photograph; empty if it cannot be described.

        Args:
            index: Of the photograph.
            image: [H, W, 3] uint8.
            mask: Importance of the pixels, [H, W] uint8, 255 is important; None: unknown.
        """
        if index not in self._known:
            try:
                self._known[index] = self._worker.call(
                    "describe", image=image, max_bytes=self._config.max_bytes, mask=mask
                )
            except LinkError as error:
                self._known[index] = ""
                if self._on_failure is not None:
                    self._on_failure(str(error))
        return self._known[index]

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()

    def __enter__(self) -> Describer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
