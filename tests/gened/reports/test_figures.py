# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures about a frame: everything is on them, whatever the frame is like."""

from __future__ import annotations

import numpy as np
import pytest

from gened.models.data.fonts import load_font
from gened.reports.figures import (
    MARGIN,
    MASK_INK,
    PANEL_SIDE,
    constellation,
    figures_of,
    side_by_side,
    wrapped,
)
from gened.reports.report import checked_report

FACTS = {
    "frame": 3,
    "psnr_db": 26.512,
    "ms_ssim": 0.93,
    "snr_set_db": 10.0,
    "snr_est_db": 9.87,
    "cfo_set_hz": 20000.0,
    "cfo_est_hz": 19998.3,
    "erased_fraction": 0.25,
    "caption": "a cat",
    "crc_ok": True,
    "analog_symbols": 16800,
    "side_symbols": 120,
    "caption_symbols": 380,
    "airtime_s": 0.0231,
    "encode_ms": 23.0,
    "decode_ms": 51.2,
}
RED, BLUE = (200, 30, 30), (30, 30, 200)


def flat(height: int, width: int, color: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (height, width, 3)).copy()


def test_figures_are_told_with_their_units() -> None:
    values = dict(figures_of(checked_report(FACTS)))
    assert values["PSNR"] == "26.51 dB"
    assert values["SNR set / measured"] == "10.0 / 9.9 dB"
    assert values["carrier offset set / measured"] == "20,000 / 19,998 Hz"
    assert values["symbols analogue + side + caption"] == "16,800 + 120 + 380"
    assert values["airtime"] == "23.1 ms" and values["symbols lost"] == "25.0 %"


def test_unknown_figures_are_dashes() -> None:
    assert all(set(value) <= set("–/+ dBHzms%") for _, value in figures_of(checked_report({"frame": 0})))


@pytest.mark.parametrize("shape", [(64, 64), (300, 451), (4096, 64), (64, 4096)])
def test_both_pictures_are_there_sent_on_the_left(shape: tuple[int, int]) -> None:
    page = side_by_side(flat(*shape, RED), flat(*shape, BLUE), checked_report(FACTS))
    red, blue = ((page == color).all(-1) for color in (RED, BLUE))
    assert red.sum() == blue.sum() > 0
    assert np.nonzero(red)[1].max() < np.nonzero(blue)[1].min()
    rows, columns = (np.ptp(index) + 1 for index in np.nonzero(red))
    assert max(rows, columns) == PANEL_SIDE and rows / columns == pytest.approx(shape[0] / shape[1], rel=0.1)


def test_a_lost_frame_has_a_grey_field_in_its_place() -> None:
    page = side_by_side(flat(100, 100, RED), None, checked_report({"frame": 0, "crc_ok": False}))
    assert (page == RED).all(-1).sum() == PANEL_SIDE**2 and page.shape[1] == 2 * PANEL_SIDE + 2 * MARGIN + 24


def test_what_is_important_is_outlined_on_both_pictures_and_nothing_else_is_touched() -> None:
    mask = np.zeros((PANEL_SIDE, PANEL_SIDE), np.uint8)
    mask[100:300, 0:200] = 255  # touches the left border
    plain, marked = (
        side_by_side(flat(PANEL_SIDE, PANEL_SIDE, RED), flat(PANEL_SIDE, PANEL_SIDE, BLUE), checked_report(FACTS), each)
        for each in (None, mask)
    )
    top = MARGIN + 34
    changed = (plain != marked).any(-1)[top : top + PANEL_SIDE]
    expected = np.zeros((PANEL_SIDE, PANEL_SIDE), bool)
    expected[100:300, 0:200] = True
    expected[105:295, 5:195] = False  # five pixels wide: a bright line between two dark ones
    for left in (MARGIN, MARGIN + PANEL_SIDE + 24):
        assert np.array_equal(changed[:, left : left + PANEL_SIDE], expected)
    assert (marked == MASK_INK).all(-1).sum() == 2 * (198**2 - 192**2)
    assert (plain != marked).any(-1)[MARGIN : MARGIN + 34, : MARGIN + PANEL_SIDE].any()  # how much of it, in words


def test_the_caption_and_the_figures_change_what_is_drawn() -> None:
    picture = flat(100, 100, RED)
    pages = [
        side_by_side(picture, picture, checked_report({**FACTS, **change}))
        for change in ({}, {"caption": "a dog"}, {"psnr_db": 31.0}, {"caption": None, "crc_ok": False})
    ]
    assert len({page.tobytes() for page in pages}) == 4


@pytest.mark.parametrize("text", ["word " * 300, "x" * 3000, "ü猫\x00\n\t" * 50, ""])
def test_any_caption_fits_the_page(text: str) -> None:
    font = load_font(22)
    lines = wrapped(text, font, 600, 4)
    assert 1 <= len(lines) <= 4 and all(font.getlength(line) <= 600 for line in lines)
    side_by_side(flat(64, 64, RED), None, checked_report({**FACTS, "caption": text}))


def test_wrapping_keeps_every_word_that_fits() -> None:
    text = "the quick brown fox jumps over the lazy dog " * 3
    assert " ".join(wrapped(text, load_font(22), 400, 20)) == text.strip()


def test_constellation_shows_symbols_where_they_are() -> None:
    report = checked_report(FACTS)
    empty = constellation(np.zeros(0, np.complex64), np.zeros(0, np.complex64), report)
    digital = constellation(np.full(500, 0.7 + 0.7j), np.zeros(0), report)
    changed = np.abs(digital.astype(int) - empty).max(-1) > 40
    rows, columns = np.nonzero(changed[120:])  # below the headings
    assert columns.max() < empty.shape[1] / 2  # all of it in the left half
    assert rows.mean() + 120 < empty.shape[0] / 2 and columns.mean() > empty.shape[1] / 4  # upper right of its field


def test_constellation_survives_what_is_not_a_number() -> None:
    bad = np.array([np.nan, np.inf, 1e30, 0], np.complex64)
    assert constellation(bad, bad, checked_report({"frame": 0})).shape[2] == 3
