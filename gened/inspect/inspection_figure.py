# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the anatomy of a burst as one figure of 1600x1200 pixels.

```text
time envelope with its parts ------------------------------ | detection metric
spectrum      | channel, magnitude | phase and group delay  | pilot phase
header symbols| caption, side      | picture symbols        | noise variance, claimed and measured
```
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.sync.detector import CANDIDATE_THRESHOLD, COHERENCE_THRESHOLD
from gened.inspect.anatomy import spectrum
from gened.inspect.anatomy_records import Anatomy, Section
from gened.inspect.inspection_report import title_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_INCHES, DPI = (16.0, 12.0), 100
INK, GREY, FAINT = "#16181d", "#666c78", "#d9dce2"
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
"""Okabe and Ito, "Color Universal Design", 2008: distinguishable with any colour vision."""
PART_COLORS = {
    "preamble": INK, "header": ORANGE, "side information": GREEN, "caption": PINK, "picture": SKY, "padding": GREY,
}  # fmt: skip
N_COLUMNS = 1200
"""Most points of the envelope, about one per pixel."""
MAX_POINTS = 6000
METRIC_REACH = 1100
"""Samples shown on either side of the start of the burst."""
MAX_DELAY = 24
"""Largest group delay shown, samples. One beyond the prefix of 16 is due to a zero of the channel, not to a path."""


def draw(path: Path, anatomy: Anatomy, place: str = "") -> None:
    """Write the figure to a file.

    Args:
        path: File, .png or another format of matplotlib by its ending.
        anatomy: Burst from `dissect`.
        place: Name of the source, for the title.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a caption may be in any script
        make_figure(anatomy, place).savefig(path)


def make_figure(anatomy: Anatomy, place: str = "") -> Figure:
    """Make the figure; arguments as `draw`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 4, height_ratios=(1.0, 1.0, 1.15), left=0.05, right=0.955, bottom=0.05, top=0.885, hspace=0.3, wspace=0.36
    )
    slots = [figure.add_subplot(grid[0, :3]), figure.add_subplot(grid[0, 3])]
    slots += [figure.add_subplot(grid[1, column]) for column in range(4)]
    slots += [figure.add_subplot(grid[2, column]) for column in range(3)]
    _narrow(slots[4])
    maps = grid[2, 3].subgridspec(2, 1, hspace=0.14)
    drawers = (
        _envelope, _metric, _spectrum, _magnitude, _phase, _pilots, _header_symbols, _digital_symbols, _picture_symbols,
    )  # fmt: skip
    for axis, drawer in zip(slots, drawers, strict=True):
        _plain(axis)
        drawer(axis, anatomy)
    _noise_maps(figure, figure.add_subplot(maps[0]), figure.add_subplot(maps[1]), anatomy)
    for row, line in enumerate(title_lines(anatomy, place)):
        is_fault = line == anatomy.fault
        figure.text(
            0.02, 0.968 - 0.0215 * row, line, fontsize=12.5, color=ORANGE if is_fault else INK,
            fontweight="bold" if is_fault else "normal", parse_math=False,
        )  # fmt: skip
    return figure


def _narrow(axis: Any) -> None:
    """Narrow a panel to leave room for a second scale on the right."""
    box = axis.get_position()
    axis.set_position((box.x0, box.y0, 0.84 * box.width, box.height))


def _plain(axis: Any) -> None:
    axis.grid(color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=10)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, fontsize=11, loc="left", fontweight="bold")


def _missing(axis: Any, reason: str) -> None:
    """Draw an empty panel with the reason."""
    axis.grid(False)
    axis.set(xticks=[], yticks=[])
    axis.set_facecolor("#f2f3f5")
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=GREY, fontsize=11, wrap=True)


def _origin(anatomy: Anatomy) -> str:
    return "the burst's start" if anatomy.parts else f"sample {anatomy.start:,}"


# Time


def _envelope(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "time envelope")
    magnitude = np.abs(anatomy.samples)
    step = max(1, -(-len(magnitude) // N_COLUMNS))
    rows = magnitude[: len(magnitude) // step * step].reshape(-1, step)
    per_ms = 1e3 / anatomy.sample_rate
    times = (np.arange(len(rows)) * step + 0.5 * step + anatomy.first - anatomy.start) * per_ms
    axis.fill_between(times, rows.min(1), rows.max(1), color="#b9bec8", linewidth=0, label="min to max")
    n_mean = min(max(1, WAVEFORM.symbol_len // (4 * step)), len(rows))
    power = np.convolve(np.mean(rows**2, axis=1), np.ones(n_mean) / n_mean, "same")
    axis.plot(times, np.sqrt(power), color=INK, linewidth=1.1, label="RMS")
    top = 1.25 * float(magnitude.max(initial=1e-9))
    for part in anatomy.parts:
        color = PART_COLORS[part.name]
        begin, end = part.begin * per_ms, part.end * per_ms
        axis.axvspan(begin, end, color=color, alpha=0.13, linewidth=0)
        axis.axvspan(begin, end, ymin=0.94, color=color, linewidth=0, label=part.name)
    axis.set(xlabel=f"time from {_origin(anatomy)}, ms", ylabel="magnitude (1: full scale)", ylim=(0, top))
    axis.margins(x=0)
    axis.legend(
        frameon=False, fontsize=10, ncols=8, loc="lower right", bbox_to_anchor=(1.0, 0.99), borderaxespad=0,
        columnspacing=1.1, handlelength=1.2,
    )  # fmt: skip


def _metric(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "detection metric")
    at = np.arange(len(anatomy.metric)) + anatomy.first - anatomy.start
    shown = slice(None) if not anatomy.parts else np.abs(at) <= METRIC_REACH
    axis.plot(at[shown], anatomy.metric[shown], color=BLUE, linewidth=1.4, label="halves alike (lag 256)")
    axis.axhline(CANDIDATE_THRESHOLD, color=BLUE, linewidth=1, linestyle=":")
    if len(anatomy.coherence):
        axis.plot(at[shown], anatomy.coherence[shown], color=ORANGE, linewidth=1.2, label="known preamble")
        axis.axhline(COHERENCE_THRESHOLD, color=ORANGE, linewidth=1, linestyle=":")
    axis.plot([], [], color=GREY, linewidth=1, linestyle=":", label="thresholds")
    axis.set(xlabel=f"samples from {_origin(anatomy)}", ylabel="share of the energy, 0 to 1", ylim=(0, 1.32))
    axis.set_yticks(np.arange(0, 1.01, 0.2))
    axis.margins(x=0)
    axis.legend(frameon=False, fontsize=10, loc="upper left", borderaxespad=0.1, labelspacing=0.3)


# Frequency


def _spectrum(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "spectrum")
    pieces = [(anatomy.burst, BLUE, "burst"), (anatomy.noise, GREY, "before it")]
    if not anatomy.parts:
        pieces = [(anatomy.samples, BLUE, "all samples")]
    levels = []
    for samples, color, label in pieces:
        if np.any(samples):
            freqs, density = spectrum(samples, anatomy.sample_rate)
            level_db = 10 * np.log10(np.maximum(density, 1e-9 * density.max()))
            axis.plot(freqs / 1e3, level_db, color=color, linewidth=1.1, label=label)
            levels.append(level_db)
    if anatomy.cfo_norm is not None:
        middle_khz = anatomy.cfo_norm * anatomy.sample_rate / 1e3
        half_khz = WAVEFORM.n_occupied / WAVEFORM.n_fft / 2 * anatomy.sample_rate / 1e3
        axis.axvline(middle_khz, color=ORANGE, linewidth=1, linestyle="--", label="carrier, band")
        for edge_khz in (middle_khz - half_khz, middle_khz + half_khz):
            axis.axvline(edge_khz, color=ORANGE, linewidth=1, linestyle=":")
    if levels:
        low = min(float(np.percentile(level_db, 2)) for level_db in levels)
        high = max(float(level_db.max()) for level_db in levels)
        span = max(high - low, 6.0)
        axis.set_ylim(low - 0.12 * span, high + 0.42 * span)
        axis.legend(frameon=False, fontsize=10, ncols=2, loc="upper left", borderaxespad=0.1, columnspacing=1.0)
    axis.set(xlabel="frequency, kHz", ylabel="power density, dB re 1/Hz")
    axis.margins(x=0)


def _magnitude(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "channel: magnitude")
    if anatomy.channel is None:
        return _missing(axis, "no preamble")
    level_db, ends_db = anatomy.channel.magnitude_db, anatomy.channel.ends_db
    drawn = [(level_db, BLUE, "-", 1.6, "middle")]
    if ends_db is not None:
        drawn += [(ends_db[0], GREY, "--", 1.2, "first symbol"), (ends_db[1], ORANGE, ":", 1.6, "last")]
    for line_db, color, style, width, name in drawn:
        for index, (carriers, values) in enumerate(_bands(line_db)):
            label = name if index == 0 else None
            axis.plot(carriers, values, color=color, linestyle=style, linewidth=width, label=label)
    everything = np.concatenate([line[0] for line in drawn])
    low, high = max(float(everything.min()), -45.0), float(everything.max())
    if ends_db is not None:
        high += 0.25 * (high - low)
        axis.legend(frameon=False, fontsize=10, ncols=3, loc="upper center", handlelength=1.4, columnspacing=0.8)
    pad = max(0.1 * (high - low), 1.0)
    axis.set(xlabel="carrier number", ylabel="gain over its mean, dB", ylim=(low - pad, high + pad))
    axis.set_xticks([-100, -50, 0, 50, 100])
    return None


def _phase(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "channel: phase, group delay")
    if anatomy.channel is None:
        return _missing(axis, "no preamble")
    delays = axis.twinx()
    delays.spines[["top"]].set_visible(False)
    delays.tick_params(labelsize=10, colors=ORANGE)
    degrees, delay = np.rad2deg(anatomy.channel.phase_rad), anatomy.channel.group_delay
    for (carriers, phases), (_, values) in zip(_bands(degrees), _bands(delay), strict=True):
        axis.plot(carriers, phases, color=BLUE, linewidth=1.6)
        delays.plot(carriers, values, color=ORANGE, linewidth=1.2, linestyle="--")
    reach = max(20.0, 1.15 * float(np.abs(degrees).max()))
    axis.set(xlabel="carrier number", ylim=(-reach, reach))
    axis.set_ylabel("phase (solid), degrees", color=BLUE)
    axis.tick_params(axis="y", colors=BLUE)
    axis.set_xticks([-100, -50, 0, 50, 100])
    low, high = (float(np.clip(value, -MAX_DELAY, MAX_DELAY)) for value in (delay.min(), delay.max()))
    middle, half = (low + high) / 2, max(1.0, 0.65 * (high - low))
    delays.set_ylim(middle - half, middle + half)
    delays.set_ylabel("group delay (dashed), samples", color=ORANGE)
    return None


def _bands(values: npt.NDArray[np.float64]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Slices of the carriers below and above DC, where there is no carrier."""
    half = WAVEFORM.n_occupied // 2
    return [(WAVEFORM.carriers[:half], values[:half]), (WAVEFORM.carriers[half:], values[half:])]


def _pilots(axis: Any, anatomy: Anatomy) -> None:
    _title(axis, "pilot phase")
    if anatomy.pilots is None:
        return _missing(axis, "no pilots")
    times = anatomy.pilots.times * 1e3 / anatomy.sample_rate
    before, after = np.rad2deg(anatomy.pilots.before_rad), np.rad2deg(anatomy.pilots.after_rad)
    axis.plot(times, before, color=ORANGE, linewidth=1.2, marker="^", markersize=4, label="before correction")
    axis.plot(times, after, color=BLUE, linewidth=1.2, marker="o", markersize=3.5, label="after")
    low, high = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
    span = max(high - low, 10.0)
    axis.set(xlabel="time from the burst's start, ms", ylabel="common phase, degrees")
    axis.set_ylim(low - 0.1 * span, high + 0.3 * span)
    axis.legend(frameon=False, fontsize=10, ncols=2, loc="upper left", borderaxespad=0.1, columnspacing=1.0)
    return None


# Cells


def _header_symbols(axis: Any, anatomy: Anatomy) -> None:
    _constellation(axis, "header symbols: mode, CRC, EVM", [(anatomy.section("header"), ORANGE, "o")], "no preamble")


def _digital_symbols(axis: Any, anatomy: Anatomy) -> None:
    shown = [(anatomy.section("side information"), GREEN, "^"), (anatomy.section("caption"), PINK, "o")]
    reason = "none in this burst" if not anatomy.fault else "not read"
    _constellation(axis, "caption, side: mode, CRC, EVM", shown, reason)


def _picture_symbols(axis: Any, anatomy: Anatomy) -> None:
    reason = "none in this burst" if not anatomy.fault else "not read"
    _constellation(axis, "picture symbols, analogue", [(anatomy.section("picture"), BLUE, "o")], reason)


def _constellation(axis: Any, title: str, shown: list[tuple[Section | None, str, str]], reason: str) -> None:
    _title(axis, title)
    there = [(section, color, marker) for section, color, marker in shown if section is not None]
    if not there:
        return _missing(axis, reason)
    limit = max(_limit(section.symbols) for section, _, _ in there)
    for section, color, marker in there:
        symbols = section.symbols[:: max(1, -(-len(section.symbols) // MAX_POINTS))]
        size, alpha = (3.0, 0.5) if len(symbols) < 2000 else (2.2, 0.3)
        axis.plot(
            symbols.real, symbols.imag, marker, color=color, markersize=size, alpha=alpha, markeredgewidth=0,
            rasterized=True,
        )  # fmt: skip
        axis.plot([], [], marker, color=color, markersize=6, label=_label(section))
    points = np.concatenate([section.points for section, _, _ in there])
    axis.plot(points.real, points.imag, "+", color=INK, markersize=10, markeredgewidth=1.6)
    axis.set_xlabel("in phase (unit energy)")
    axis.set_ylabel("quadrature (unit energy)")
    _square(axis, limit, room=(0.06 + 0.17 * len(there)) * limit)
    axis.legend(frameon=False, fontsize=9.5, loc="upper left", borderaxespad=0.1, handletextpad=0.2, labelspacing=0.3)
    return None


def _square(axis: Any, limit: float, *, room: float) -> None:
    """Set limits with the same scale on both axes, at least `limit`, with `room` above them for the legend."""
    box, (width, height) = axis.get_position(), SIZE_INCHES
    ratio = box.width * width / (box.height * height)
    low, high = -limit, limit + room
    half = 0.5 * ratio * (high - low)
    if half < limit:  # a narrow panel: what lacks in width is added in height
        low, high, half = low - (limit - half) / ratio, high + (limit - half) / ratio, limit
    axis.set(xlim=(-half, half), ylim=(low, high))


def _label(section: Section) -> str:
    if section.mode is None:
        return f"{len(section.symbols):,} symbols"
    state = "CRC fails" if section.crc_ok is False else "CRC ok"
    evm = "" if section.evm_db is None else f", {section.evm_db:.1f} dB"
    return f"{section.name.removesuffix(' information')} {section.mode}, {state}{evm}"


def _limit(symbols: npt.NDArray[np.complex64]) -> float:
    """Half the side of the panel, such that nearly all symbols are within."""
    parts = np.abs(np.concatenate([symbols.real, symbols.imag]))
    parts = parts[np.isfinite(parts)]
    return 1.8 if len(parts) == 0 else float(np.clip(1.15 * np.quantile(parts, 0.99), 1.6, 4.0))


def _noise_maps(figure: Any, claimed: Any, measured: Any, anatomy: Anatomy) -> None:
    _title(claimed, "noise variance of the symbols")
    if anatomy.elements is None:
        for axis in (claimed, measured):
            _missing(axis, "no preamble")
        return
    maps = [_decibels(values) for values in (anatomy.elements.noise_var, anatomy.elements.error_var)]
    finite = np.concatenate([values[np.isfinite(values)] for values in maps] or [np.zeros(1)])
    low, high = (-1.0, 1.0) if len(finite) == 0 else (float(np.quantile(finite, share)) for share in (0.01, 0.99))
    middle, half = (low + high) / 2, max(3.0, (high - low) / 2)
    edges = (float(WAVEFORM.carriers[0]), float(WAVEFORM.carriers[-1]), float(len(maps[0])), 0.0)
    for axis, values, label in (
        (claimed, maps[0], "as claimed"),
        (measured, maps[1], "as measured at known symbols"),
    ):
        axis.set_facecolor("#f2f3f5")
        image = axis.imshow(
            values, aspect="auto", interpolation="nearest", cmap="cividis", extent=edges, vmin=middle - half,
            vmax=middle + half,
        )  # fmt: skip
        axis.set_ylabel("symbol", fontsize=10)
        axis.locator_params(axis="y", nbins=5, integer=True)
        axis.tick_params(labelsize=10)
        axis.text(
            0.02, 0.94, label, transform=axis.transAxes, va="top", fontsize=10, color=INK,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2.5},
        )  # fmt: skip
        axis.set_xticks([-100, -50, 0, 50, 100])
    claimed.tick_params(labelbottom=False)
    measured.set_xlabel("carrier number")
    bar = figure.colorbar(image, ax=[claimed, measured], fraction=0.06, pad=0.05)
    bar.set_label("noise over symbol energy, dB", fontsize=10)
    bar.ax.tick_params(labelsize=10)


def _decibels(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        level_db = 10 * np.log10(values)
    return np.where(np.isfinite(level_db), level_db, np.nan)
