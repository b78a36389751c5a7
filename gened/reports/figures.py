# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a frame: sent and received picture side by side with caption and measurements, and the constellation.

Pillow lays out the page of pictures: it takes 16 ms of CPU time per frame, matplotlib 160 ms, and matplotlib can
neither limit a caption to four lines nor place a picture without resampling it to its axes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from gened.gr_blocks.phy.types import ComplexArray
from gened.models.data.fonts import Font, load_font
from gened.models.data.images import Mask, Pixels
from gened.reports.report import FrameReport

MARGIN = 32
GAP = 24
PANEL_SIDE = 560
"""The longer side of each picture; smaller ones are enlarged, larger ones reduced."""
INK, GREY, FAINT, PAPER, GOOD, BAD = "#16181d", "#666c78", "#d9dce2", "#ffffff", "#14734a", "#b3261e"
MASK_INK, MASK_EDGE = (255, 196, 0), (22, 24, 29)
MASK_LINE = 3
"""Pixels of the outline of what is important; a dark line lies on either side, so that it is seen on any picture."""
N_COLUMNS = 4
MAX_CAPTION_LINES = 4
MAX_POINTS = 5000


def _panel(pixels: Pixels | None, size: tuple[int, int], note: str, mask: Mask | None) -> Image.Image:
    """A picture in its place with what is important outlined, or a grey field that says why there is none."""
    if pixels is not None:
        height, width = pixels.shape[:2]
        is_enlarged = size[0] > width
        panel = Image.fromarray(pixels).resize(
            size, Image.Resampling.BICUBIC if is_enlarged else Image.Resampling.LANCZOS
        )
        return panel if mask is None else _outlined(panel, mask)
    field = Image.new("RGB", size, FAINT)
    ImageDraw.Draw(field).text((size[0] / 2, size[1] / 2), note, fill=GREY, font=load_font(18), anchor="mm")
    return field


def _outlined(panel: Image.Image, mask: Mask) -> Image.Image:
    """The border of what is important, drawn on its inner side, so that it is closed at the picture's edge too."""
    inside = np.asarray(Image.fromarray(mask).resize(panel.size, Image.Resampling.NEAREST)) >= 128
    layers = [inside]
    for n in (1, MASK_LINE, 1):  # dark, bright, dark
        layers.append(binary_erosion(layers[-1], np.ones((3, 3)), iterations=n))
    drawn = np.array(panel)
    drawn[inside & ~layers[3]] = MASK_EDGE
    drawn[layers[1] & ~layers[2]] = MASK_INK
    return Image.fromarray(drawn)


def wrapped(text: str, font: Font, width: int, max_lines: int) -> list[str]:
    """A text in lines no wider than `width` pixels; what does not fit ends in an ellipsis. Long words are cut."""
    lines = [""]
    for word in " ".join(text.split()).split(" "):
        rest = word
        while rest:
            trial = f"{lines[-1]} {rest}".strip()
            if font.getlength(trial) <= width:
                lines[-1], rest = trial, ""
            elif lines[-1]:
                lines.append("")
            else:
                n_fitting = max(1, next((n for n in range(len(rest), 0, -1) if font.getlength(rest[:n]) <= width), 1))
                lines[-1], rest = rest[:n_fitting], rest[n_fitting:]
                lines += [""] if rest else []
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], f"{last}…"]
    return lines


def _pair(first: float | None, second: float | None, pattern: str, unit: str) -> str:
    texts = ["–" if value is None else f"{value:z{pattern}}" for value in (first, second)]  # z: no minus before a zero
    return f"{texts[0]} / {texts[1]} {unit}"


def figures_of(report: FrameReport) -> list[tuple[str, str]]:
    """Label and value of what is drawn beneath the pictures; a dash for what is unknown."""

    def one(value: float | None, pattern: str, unit: str = "") -> str:
        return "–" if value is None else f"{value:{pattern}} {unit}".strip()

    symbols = (report.analog_symbols, report.side_symbols, report.caption_symbols)
    return [
        ("PSNR", one(report.psnr_db, ".2f", "dB")),
        ("MS-SSIM", one(report.ms_ssim, ".4f")),
        ("SNR set / measured", _pair(report.snr_set_db, report.snr_est_db, ".1f", "dB")),
        ("carrier offset set / measured", _pair(report.cfo_set_hz, report.cfo_est_hz, ",.0f", "Hz")),
        ("symbols analogue + side + caption", " + ".join("–" if n is None else f"{n:,}" for n in symbols)),
        ("airtime", one(None if report.airtime_s is None else 1e3 * report.airtime_s, ".1f", "ms")),
        ("symbols lost", one(None if report.erased_fraction is None else 100 * report.erased_fraction, ".1f", "%")),
        ("encoding / decoding", _pair(report.encode_ms, report.decode_ms, ".0f", "ms")),
    ]


def side_by_side(
    sent: Pixels | None,
    received: Pixels | None,
    report: FrameReport,
    mask: Mask | None = None,
    *,
    edited: Pixels | None = None,
) -> Pixels:
    """The pictures, the caption as it arrived, and the figures, on white.

    Args:
        sent: [H, W, 3] uint8, or None where only the receiver is known.
        received: The same; None when the frame was lost.
        report: Of this frame.
        mask: [H, W] uint8, what is important as the receiver knows it; its outline is drawn on sent and received.
        edited: What the editor made of it, a third picture; None: no third picture.

    Returns:
        [H', W', 3] uint8; about 1200 pixels wide for two pictures, 1780 for three, whatever their size.
    """
    shape = next((picture.shape for picture in (sent, received) if picture is not None), (3, 4, 3))
    scale = PANEL_SIDE / max(shape[:2])
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    column = max(size[0], PANEL_SIDE)
    panels = [("sent", sent, "not known here", mask), ("received", received, "lost", mask)]
    if edited is not None:
        panels.append(("edited", edited, "", None))
    width = 2 * MARGIN + len(panels) * column + (len(panels) - 1) * GAP
    caption, caption_ink = _caption(report)
    caption_font = load_font(22, "-Oblique" if caption_ink == INK else "")
    lines = wrapped(caption, caption_font, width - 2 * MARGIN, MAX_CAPTION_LINES)
    figures = figures_of(report)
    caption_top = MARGIN + 34 + size[1] + 22
    figures_top = caption_top + 32 * len(lines) + 24
    height = figures_top + 58 * -(-len(figures) // N_COLUMNS) + MARGIN - 8
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    for index, (title, pixels, note, outline) in enumerate(panels):
        left = MARGIN + index * (column + GAP)
        draw.text((left, MARGIN), title, fill=INK, font=load_font(20, "-Bold"))
        page.paste(_panel(pixels, size, note, outline), (left + (column - size[0]) // 2, MARGIN + 34))
    detail = f"frame {report.frame}, {shape[1]} x {shape[0]} pixels"
    draw.text((MARGIN + 2 * column + GAP, MARGIN + 3), detail, fill=GREY, font=load_font(16), anchor="ra")
    if edited is not None:
        by = "" if report.editor_ms is None else f"in {report.editor_ms:,.0f} ms; a guess, not a photograph"
        draw.text((width - MARGIN, MARGIN + 3), by, fill=GREY, font=load_font(16), anchor="ra")
    if mask is not None:
        note = f"outlined: important, {100 * np.mean(mask >= 128):.0f} %"
        draw.text((MARGIN + column, MARGIN + 3), note, fill=GREY, font=load_font(16), anchor="ra")
    for index, line in enumerate(lines):
        draw.text((MARGIN, caption_top + 32 * index), line, fill=caption_ink, font=caption_font)
    _draw_figures(draw, figures, figures_top, width)
    return np.asarray(page, np.uint8).copy()


def _caption(report: FrameReport) -> tuple[str, str]:
    if report.caption:
        return f"“{report.caption}”", INK
    if report.caption_partial:
        return f"the caption was damaged: {report.caption_partial}", BAD
    if report.crc_ok is False:
        return "the caption was lost", BAD
    return "no caption", GREY


def _draw_figures(draw: ImageDraw.ImageDraw, figures: Sequence[tuple[str, str]], top: int, width: int) -> None:
    """A table of label over value, `N_COLUMNS` a row, each as wide as it needs."""
    label_font, value_font = load_font(14), load_font(19)
    draw.line((MARGIN, top - 12, width - MARGIN, top - 12), fill=FAINT, width=2)
    columns = [figures[index::N_COLUMNS] for index in range(N_COLUMNS)]
    needed = [
        max(max(label_font.getlength(a), value_font.getlength(b)) for a, b in cells) for cells in columns if cells
    ]
    spare = max(0.0, width - 2 * MARGIN - sum(needed)) / max(1, len(needed) - 1)
    left = float(MARGIN)
    for cells, cell_width in zip(columns, needed, strict=False):
        for row, (label, value) in enumerate(cells):
            draw.text((left, top + 58 * row), label, fill=GREY, font=label_font)
            draw.text((left, top + 58 * row + 20), value, fill=INK, font=value_font)
        left += cell_width + spare


def constellation(digital: ComplexArray, analog: ComplexArray, report: FrameReport) -> Pixels:
    """The equalised symbols of a frame in the plane: the caption's and side information's, and the picture's.

    Args:
        digital: [n] complex, unit gain; may be empty.
        analog: [k] complex, unit gain, 0 where lost; may be empty.
        report: Of this frame.

    Returns:
        [H, W, 3] uint8.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.2), dpi=100, facecolor="white", layout="constrained")
    axes = figure.subplots(1, 2)
    n_digital = None if report.side_symbols is None else report.side_symbols + (report.caption_symbols or 0)
    for axis, symbols, title, n_sent, color in (
        (axes[0], digital, "digital: caption and side information", n_digital, "#1c5fb8"),
        (axes[1], analog, "analogue: the picture", report.analog_symbols, "#b8501c"),
    ):
        there = symbols[np.isfinite(symbols) & (symbols != 0)]
        shown = there[:: max(1, -(-len(there) // MAX_POINTS))]
        limit = _limit(shown)
        axis.plot(shown.real, shown.imag, ".", color=color, markersize=3.5, alpha=0.5, markeredgewidth=0)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="in phase", ylabel="quadrature")
        of_all = f" of {n_sent:,}" if n_sent is not None and n_sent > len(shown) else ""
        axis.set_title(f"{title}\n{len(shown):,}{of_all} symbols", fontsize=11)
        axis.grid(color="#e4e6ea", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=9)
        for spine in axis.spines.values():
            spine.set_color("#b9bec8")
    snr = "" if report.snr_est_db is None else f", SNR measured {report.snr_est_db:.1f} dB"
    figure.suptitle(f"frame {report.frame}, equalised symbols{snr}", fontsize=12, fontweight="bold")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return np.array(Image.open(drawn).convert("RGB"))


def _limit(symbols: ComplexArray) -> float:
    """Half the side of the field: nearly all symbols lie within."""
    if len(symbols) == 0:
        return 1.8
    parts = np.abs(np.concatenate([symbols.real, symbols.imag]))
    return float(np.clip(1.15 * np.quantile(parts, 0.995), 1.8, 4.0))
