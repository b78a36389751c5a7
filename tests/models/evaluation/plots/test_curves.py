# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures and sheets: which lines they hold, where the outline runs, and what a pixel of the sheet shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.plots.curves import LABELS, lines, plot, read_result
from gened.models.evaluation.plots.sheet import OUTLINE, draw, make_rows, make_sheet, outlined
from gened.models.evaluation.run.evaluate import ROW_KEYS
from gened.models.evaluation.run.measure import Setting


def result(
    codec: str, *, rate: str = "1/24", snrs_db: tuple[float, ...] = (1.0, 7.0), meta: dict[str, Any] | None = None
) -> dict[str, Any]:
    rows = []
    for snr_db in snrs_db:
        row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
        row |= {"codec": codec, "editor": "none", "channel": "awgn", "rate": rate, "snr_db": snr_db, "n": 3}
        row |= {"psnr_db": 20 + snr_db, "psnr_db_ci95": [19 + snr_db, 21 + snr_db], "ms_ssim": 0.9}
        row["payload_symbols"] = 8192.0 if rate == "1/24" else 4096.0
        rows.append(row)
    return {"meta": {"resize": 256, **(meta or {})}, "rows": rows}


# Lines


def test_each_codec_is_a_line_in_the_order_of_snr() -> None:
    one, two = lines([("a", result("one", snrs_db=(7.0, 1.0))), ("b", result("two"))], x="snr_db", y="psnr_db")
    assert (one.label, two.label) == ("one", "two")
    assert (one.x, one.y) == ([1.0, 7.0], [21.0, 27.0])
    assert (one.low, one.high) == ([20.0, 26.0], [22.0, 28.0])
    assert lines([("a", result("one"))], x="snr_db", y="ms_ssim")[0].low is None


def test_labels_name_what_differs_and_nothing_else() -> None:
    both = [("a", result("one")), ("b", result("one", rate="1/48"))]
    assert [line.label for line in lines(both, x="snr_db", y="psnr_db")] == ["one, rate 1/24", "one, rate 1/48"]
    masks = [("a", result("one", meta={"mask": "truth"})), ("b", result("one", meta={"mask": "codec"}))]
    assert [line.label for line in lines(masks, x="snr_db", y="psnr_db")] == ["one, true mask", "one, codec's mask"]
    twice = [("monday", result("one")), ("tuesday", result("one"))]
    assert [line.label for line in lines(twice, x="snr_db", y="psnr_db")] == ["one, monday", "one, tuesday"]


def test_along_symbols_a_line_runs_over_rates_at_one_snr() -> None:
    both = [("a", result("one")), ("b", result("one", rate="1/48"))]
    found = lines(both, x="payload_symbols", y="psnr_db")
    assert [line.label for line in found] == ["one, 1 dB", "one, 7 dB"]
    assert found[1].x == [4096.0, 8192.0] and found[1].y == [27.0, 27.0]
    assert lines(both, x="rate", y="psnr_db")[0].x == pytest.approx([1 / 48, 1 / 24])


def test_every_axis_is_a_key_of_a_row() -> None:
    assert set(LABELS) <= set(ROW_KEYS)


def test_axes_that_cannot_be_drawn_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'sharpness' cannot be an axis; known are snr_db"):
        lines([("a", result("one"))], x="snr_db", y="sharpness")
    with pytest.raises(ConfigError, match=r"no row holds both snr_db and st_lpips; see --metrics"):
        lines([("a", result("one"))], x="snr_db", y="st_lpips")
    with pytest.raises(ConfigError, match="'figure.xyz' is no kind of picture"):
        plot([("a", result("one"))], tmp_path / "figure.xyz")
    with pytest.raises(ConfigError, match="is a folder"):
        plot([("a", result("one"))], tmp_path)


def test_files_that_hold_no_result_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ConfigError, match="cannot read"):
        read_result(path)
    for text in ("{", "[]", '{"meta": {}, "rows": []}', '{"meta": {}, "rows": [{"psnr_db": 1}]}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"a\.json is no result of gened evaluate"):
            read_result(path)
    path.write_text(json.dumps(result("one")))
    assert read_result(path) == result("one")


def test_a_figure_has_a_line_and_a_band_of_its_colour(tmp_path: Path) -> None:
    better = result("two", snrs_db=(11.0, 14.0))
    for row in better["rows"]:
        row["snr_db"] -= 10
    plot([("a", result("one")), ("b", better)], tmp_path / "deep" / "figure.png")
    with Image.open(tmp_path / "deep" / "figure.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).astype(int)
    for color in ((0x0B, 0x6E, 0x99), (0xC4, 0x51, 0x1D)):
        near = np.abs(pixels - color).sum(2) < 12
        assert near.sum() > 500
        tinted = np.round(255 - 0.13 * (255 - np.array(color)))
        assert (np.abs(pixels - tinted).sum(2) < 6).sum() > 2000


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
