# SPDX-License-Identifier: GPL-3.0-or-later
"""What a loopback leaves: the facts of both sides as one report, with the pictures beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gened.models.data.images import Mask, Pixels, load_image, save_png, to_float
from gened.models.evaluation.metrics.pixel_metrics import ms_ssim, psnr_db
from gened.provenance import run_meta
from gened.reports.figures import constellation, side_by_side
from gened.reports.report import FrameReport, Report, frame_report, write_report

Facts = dict[str, Any]
SENDERS_KEYS = ("sent", "encode_ms", "analog_symbols", "side_symbols", "caption_symbols", "on_air_samples")
"""What the transmitter knows better: the receiver counts what arrived."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run was set to, for its report."""

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


def make_report(
    out: Path,
    *,
    sent: dict[int, Facts],
    received: dict[int, Facts],
    settings: RunSettings,
    causes: dict[str, int] | None = None,
    dropped: Sequence[int] = (),
) -> Report:
    """Writes report.json, side_by_side.png (one a photograph) and constellation.png; returns the report.

    Args:
        out: Folder that has the pictures already.
        sent: Facts of each frame from the transmitter, by number.
        received: The same from the receiver; frames that were lost are missing.
        settings: What the run was set to.
        causes: What went wrong, by name, and how often.
        dropped: Bursts that air has dropped, counted from 0 over the whole run.
    """
    pictures = _Pictures(out)
    frames = [
        _frame(number, sent.get(number, {}), received.get(number), settings, pictures)
        for number in sorted(sent | received)
    ]
    meta = run_meta(settings.argv, seed=settings.seed) | {
        "causes": causes,
        "dropped_bursts": _by_frame(sent, dropped) if settings.is_simulated else None,
    }
    report = Report(meta=meta, frames=frames)
    write_report(out / "report.json", report)
    beside = {number: (facts.get("mask"), facts.get("edited_picture")) for number, facts in received.items()}
    _draw(out, frames, beside, pictures)
    return report


def _by_frame(sent: dict[int, Facts], dropped: Sequence[int]) -> list[dict[str, int]]:
    """The bursts that were dropped, each as its frame and its number within it; `sent` is in the order of the air."""
    bursts = [(number, burst) for number, facts in sent.items() for burst in range(facts.get("n_bursts") or 0)]
    return [{"frame": bursts[i][0], "burst": bursts[i][1]} for i in sorted(dropped) if i < len(bursts)]


class _Pictures:
    """Pictures of the folder by file name."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.load = lru_cache(4)(self._read)

    def _read(self, name: str | None) -> Pixels | None:
        return load_image(self._out / name) if name else None

    def mask(self, name: str | None) -> Mask | None:
        """[H, W], as it was written."""
        pixels = self.load(name)
        return None if pixels is None else pixels[..., 0]


def _frame(number: int, sent: Facts, received: Facts | None, settings: RunSettings, pictures: _Pictures) -> FrameReport:
    facts: Facts = {"snr_set_db": settings.snr_set_db, "cfo_set_hz": settings.cfo_set_hz, "erased_fraction": 1.0}
    facts |= {key: value for key, value in (received or {}).items() if key != "error"}
    facts |= {key: sent[key] for key in SENDERS_KEYS if key in sent} | {"frame": number}
    if isinstance(facts.get("on_air_samples"), int):
        facts["airtime_s"] = facts["on_air_samples"] / settings.sample_rate
    original, result = pictures.load(facts.get("sent")), pictures.load(facts.get("received"))
    if original is not None and result is not None and original.shape == result.shape:
        facts["psnr_db"] = psnr_db(to_float(original), to_float(result))
        facts["ms_ssim"] = ms_ssim(to_float(original), to_float(result))
    return frame_report(facts)


def _draw(
    out: Path, frames: list[FrameReport], beside: dict[int, tuple[str | None, str | None]], pictures: _Pictures
) -> None:
    """One page a photograph, of the first of its frames that arrived; the first page under the plain name too."""
    shown: dict[str | None, FrameReport] = {}
    for frame in sorted(frames, key=lambda frame: frame.received is None):
        shown.setdefault(frame.sent, frame)
    for index, name in enumerate(sorted(shown, key=str)):
        mask_name, edited_name = beside.get(shown[name].frame, (None, None))
        page = side_by_side(
            pictures.load(name), pictures.load(shown[name].received), shown[name], pictures.mask(mask_name),
            edited=pictures.load(edited_name),
        )  # fmt: skip
        if len(shown) > 1:
            save_png(out / f"side_by_side-{index:04d}.png", page)
        if index == 0:
            save_png(out / "side_by_side.png", page)
    points = out / "constellation.npz"
    arrived = next((frame for frame in frames if frame.received is not None), None)
    if points.is_file() and arrived is not None:
        with np.load(points) as arrays:
            save_png(out / "constellation.png", constellation(arrays["digital"], arrays["analog"], arrived))
