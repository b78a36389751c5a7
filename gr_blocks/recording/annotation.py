# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations of a recording, one per burst: the fields of SigMF, and those of this project under `gened:`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM

NAMESPACE = "gened"
NAMESPACE_VERSION = "1.0.0"
GENERATOR = "gr-gened"


@dataclass(kw_only=True)
class Annotation:
    """A burst among the samples; a value that is not known is None."""

    start: int
    """First sample of the preamble, counted from the beginning of the file."""
    count: int
    """Samples of the burst, preamble included."""
    label: str = ""
    session: int | None = None
    """Number of the transmitter's run, from the header."""
    frame: int | None = None
    burst: int | None = None
    """Number of the burst within its frame, from 0."""
    n_bursts: int | None = None
    """Bursts of the frame."""
    format_version: int | None = None
    """Version of the format on the air, from the header."""
    snr_est_db: float | None = None
    """Es/N0 on an occupied carrier, over the bursts of the frame."""
    cfo_est_hz: float | None = None
    """Carrier offset, Hz: of the frame, or the detector's estimate for this burst if the frame was never assembled."""
    crc_ok: bool | None = None
    """Whether the frame's text has a correct checksum; None without text, or if the frame was never assembled."""
    caption: str | None = None
    station: str | None = None

    def to_sigmf(self, sample_rate: float, center_freq: float) -> dict[str, Any]:
        """Returns the entry of `annotations`.

        Args:
            sample_rate: Hz.
            center_freq: Hz; the frequency edges of the burst are computed from it.
        """
        middle_hz = center_freq + (self.cfo_est_hz or 0.0)
        half_hz = sample_rate * WAVEFORM.n_occupied / WAVEFORM.n_fft / 2
        entry: dict[str, Any] = {
            "core:sample_start": self.start, "core:sample_count": self.count, "core:label": self.label,
            "core:generator": GENERATOR, "core:freq_lower_edge": middle_hz - half_hz,
            "core:freq_upper_edge": middle_hz + half_hz,
        }  # fmt: skip
        if self.caption:
            entry["core:comment"] = self.caption
        ours = {f"{NAMESPACE}:{key}": _plain(getattr(self, key)) for key in KINDS}
        return entry | {key: value for key, value in ours.items() if value is not None}


def from_sigmf(entry: Mapping[str, Any]) -> Annotation:
    """Returns the annotation of an entry that is valid SigMF; fields under `gened:` of another type are ignored."""
    found = {}
    for key, kind in KINDS.items():
        value = entry.get(f"{NAMESPACE}:{key}")
        if kind is float and type(value) is int:
            value = float(value)
        found[key] = _plain(value) if type(value) is kind else None
    return Annotation(
        start=entry["core:sample_start"],
        count=entry.get("core:sample_count", 0),
        label=entry.get("core:label", ""),
        **found,
    )


KINDS: dict[str, type] = {
    "session": int, "frame": int, "burst": int, "n_bursts": int, "format_version": int, "snr_est_db": float,
    "cfo_est_hz": float, "crc_ok": bool, "caption": str, "station": str,
}  # fmt: skip
"""Fields under `gened:` and their types."""


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
