# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a survey: one line per frame, survey.json, survey.csv, and survey.png with SNR, offset, PSNR and loss."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gened.fieldwork.survey import Survey
from gened.fieldwork.survey_summary import SurveyRow, summarize, wilson_interval
from gened.paths import make_folder
from gened.provenance import run_meta

BLUE, RED, GREEN, GREY = "#0b6e99", "#c4511d", "#3f7d3a", "#666c78"
WIDTH_INCHES, PANEL_INCHES, DPI = 7.0, 2.0, 150
WORDS = {True: "caption whole", False: "caption lost", None: "no caption"}


def line_of(row: SurveyRow) -> str:
    """A frame on one line."""
    if not row.is_received:
        return f"frame {row.frame:5d}  LOST: {row.reason}"
    figures = [
        "-" if value is None else f"{value * factor:{pattern}} {unit}"
        for value, factor, pattern, unit in (
            (row.snr_est_db, 1, "5.1f", "dB SNR"),
            (row.cfo_est_hz, 1, "9,.1f", "Hz"),
            (row.sfo_est_ppm, 1, "6.1f", "ppm"),
            (row.erased_fraction, 100, "5.1f", "% erased"),
        )
    ]
    psnr = [] if row.psnr_db is None else [f"{row.psnr_db:5.2f} dB PSNR"]
    return "  ".join([f"frame {row.frame:5d}", *figures, *psnr, WORDS[row.crc_ok]])


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary as sentences."""
    if not summary["frames_sent"]:
        return ["no frame came"]
    low, high = summary["lost_fraction_ci95"]
    lines = [
        f"{summary['frames_received']} of {summary['frames_sent']} frames received, "
        f"{100 * summary['lost_fraction']:.1f} % lost (95 %: {100 * low:.1f} to {100 * high:.1f} %)",
    ]
    if summary["snr_db_mean"] is not None:
        lines.append(
            f"SNR {summary['snr_db_mean']:.1f} dB in the mean, {summary['snr_db_median']:.1f} median, "
            f"{summary['snr_db_p05']:.1f} at 5 %"
        )
        drift = summary["cfo_drift_hz_per_s"]
        moves = "" if drift is None else f", moves by {drift:z.2f} Hz/s"
        lines.append(
            f"carrier offset {summary['cfo_hz_mean']:,.1f} Hz{moves}; clock offset {summary['sfo_ppm_mean']:.1f} ppm"
        )
        lines.append(
            f"{summary['captions_whole']} of {summary['captions_sent']} captions whole; "
            f"{summary['airtime_s']:.2f} s on air in {summary['duration_s']:.1f} s"
        )
    if summary["psnr_db_mean"] is not None:
        lines.append(f"PSNR {summary['psnr_db_mean']:.2f} dB in the mean")
    return lines


def write_survey(out: Path, survey: Survey, argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Writes survey.json, survey.csv and survey.png into a folder, which is made if absent.

    Returns:
        What survey.json holds: `meta` as in report.json, `summary` (see `summarize`), `causes`, `failure`, `frames`.
    """
    make_folder(out)
    frames = [_plain(row) for row in survey.rows]
    content = {
        "meta": run_meta(argv, seed=seed),
        "summary": summarize(survey.rows),
        "causes": survey.causes,
        "failure": None if survey.failure is None else str(survey.failure),
        "frames": frames,
    }
    (out / "survey.json").write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    with (out / "survey.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(SurveyRow)])
        writer.writeheader()
        writer.writerows(frames)
    if survey.rows:
        draw(out / "survey.png", survey.rows)
    return content


def _plain(row: SurveyRow) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in dataclasses.asdict(row).items()
    }


def draw(path: Path, rows: Sequence[SurveyRow]) -> None:
    """SNR, carrier offset, PSNR where it is known, and loss so far, over time; lost frames as ticks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [("snr_est_db", "SNR, dB", BLUE, 4.0), ("cfo_est_hz", "carrier offset, Hz", RED, 10.0)]
    if any(row.psnr_db is not None for row in rows):
        panels.append(("psnr_db", "PSNR, dB", GREEN, 4.0))
    figure = Figure(figsize=(WIDTH_INCHES, PANEL_INCHES * (len(panels) + 1)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels) + 1, 1, sharex=True)
    begin_s = min(row.time_s for row in rows)
    rows = [dataclasses.replace(row, time_s=row.time_s - begin_s) for row in rows]
    lost_s = [row.time_s for row in rows if not row.is_received]
    for axis, (key, label, color, least_span) in zip(axes, panels, strict=False):
        points = [(row.time_s, getattr(row, key)) for row in rows if getattr(row, key) is not None]
        axis.plot(*(zip(*points, strict=True) if points else ([], [])), ".-", color=color, markersize=5, linewidth=0.8)
        axis.set_ylabel(label)
        low, high = axis.get_ylim()
        spare = max(0.0, least_span - (high - low)) / 2  # so that estimates' own scatter does not fill a panel
        axis.set_ylim(low - spare, high + spare)
        axis.ticklabel_format(axis="y", useOffset=False)
        for time_s in lost_s:
            axis.axvline(time_s, ymax=0.06, color=GREY, linewidth=1)
    _draw_loss(axes[-1], rows)
    for axis in axes:
        axis.grid(color="#d9dce2", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    n_lost = len(lost_s)
    ticks = ", ticks at the foot" if n_lost else ""
    axes[0].set_title(f"{len(rows)} frames, {n_lost} lost{ticks}", fontsize="medium", loc="left")
    figure.savefig(path)


def _draw_loss(axis: Any, rows: Sequence[SurveyRow]) -> None:
    """Share of the frames that were lost so far, with its 95 % interval."""
    ordered = sorted(rows, key=lambda row: row.time_s)
    times_s, shares, lows, highs, n_lost = [], [], [], [], 0
    for n, row in enumerate(ordered, 1):
        n_lost += not row.is_received
        low, high = wilson_interval(n_lost, n)
        times_s.append(row.time_s)
        shares.append(100 * n_lost / n)
        lows.append(100 * low)
        highs.append(100 * high)
    axis.fill_between(times_s, lows, highs, color=GREY, alpha=0.18, linewidth=0, label="95 % interval")
    axis.plot(times_s, shares, color="#16181d", linewidth=1.6, label="lost so far", clip_on=False)
    axis.set(
        ylabel="lost, %",
        xlabel="s since the first frame",
        ylim=(0, min(100.0, max(10.0, 1.1 * max(highs[len(highs) // 4 :])))),
    )
    axis.legend(frameon=False, fontsize="small", loc="upper right")
