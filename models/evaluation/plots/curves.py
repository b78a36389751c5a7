# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of results of `gened evaluate`: one line per codec, with its 95 % interval as a band where it is known.

Texts stay texts: TrueType fonts (Type 42) in PDF, which publishers accept, and characters in SVG.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gened.errors import ConfigError
from gened.models.evaluation.metrics.registry import FIGURES
from gened.models.evaluation.plots.lines import (
    COUNTS,
    LABELS,
    Line,
    Results,
    lines,
    picture_size,
    unequal,
)
from gened.models.evaluation.plots.style import SIZES, PlotStyle, Size, line_styles, parse_limits
from gened.models.evaluation.run.files import require_writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.transforms import Bbox


Place = Literal[
    "upper left", "upper right", "lower left", "lower right", "center right", "center left", "upper center",
    "lower center", "center",
]  # fmt: skip
PLACES: tuple[Place, ...] = (
    "upper left", "upper right", "lower left", "lower right", "center right", "center left", "upper center",
    "lower center", "center",
)  # fmt: skip
"""Places of a legend inside the axes, the most usual first."""
CLEARANCE = 4.0
"""Smallest distance between the legend and a line, points."""
MAX_LEGEND = 0.6
"""Largest share of the width and of the height of the axes that a legend inside them may take."""
LEGEND_FONT = 0.9
"""Size of the legend's texts, in units of the font size."""
EM = 0.56
"""Mean width of a character, in units of the font size."""
GREY, FAINT, WARNING = "#666c78", "#d9dce2", "#9c2f00"
BAND_ALPHA = 0.13


def plot(
    results: Results,
    out: Path,
    *,
    x: str = "snr_db",
    y: str = "psnr_db",
    by: str | None = None,
    style: PlotStyle | None = None,
) -> list[str]:
    """Write a plot; the suffix of the file selects the format (png, pdf, svg).

    Args:
        results: Name of the file and what `read_result` gave.
        out: The picture file.
        x: Key along the abscissa.
        y: Key along the ordinate.
        by: A further key of a row; each of its values is a line of its own.
        style: Size, texts and axes.

    Returns:
        What the user must know besides the plot: in which conditions the lines differ. The plot marks it, too.

    Raises:
        ConfigError: See `lines`; a suffix that matplotlib does not know; or a style that does not fit the lines.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = style or PlotStyle()
    found = lines(results, x=x, y=y, by=by)
    names = _names(found, style)
    _check_log(found, style)
    require_writable(out)
    kind = out.suffix[1:].lower()
    kinds = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if kind not in kinds:
        raise ConfigError(f"'{out.name}' is no kind of picture; end it in one of .{', .'.join(sorted(kinds))}")
    with mpl.rc_context(_settings(style.page)):
        figure = Figure(figsize=(style.page.width, style.page.height), dpi=style.page.dpi, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        has_bands = _draw(axes, found, names, style)
        _write_texts(axes, results, found, x=x, y=y, style=style, has_bands=has_bands)
        _place_legend(figure, axes, style)
        figure.savefig(out, **_without_date(kind))
    return [f"the lines are not measured alike: {_marked(found, details=True)}"] if unequal(found) else []


def _settings(size: Size) -> Any:
    """Settings of matplotlib: fonts that publishers accept, and widths that fit the size of the texts."""
    scale = size.font / 10
    return {
        "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "gened",
        "font.size": size.font, "axes.linewidth": 0.8 * scale, "lines.linewidth": 1.5 * scale,
        "lines.markersize": 5 * scale, "grid.linewidth": 0.6 * scale, "axes.unicode_minus": True,
    }  # fmt: skip


def _without_date(kind: str) -> dict[str, Any]:
    """Options of `savefig` that leave out the date, so that the same results give the same file."""
    dated = {"pdf": "CreationDate", "svg": "Date"}
    return {"metadata": {dated[kind]: None}} if kind in dated else {}


def _names(found: Sequence[Line], style: PlotStyle) -> list[str]:
    if not style.labels:
        return [line.label for line in found]
    if len(style.labels) != len(found):
        raise ConfigError(
            f"{len(style.labels)} of --label for {len(found)} lines; the lines are {'; '.join(e.label for e in found)}"
        )
    return list(style.labels)


def _check_log(found: Sequence[Line], style: PlotStyle) -> None:
    for is_log, name, limits in (
        (style.is_log_x, "x", style.x_limits),
        (style.is_log_y, "y", style.y_limits),
    ):
        values = [value for line in found for value in (line.x if name == "x" else line.y)]
        values += [end for end in parse_limits(limits) if end is not None]
        if is_log and min(values) <= 0:
            raise ConfigError(f"--log-{name}: a logarithmic axis cannot show {min(values):g}")


def _draw(axes: Axes, found: Sequence[Line], names: Sequence[str], style: PlotStyle) -> bool:
    """Draws lines and bands; returns whether there are bands."""
    has_bands = False
    for line, name, look in zip(found, names, line_styles(len(found)), strict=True):
        axes.plot(line.x, line.y, color=look.color, marker=look.marker, linestyle=look.dashes, label=name)
        if line.low is not None and line.high is not None and not style.has_no_bands:
            axes.fill_between(line.x, line.low, line.high, color=look.color, alpha=BAND_ALPHA, linewidth=0)
            has_bands = True
    if style.is_log_x:
        axes.set_xscale("log")
    if style.is_log_y:
        axes.set_yscale("log")
    axes.set_xlim(*parse_limits(style.x_limits))
    axes.set_ylim(*parse_limits(style.y_limits))
    axes.grid(color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    return has_bands


def _write_texts(
    axes: Axes, results: Results, found: Sequence[Line], *, x: str, y: str, style: PlotStyle, has_bands: bool
) -> None:
    """Title, names of the axes, and below them what a reader must know."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.set_xlabel(LABELS[x] if style.x_label is None else style.x_label)
    axes.set_ylabel(LABELS[y] if style.y_label is None else style.y_label)
    small = 0.8 * style.page.font
    title = _shared(results, x, has_bands) if style.title is None else style.title
    if title:
        axes.set_title(_wrapped(title, style.page, small), fontsize=small, color=GREY, loc="left")
    notes = [f"Not measured alike: {_marked(found)}."] if unequal(found) else []
    if y in FIGURES and FIGURES[y].note:
        notes.append(FIGURES[y].note)
    if notes:
        smallest = 0.7 * style.page.font
        text = "\n".join(_wrapped(note, style.page, smallest) for note in notes)
        figure.supxlabel(text, fontsize=smallest, color=WARNING if unequal(found) else GREY)


def _marked(found: Sequence[Line], *, details: bool = False) -> str:
    """The conditions in which lines differ, with their values on request."""
    marked = unequal(found)
    return ", ".join(f"{name} ({', '.join(values)})" if details else name for name, values in marked.items())


def _shared(results: Results, x: str, has_bands: bool) -> str:
    """The properties that all lines share: data, size, channel, rate or SNR."""
    parts: list[set[str]] = [set(), set(), set(), set()]
    for _, result in results:
        meta, data = result["meta"], result["meta"].get("data")
        parts[0].add(f"{data['pictures']} pictures of {data['name']}" if data else f"{result['rows'][0]['n']} pictures")
        parts[1].add(picture_size(meta))
        for row in result["rows"]:
            parts[2].add(str(row["channel"]))
            parts[3].add(f"{row['snr_db']:g} dB" if x in COUNTS else f"rate {row['rate']}")
    shared = [next(iter(part)) for part in parts if len(part) == 1]
    return ", ".join([*shared, "bands: 95 % intervals"] if has_bands else shared)


def _wrapped(text: str, size: Size, font: float) -> str:
    """A text in lines that fit the width of the plot."""
    return textwrap.fill(text, max(12, int(72 * (size.width - 0.5) / (EM * font))))


# The legend


def _place_legend(figure: Figure, axes: Axes, style: PlotStyle) -> None:
    """Places the legend where it covers no line: inside the axes if it fits there, otherwise below them."""
    if style.legend == "none":
        return
    font = LEGEND_FONT * style.page.font
    if style.legend == "auto":
        for place in PLACES:
            legend = axes.legend(frameon=False, loc=place, fontsize=font)
            figure.draw_without_rendering()
            if not _covers(legend, axes, style.page):
                return
            legend.remove()
    handles, names = axes.get_legend_handles_labels()
    names = [_wrapped(name, style.page, 1.2 * font) for name in names]  # there are handles, too
    for n_columns in range(min(4, len(names)), 0, -1):
        legend = figure.legend(
            handles, names, frameon=False, loc="outside lower center", ncols=n_columns, fontsize=font
        )
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or n_columns == 1:
            break
        legend.remove()
    if style.size in SIZES:  # a preset is a width; the legend takes none of the height of the axes
        figure.set_size_inches(style.page.width, style.page.height + box.height / figure.dpi)


def _covers(legend: Legend, axes: Axes, size: Size) -> bool:
    """Whether a legend covers a part of a line or a band, or takes most of the axes."""
    clearance = CLEARANCE * size.dpi / 72
    box: Bbox = legend.get_window_extent().padded(clearance)
    inside = axes.get_window_extent()
    if box.width > MAX_LEGEND * inside.width or box.height > MAX_LEGEND * inside.height:
        return True
    paths = [line.get_transform().transform_path(line.get_path()) for line in axes.get_lines()]
    if any(path.intersects_bbox(box, filled=False) for path in paths):
        return True
    bands = [band.get_transform().transform_path(path) for band in axes.collections for path in band.get_paths()]
    return any(path.intersects_bbox(box, filled=True) for path in bands)
