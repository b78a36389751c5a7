# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots and sheets: how lines look and are named, where the outline runs, and what a pixel of the sheet shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from skimage.color import rgb2lab

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.plots.curves import plot
from gened.models.evaluation.plots.lines import Results
from gened.models.evaluation.plots.sheet import OUTLINE, draw, make_rows, make_sheet, outlined
from gened.models.evaluation.plots.style import COLORS, PlotStyle, line_styles
from gened.models.evaluation.run.measure import Setting
from tests.support.evaluation_results import data_set, result

NINE = [(name, result(name)) for name in "abcdefghi"]
UNEQUAL = [("a", result("one", meta=data_set("kodak"))), ("b", result("two", meta=data_set("sod")))]


def drawn(
    monkeypatch: pytest.MonkeyPatch, out: Path, results: list[tuple[str, dict[str, Any]]], **options: Any
) -> Figure:
    """The figure as it is saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: Any, **others: Any) -> None:
        figures.append(self)
        save(self, *arguments, **others)

    monkeypatch.setattr(Figure, "savefig", keep)
    plot(results, out, style=PlotStyle(**options))
    (figure,) = figures
    return figure


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


def test_plots_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'figure.xyz' is no kind of picture"):
        plot([("a", result("one"))], tmp_path / "figure.xyz")
    with pytest.raises(ConfigError, match="is a folder"):
        plot([("a", result("one"))], tmp_path)


def test_a_figure_has_a_line_and_a_band_of_its_colour(tmp_path: Path) -> None:
    better = result("two", snrs_db=(11.0, 14.0))
    for row in better["rows"]:
        row["snr_db"] -= 10
    plot([("a", result("one")), ("b", better)], tmp_path / "deep" / "figure.png")
    with Image.open(tmp_path / "deep" / "figure.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).astype(int)
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        near = np.abs(pixels - color).sum(2) < 12
        assert near.sum() > 500
        tinted = np.round(255 - 0.13 * (255 - np.array(color)))
        assert (np.abs(pixels - tinted).sum(2) < 6).sum() > 2000


def test_a_pdf_has_truetype_fonts(tmp_path: Path) -> None:
    plot([("a", result("one"))], tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/CIDFontType2" in content and b"/Type3" not in content  # a TrueType font; outlines as programs


def test_texts_stay_texts_in_svg_and_the_file_does_not_depend_on_the_clock(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot([("a", result("one"))], tmp_path / name)
    content = (tmp_path / "a.svg").read_text()
    assert "<text" in content and "PSNR, dB" in content
    assert content == (tmp_path / "b.svg").read_text()


def test_many_lines_share_no_colour_with_marker_or_dashes() -> None:
    styles = line_styles(32)
    assert len({(style.color, style.marker) for style in styles}) == 32
    assert len({(style.color, style.dashes) for style in styles}) == 32
    assert len({(style.color, style.marker) for style in line_styles(72)}) == 72


VISIONS = {
    "normal": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "protanopia": (0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998),
    "deuteranopia": (0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881),
    "tritanopia": (1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900),
}
"""Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009),
severity 1, for linear RGB."""


@pytest.mark.parametrize("vision", list(VISIONS))
def test_colour_blind_people_can_tell_the_colours_apart(vision: str) -> None:
    """Distance in CIELAB between any two; about 2 can just be seen side by side."""
    codes = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS]) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.reshape(VISIONS[vision], (3, 3)).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(len(lab))
    assert distances.min() > 15
    assert np.linalg.norm(lab - (100, 0, 0), axis=-1).min() > 25  # against white


@pytest.mark.parametrize("size", ["page", "one-column"])
@pytest.mark.parametrize("lines_", [NINE[:3], NINE, UNEQUAL], ids=["3", "9", "unequal"])
def test_the_legend_covers_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, lines_: Results) -> None:
    """The lines cross the axes from corner to corner; every pixel of every line is looked at."""
    lines_ = [
        (name, {**one, "rows": [{**row, "psnr_db": row["psnr_db"] + 3 * i} for row in one["rows"]]})
        for i, (name, one) in enumerate(lines_)
    ]
    figure = drawn(monkeypatch, tmp_path / "a.png", lines_, size=size)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (legend,) = [one for one in (axes.get_legend(), *figure.legends) if one is not None]
    box = legend.get_window_extent()
    assert [text.get_text() for text in legend.get_texts()] == [line.get_label() for line in axes.get_lines()]
    for line in axes.get_lines():
        ends = axes.transData.transform(line.get_xydata())
        for point in np.linspace(ends[0], ends[-1], 2000):
            assert not box.contains(*point)
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


def test_a_legend_lies_inside_where_there_is_room_and_below_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = drawn(monkeypatch, tmp_path / "a.png", NINE[:1])
    assert inside.axes[0].get_legend() is not None and not inside.legends
    monkeypatch.undo()
    below = drawn(monkeypatch, tmp_path / "a.png", NINE[:1], legend="below")
    assert below.axes[0].get_legend() is None and below.legends
    monkeypatch.undo()
    none = drawn(monkeypatch, tmp_path / "a.png", NINE[:1], legend="none")
    assert none.axes[0].get_legend() is None and not none.legends


@pytest.mark.parametrize(("size", "width", "font"), [("one-column", 3.5, 8), ("two-columns", 7.16, 8), ("page", 7, 10)])
def test_a_preset_has_the_width_of_its_column_and_fonts_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, width: float, font: float
) -> None:
    figure = drawn(monkeypatch, tmp_path / "a.png", NINE, size=size)
    assert figure.get_size_inches()[0] == width
    assert figure.axes[0].xaxis.label.get_fontsize() == font
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == round(width * figure.dpi)
    box = figure.get_tightbbox()  # of all that is drawn, inches
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= figure.get_size_inches()[1]


def test_texts_limits_and_axes_are_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(
        monkeypatch, tmp_path / "a.png", NINE[:2], title="Mine", labels=("first", "second"), x_label="Es/N0",
        y_label="quality", x_limits="0,12", y_limits=",40", is_log_y=True, has_no_bands=True, font=12.0,
    )  # fmt: skip
    (axes,) = figure.axes
    assert {"Mine", "first", "second", "Es/N0", "quality"} <= set(texts_of(figure))
    assert axes.get_xlim() == (0, 12) and axes.get_ylim()[1] == 40
    assert axes.get_yscale() == "log" and axes.get_xscale() == "linear"
    assert not axes.collections
    assert axes.xaxis.label.get_fontsize() == 12
    monkeypatch.undo()
    assert len(drawn(monkeypatch, tmp_path / "a.png", NINE[:2], title="").axes[0].collections) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "a4"}, "'a4' is no size; write page, one-column, two-columns, or inches like 3.5x2.6"),
        ({"size": "1x1"}, "a plot of 1x1 inches; from 1.5 to 40 are possible"),
        ({"x_limits": "1"}, "'1' are no limits of an axis; write LOW,HIGH like 20,32"),
        ({"y_limits": "3,nan"}, "give finite numbers"),
        ({"y_limits": "3,1"}, "the limits 3,1 of an axis must ascend"),
        ({"legend": "left"}, "a legend 'left'; known are auto, below, none"),
        ({"labels": ("a",)}, "1 of --label for 2 lines; the lines are a; b"),
        ({"is_log_x": True, "x_limits": "-1,2"}, "--log-x: a logarithmic axis cannot show -1"),
    ],
)
def test_styles_that_do_not_fit_are_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plot(NINE[:2], tmp_path / "a.png", style=PlotStyle(**options))


def test_unequal_lines_are_marked_on_the_plot_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plot(UNEQUAL, tmp_path / "a.png") == ["the lines are not measured alike: data set (kodak, sod)"]
    texts = texts_of(drawn(monkeypatch, tmp_path / "a.png", UNEQUAL))
    assert "Not measured alike: data set." in texts
    assert {"one, kodak", "two, sod"} <= set(texts)
    assert plot(NINE, tmp_path / "a.png") == []


# Sheets


def flat_item(masked: bool) -> Item:
    mask = np.zeros((80, 96), bool)
    mask[20:60, 30:70] = True
    return Item("a.png", np.full((3, 80, 96), 0.5, np.float32), mask if masked else None, None)


def test_the_outline_runs_along_the_inside_of_the_mask() -> None:
    pixels = outlined(flat_item(True))
    yellow = (pixels == OUTLINE).all(2)
    assert yellow[20, 30:70].all() and yellow[20:60, 30].all()
    assert not yellow[25:55, 36:64].any() and not yellow[:20].any() and not yellow[60:].any()
    assert (outlined(flat_item(False)) == 128).all()


def test_the_edge_of_the_picture_is_no_outline() -> None:
    item = flat_item(True)
    assert item.mask is not None
    item.mask[:] = True
    assert (outlined(item) == 128).all()


class Losing(SoftCast):
    """Loses every picture."""

    name = "losing"

    def decode(self, received: Received) -> Decoded:
        return Decoded(np.zeros((3, *received.size), np.float32), None, np.zeros(tuple(received.size), np.float32))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    slope = np.linspace(0, 255, 96, dtype=np.uint8)
    Image.fromarray(np.repeat(np.tile(slope, (64, 1))[..., None], 3, axis=2)).save(folder / "slope.png")
    Image.fromarray(np.full((96, 64, 3), 200, np.uint8)).save(folder / "tall.png")
    return folder


def test_a_row_holds_the_original_and_then_each_codec_at_one_snr(pictures: Path) -> None:
    codecs = [SoftCast(), Losing()]
    seen: list[tuple[int, int]] = []
    rows = make_rows(
        codecs,
        pictures,
        snrs_db=(-4.0, 20.0),
        setting=Setting(),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert len(rows) == 4 and all(len(row.cells) == 3 for row in rows)
    assert [row.cells[0].text for row in rows] == ["slope.png", "slope.png", "tall.png", "tall.png"]
    original, received, lost = rows[1].cells
    assert original.pixels is not None and received.pixels is not None
    assert np.abs(original.pixels.astype(int) - received.pixels).mean() < 5
    assert received.text.startswith("20 dB: PSNR ")
    assert lost.pixels is None and lost.text == "20 dB: lost"
    assert seen == [(1, 2), (2, 2)]
    sheet = np.asarray(draw(rows, ["original", "softcast", "losing"], "note"))
    assert (sheet[:2] == 255).all() and (sheet[-2:] == 255).all()
    assert ((sheet == (0xD9, 0xDC, 0xE2)).all(2)).sum() > 4 * 150 * 256  # the grey fields of the four lost ones


def test_sheets_that_cannot_be_made_are_one_line(pictures: Path) -> None:
    with pytest.raises(ConfigError, match="too many for one sheet; --limit or --snr"):
        make_rows([SoftCast()], pictures, snrs_db=tuple(range(200)), setting=Setting())
    with pytest.raises(ConfigError, match="slope.png has no mask"):
        make_rows([SoftCast()], pictures, snrs_db=(1.0,), setting=Setting(mask="truth"))
    with pytest.raises(ConfigError, match="no kind of picture"):
        make_sheet([SoftCast()], pictures, pictures / "sheet.txt", snrs_db=(1.0,), setting=Setting())
