# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: writes picture PDUs as PNG files."""

from __future__ import annotations

import collections
import os
import tempfile
from pathlib import Path
from typing import Any

from gened.gr_blocks.pdu.frame_pdus import picture_from_pdu, picture_number, report_to_pdu
from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.models.data.writing import mask_name, write_png

MAX_FILES = 1000


def default_folder() -> Path:
    """Default folder: one per user among the temporary files."""
    return Path(tempfile.gettempdir()) / f"gened-{os.getuid()}"


class image_writer(MessageBlock):  # noqa: N801
    """Writes each picture to `<folder>/<prefix>-<session>-<frame>.png`, and its mask, if any, to `...-mask.png`.

    Ports: `pictures` in; `reports` out: the picture's facts with `path`, and with `mask_path` if it has a mask. A file
    appears under its name only when it is complete. Only numbers of the picture's dictionary enter the name. Beyond
    `max_files` pictures the oldest is deleted, so that an endless stream does not fill the disk. Counters:
    `n_pictures`, `n_written`.

    Args:
        folder: Created if it does not exist; empty: `default_folder()`.
        prefix: First part of the file names.
        max_files: Most pictures kept, masks not counted.
    """

    def __init__(self, folder: str | Path = "", prefix: str = "received", max_files: int = MAX_FILES) -> None:
        super().__init__("image_writer", {"pictures": self._write}, ("reports",))
        self.folder = Path(folder) if folder else default_folder()
        self._prefix = Path(prefix).name
        self._max_files = max(1, int(max_files))
        self._written: collections.deque[Path] = collections.deque()

    def _write(self, message: Any) -> None:
        image, meta = picture_from_pdu(message)
        session, number = picture_number(meta, self.counters.add("n_pictures") - 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._prefix}-{session:05d}-{number:05d}.png"
        paths = {"path": str(path)}
        mask = meta.get("mask")
        if mask is None:
            path.with_name(mask_name(path.name)).unlink(missing_ok=True)  # one of an earlier run
        else:
            write_png(mask, path.with_name(mask_name(path.name)))
            paths["mask_path"] = str(path.with_name(mask_name(path.name)))
        write_png(image, path)
        self.counters.add("n_written")
        self._delete_oldest(path)
        self.publish("reports", report_to_pdu(meta, **paths))

    def _delete_oldest(self, path: Path) -> None:
        if path in self._written:  # the same numbers again: the newest file counts
            self._written.remove(path)
        self._written.append(path)
        if len(self._written) > self._max_files:
            oldest = self._written.popleft()
            oldest.unlink(missing_ok=True)
            oldest.with_name(mask_name(oldest.name)).unlink(missing_ok=True)
