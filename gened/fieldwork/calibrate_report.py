# SPDX-License-Identifier: GPL-3.0-or-later
"""What a level sweep leaves: calibrate.json, calibrate.png, the rows of a table, and a profile with the correction."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gened.fieldwork.calibrate import Calibration
from gened.fieldwork.levels import CLIPPED_SHARE, LevelFigures, Spread
from gened.hw_config.reading import parse_yaml
from gened.hw_config.writing import write_profile
from gened.paths import make_folder
from gened.provenance import run_meta

COLUMNS = ("gain dB", "back-off", "found", "dBFS", "peak", "clip %", "SNR dB", "by EVM", "offset Hz")
"""All levels as received, in dBFS; SNR as the receiver estimates it, and against the known symbols."""
BLUE, RED, GREEN, GREY = "#0b6e99", "#c4511d", "#3f7d3a", "#666c78"
SIZE_INCHES, DPI = (7.0, 7.2), 150


def row(level: LevelFigures) -> tuple[str, ...]:
    """A level as texts under `COLUMNS`; a dash for what is unknown."""
    offset_hz = _median(level.cfo_hz)
    return (
        f"{level.tx_gain_db:g}",
        f"{level.backoff_db:g}",
        f"{level.n_found}/{level.n_sent}",
        f"{level.rx_dbfs:.1f}",
        f"{level.peak_dbfs:.1f}",
        f"{100 * level.clipped_fraction:.3g}",
        "-" if level.snr_est_db is None else f"{level.snr_est_db:.1f}",
        "-" if level.snr_evm_db is None else f"{level.snr_evm_db:.1f}",
        "-" if offset_hz is None else f"{offset_hz:,.1f}",
    )


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    return (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2 if ordered else None


def line_of(result: LevelFigures | float) -> str:
    """A line about a result of `run_calibrate` while it runs: a level, or the noise floor in dBFS."""
    if not isinstance(result, LevelFigures):
        return f"calibrate: noise floor {result:.1f} dBFS with the transmitter mute"
    figures = dict(zip(COLUMNS, row(result), strict=True))
    text = f"gain {figures['gain dB']} dB, back-off {figures['back-off']} dB: {figures['found']} bursts"
    received = f"{text}, {figures['dBFS']} dBFS, {figures['clip %']} % clipped"
    return (
        received if not result.n_found else f"{received}, {figures['SNR dB']} dB SNR, {figures['offset Hz']} Hz offset"
    )


def conclusions(result: Calibration) -> list[str]:
    """What the sweep says, a sentence each."""
    level, offset, hardware = result.recommendation.level, result.offset, result.hardware
    lines = [f"noise floor {result.noise_dbfs:.1f} dBFS with the transmitter mute; {result.ending}"]
    if level is not None:
        key = f"tx.gain_db={level.tx_gain_db:g}" if result.sweep == "gain" else f"tx.backoff_db={level.backoff_db:g}"
        lines.append(f"recommended: {key}: {result.recommendation.reason}")
    if offset is not None:
        cfo, sfo = offset.cfo_hz, offset.sfo_ppm
        lines += [
            f"carrier offset {cfo.median:,.1f} Hz, {result.cfo_ppm:.4f} ppm "
            f"(spread {cfo.spread:.1f} Hz, {cfo.n} bursts)",
            f"clock offset {sfo.median:.2f} ppm (spread {sfo.spread:.2f} ppm); the receiver follows it by itself",
            f"correction: rx.freq_correction_ppm={result.correction_ppm:.4f}"
            + (f" (was {hardware.rx.freq_correction_ppm:g})" if hardware.rx.freq_correction_ppm else ""),
        ]
    return lines + [f"advice: {hint}" for hint in result.advice]


def as_json(result: Calibration, argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """The result as plain values; unknown is null. `meta` is that of report.json."""
    hardware, offset, level = result.hardware, result.offset, result.recommendation.level
    return {
        "meta": run_meta(argv, seed=seed),
        "radio": hardware.model_dump(mode="json"),
        "sweep": result.sweep,
        "noise_dbfs": result.noise_dbfs,
        "noise_clipped_fraction": result.noise_clipped_fraction,
        "levels": [_level(each) for each in result.levels],
        "ending": result.ending,
        "offset": None if offset is None else {
            "cfo_hz": _spread(offset.cfo_hz), "cfo_ppm": result.cfo_ppm, "sfo_ppm": _spread(offset.sfo_ppm),
            "correction_ppm": result.correction_ppm,
        },
        "recommended": None if level is None else {"tx_gain_db": level.tx_gain_db, "backoff_db": level.backoff_db},
        "reason": result.recommendation.reason,
        "advice": result.advice,
    }  # fmt: skip


def _level(level: LevelFigures) -> dict[str, Any]:
    plain = {key: value for key, value in dataclasses.asdict(level).items() if not isinstance(value, tuple)}
    finite = {key: value if value is None or math.isfinite(value) else None for key, value in plain.items()}
    return finite | {"cfo_hz": _median(level.cfo_hz), "sfo_ppm": _median(level.sfo_ppm)}


def _spread(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "spread": spread.spread, "n": spread.n}


def write_calibration(out: Path, result: Calibration, argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Writes calibrate.json and calibrate.png into a folder, which is made if absent; returns what the former holds."""
    make_folder(out)
    content = as_json(result, argv, seed=seed)
    (out / "calibrate.json").write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if result.levels:
        draw(out / "calibrate.png", result)
    return content


def write_calibrated(
    path: Path, source: str, settings: Mapping[str, str], result: Calibration, *, may_overwrite: bool = False
) -> None:
    """Writes a copy of the profile, as it was used, with correction and recommended level.

    Args:
        path: Of the copy.
        source: The profile's name or file.
        settings: What was changed of it for this run, as `parse_overrides` gives it.
        result: See `Calibration.profile_values`.
        may_overwrite: Whether a file that is there may go.

    Raises:
        ConfigError: It may not go there, or no burst was found.
    """
    now = datetime.now(UTC).isoformat(timespec="minutes")
    offset = result.offset
    spread = "" if offset is None else f", {offset.cfo_hz.n} bursts, spread {offset.cfo_hz.spread:.1f} Hz"
    note = f"Calibrated by `gened calibrate` on {now}{spread}; the gain is the one it recommends: it radiates."
    changed = {key: parse_yaml(text, f"--set {key}={text}") if text else "" for key, text in settings.items()}
    values = {**changed, **result.profile_values()}
    write_profile(source, path, values, note=note, may_overwrite=may_overwrite)


def draw(path: Path, result: Calibration) -> None:
    """A picture of the sweep: SNR, received level and clipping against the transmit level."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2.4, 1.6))
    x = [_abscissa(result, level) for level in result.levels]
    _draw_snr(axes[0], result, x)
    _draw_levels(axes[1], result, x)
    _draw_clipping(axes[2], result, x)
    what = "transmit gain, dB" if result.sweep == "gain" else "mean power under full scale at the transmitter, dB"
    axes[2].set_xlabel(f"{what}, weakest first")
    chosen = result.recommendation.level
    for axis in axes:
        axis.grid(color="#d9dce2", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        if chosen is not None:
            label = "recommended" if axis is axes[0] else None
            axis.axvline(_abscissa(result, chosen), color=GREEN, linewidth=1.2, linestyle="--", label=label)
        axis.legend(frameon=False, fontsize="small")
    offset = result.offset
    title = f"{result.hardware.name}, {(result.hardware.tx.center_freq or 0) / 1e6:g} MHz"
    if offset is not None:
        title += f": carrier offset {offset.cfo_hz.median:,.1f} Hz ({result.cfo_ppm:.3f} ppm)"
    axes[0].set_title(title, fontsize="medium", loc="left")
    figure.savefig(path)


def _abscissa(result: Calibration, level: LevelFigures) -> float:
    return level.tx_gain_db if result.sweep == "gain" else -level.backoff_db


def _draw_snr(axis: Any, result: Calibration, x: list[float]) -> None:
    for key, label, color, marker in (
        ("snr_est_db", "as the receiver estimates it", BLUE, "o"),
        ("snr_evm_db", "against the known symbols (EVM)", RED, "D"),
    ):
        there = [(at, getattr(level, key)) for at, level in zip(x, result.levels, strict=True) if level.n_found]
        axis.plot(
            *zip(*there, strict=True) if there else ([], []), color=color, marker=marker, markersize=4, label=label
        )
    missed = [at for at, level in zip(x, result.levels, strict=True) if not level.n_found]
    if missed:
        low = axis.get_ylim()[0]
        axis.plot(missed, [low] * len(missed), "x", color=GREY, label="no burst found", clip_on=False)
    axis.set_ylabel("SNR (Es/N0), dB")


def _draw_levels(axis: Any, result: Calibration, x: list[float]) -> None:
    axis.plot(
        x, [level.peak_dbfs for level in result.levels], color=RED, marker="^", markersize=4, label="peak of I or Q"
    )
    axis.plot(x, [level.rx_dbfs for level in result.levels], color=BLUE, marker="o", markersize=4, label="mean power")
    axis.axhline(result.noise_dbfs, color=GREY, linewidth=1, linestyle=":", label="noise, transmitter mute")
    axis.axhline(0, color="#16181d", linewidth=1)
    axis.set_ylabel("received, dBFS")


def _draw_clipping(axis: Any, result: Calibration, x: list[float]) -> None:
    for key, label, color, marker in (
        ("clipped_fraction", "receiver", RED, "o"),
        ("tx_clipped_fraction", "transmitter", BLUE, "s"),
    ):
        shares = [100 * getattr(level, key) for level in result.levels]
        axis.plot(x, shares, color=color, marker=marker, markersize=4, label=label)
    axis.axhline(100 * CLIPPED_SHARE, color=GREY, linewidth=1, linestyle=":", label="most that is recommended")
    axis.set_yscale("symlog", linthresh=0.01)
    axis.set_ylim(0, 100)
    axis.set_ylabel("clipped samples, %")
