# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a loopback: facts of both sides in one file, and the pictures beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.models.data.images import Mask, Pixels, load_image, to_float
from gened.models.data.writing import PictureFolder, write_png
from gened.models.evaluation.metrics.pixel_metrics import psnr_db
from gened.provenance import run_meta
from gened.reports.figures import constellation, side_by_side
from gened.reports.ms_ssim import ms_ssim
from gened.reports.report import FrameReport, Report, frame_report, write_report


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run, for its report."""

    argv: Sequence[str]
    """Command line."""
    seed: int
    sample_rate: float
    """Hz."""
    snr_set_db: float | None
    """SNR of the simulated channel; None over a radio."""
    cfo_set_hz: float | None
    """Carrier frequency offset of the simulated channel; None over a radio."""
    is_simulated: bool
    """Whether the channel emulator lay between the two sides, which counts the bursts that it drops."""
    codec: str
    """Name or folder of the codec."""
    rate: str
    """Complex symbols per source value, a fraction."""
    snr_design_db: float
    """SNR that the encoder codes for, dB."""
    channel: Mapping[str, Any] | None
    """All settings of the simulated channel; None over a radio."""
    photographs: Sequence[str]
    """Files of the photographs, in the order in which they are sent."""


def make_report(
    out: Path,
    *,
    sent: Mapping[int, SentFacts],
    received: Mapping[int, FrameFacts],
    settings: RunSettings,
    causes: Mapping[str, int] | None = None,
    dropped: Sequence[int] = (),
) -> Report:
    """Writes report.json, side_by_side.png (one per photograph) and constellation.png; returns the report.

    Args:
        out: Folder that has the pictures already.
        sent: The transmitter's facts of each frame, by number.
        received: The receiver's facts of each frame, by number; frames that were lost are missing.
        settings: Settings of the run.
        causes: Faults of the link, by name, and how often each was seen.
        dropped: Bursts that the channel emulator has dropped, counted from 0 over the whole run.
    """
    pictures = _Pictures(out)
    frames = [
        _frame(sent.get(number), received.get(number), settings, pictures)
        for number in sorted(sent.keys() | received.keys())
    ]
    meta = run_meta(settings.argv, seed=settings.seed) | {
        "codec": settings.codec,
        "rate": settings.rate,
        "snr_design_db": settings.snr_design_db,
        "channel": None if settings.channel is None else dict(settings.channel),
        "causes": None if causes is None else dict(causes),
        "dropped_bursts": _by_frame(sent, dropped) if settings.is_simulated else None,
    }
    report = Report(meta=meta, frames=frames)
    write_report(out / "report.json", report)
    _draw(out, frames, received, pictures)
    return report


def _by_frame(sent: Mapping[int, SentFacts], dropped: Sequence[int]) -> list[dict[str, int]]:
    """Frame, and number within it, of each burst that was dropped; `sent` is in the order of transmission."""
    bursts = [(number, burst) for number, facts in sent.items() for burst in range(facts.n_bursts or 0)]
    return [{"frame": bursts[i][0], "burst": bursts[i][1]} for i in sorted(dropped) if i < len(bursts)]


class _Pictures:
    """Pictures of the folder by file name; the latest ones are kept."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.load = lru_cache(4)(self._read)

    def _read(self, name: str | None) -> Pixels | None:
        return load_image(self._out / name) if name else None

    def mask(self, name: str | None) -> Mask | None:
        """[H, W], as written."""
        pixels = self.load(name)
        return None if pixels is None else pixels[..., 0]


def _frame(
    sent: SentFacts | None, received: FrameFacts | None, settings: RunSettings, pictures: _Pictures
) -> FrameReport:
    """The report of one frame, with the figures that compare its two pictures."""
    counts = [facts.on_air_samples for facts in (sent, received) if facts is not None]
    n_samples = next((count for count in counts if count is not None), None)
    original = pictures.load(None if sent is None else sent.sent)
    result = pictures.load(None if received is None else received.received)
    others: dict[str, float | str | None] = {"snr_set_db": settings.snr_set_db, "cfo_set_hz": settings.cfo_set_hz}
    if sent is not None and sent.photo is not None and sent.photo < len(settings.photographs):
        others["photograph"] = settings.photographs[sent.photo]
    if received is None or received.erased_fraction is None:
        others["erased_fraction"] = 1.0
    if n_samples is not None:
        others["airtime_s"] = n_samples / settings.sample_rate
    if original is not None and result is not None and original.shape == result.shape:
        others["psnr_db"] = psnr_db(to_float(original), to_float(result))
        others["ms_ssim"] = ms_ssim(to_float(original), to_float(result))
    return frame_report(received=received, sent=sent, **others)


def _draw(out: Path, frames: list[FrameReport], received: Mapping[int, FrameFacts], pictures: _Pictures) -> None:
    """One page per photograph, of the first of its frames that arrived; the first page under the plain name, too."""
    shown: dict[str | None, FrameReport] = {}
    for frame in sorted(frames, key=lambda frame: frame.received is None):
        shown.setdefault(frame.sent, frame)
    folder = PictureFolder(out, is_numbered=len(shown) > 1)
    for index, name in enumerate(sorted(shown, key=str)):
        facts = received.get(shown[name].frame)
        page = side_by_side(
            pictures.load(name), pictures.load(shown[name].received), shown[name],
            pictures.mask(None if facts is None else facts.mask),
            edited=pictures.load(None if facts is None else facts.edited_picture),
        )  # fmt: skip
        folder.write(folder.names("side_by_side", f"{index:04d}", is_first=index == 0), page)
    points = out / "constellation.npz"
    arrived = next((frame for frame in frames if frame.received is not None), None)
    if points.is_file() and arrived is not None:
        with np.load(points) as arrays:
            write_png(constellation(arrays["digital"], arrays["analog"], arrived), out / "constellation.png")
