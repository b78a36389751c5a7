# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey's frames as rows, and what they come to: loss with its interval, SNR, drift of the carrier, airtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959964
"""Of a normal distribution: 95 % lie within."""
MAX_SLOPES = 400
"""Frames of which the drift is the median slope of all pairs; of more, evenly spread ones are taken."""
MIN_DRIFT_S = 5.0
"""In a shorter time the estimates' own scatter of a hertz would be taken for a drift."""


@dataclass(frozen=True, kw_only=True)
class SurveyRow:
    """One frame: received, or known to be lost. What is unknown is None."""

    frame: int
    session: int | None = None
    """Which run of the sender it belongs to."""
    time_s: float
    """Since the survey began, when it was decoded; of a lost one, between its neighbours."""
    is_received: bool
    """Whether there was a picture in the end."""
    reason: str | None = None
    """Why not."""
    snr_est_db: float | None = None
    cfo_est_hz: float | None = None
    sfo_est_ppm: float | None = None
    erased_fraction: float | None = None
    caption: str | None = None
    crc_ok: bool | None = None
    """Of the caption; None where none was sent."""
    psnr_db: float | None = None
    airtime_s: float | None = None


def wilson_interval(n_events: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, also right near 0 and 1 and for few trials.

    Args:
        n_events: How often it happened, 0 to `n`.
        n: Trials; of none, all is possible.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22(158), 1927.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = n_events / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return 0.0 if n_events == 0 else low, 1.0 if n_events == n else high


def summarize(rows: Sequence[SurveyRow]) -> dict[str, Any]:
    """What the rows come to; null where nothing is known.

    Keys: `frames_sent`, `frames_received`, `lost_fraction` with `lost_fraction_ci95`; `snr_db_mean`, `_median` and
    `_p05` (the value that 5 % of the frames stay under), means of decibels; `cfo_hz_mean`, `cfo_drift_hz_per_s` (median
    slope of all pairs of frames), `sfo_ppm_mean`; `captions_whole` of `captions_sent`, as far as frames arrived;
    `erased_fraction_mean` over received frames; `psnr_db_mean` over those whose picture is known; `airtime_s` of all
    that was received; `duration_s` from the first row to the last.
    """
    received = [row for row in rows if row.is_received]
    measured = [row for row in rows if row.snr_est_db is not None]
    n_lost = len(rows) - len(received)
    snrs = _values(measured, "snr_est_db")
    return {
        "frames_sent": len(rows),
        "frames_received": len(received),
        "lost_fraction": n_lost / len(rows) if rows else None,
        "lost_fraction_ci95": list(wilson_interval(n_lost, len(rows))) if rows else None,
        "snr_db_mean": _mean(snrs),
        "snr_db_median": float(np.median(snrs)) if snrs else None,
        "snr_db_p05": float(np.percentile(snrs, 5)) if snrs else None,
        "cfo_hz_mean": _mean(_values(measured, "cfo_est_hz")),
        "cfo_drift_hz_per_s": drift_per_s(measured),
        "sfo_ppm_mean": _mean(_values(measured, "sfo_est_ppm")),
        "erased_fraction_mean": _mean(_values(received, "erased_fraction")),
        "captions_whole": sum(row.crc_ok is True for row in measured),
        "captions_sent": sum(row.crc_ok is not None for row in measured),
        "psnr_db_mean": _mean(_values(received, "psnr_db")),
        "airtime_s": sum(_values(measured, "airtime_s")),
        "duration_s": rows[-1].time_s - rows[0].time_s if rows else 0.0,
    }


def drift_per_s(rows: Sequence[SurveyRow]) -> float | None:
    """Hz/s by which the carrier offset moves: Theil and Sen's median slope; None for fewer than three frames or 5 s."""
    points = [(row.time_s, row.cfo_est_hz) for row in rows if row.cfo_est_hz is not None]
    points = points[:: max(1, -(-len(points) // MAX_SLOPES))]
    if len(points) < 3 or points[-1][0] - points[0][0] < MIN_DRIFT_S:
        return None
    times, offsets = np.asarray(points, float).T
    first, second = np.triu_indices(len(points), 1)
    gaps = times[second] - times[first]
    slopes = (offsets[second] - offsets[first])[gaps > 0] / gaps[gaps > 0]
    return float(np.median(slopes)) if len(slopes) else None


def _values(rows: Sequence[SurveyRow], key: str) -> list[float]:
    found = (getattr(row, key) for row in rows)
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
