# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a plot: which there are, their names, what one line cannot join, and what lines do not share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gened.errors import ConfigError
from gened.models.evaluation.plots.lines import LABELS, lines, read_result, read_results, unequal
from gened.models.evaluation.run.evaluate import ROW_KEYS
from tests.support.evaluation_results import data_set, result


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


def test_axes_that_cannot_be_drawn_are_one_line() -> None:
    with pytest.raises(ConfigError, match="'sharpness' cannot be an axis; known are snr_db"):
        lines([("a", result("one"))], x="snr_db", y="sharpness")
    with pytest.raises(ConfigError, match=r"no row holds both snr_db and st_lpips; see --metrics"):
        lines([("a", result("one"))], x="snr_db", y="st_lpips")
    with pytest.raises(ConfigError, match="--by colour: no row has a key of this name"):
        lines([("a", result("one"))], x="snr_db", y="psnr_db", by="colour")


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


def test_files_of_one_name_are_told_apart_and_one_file_is_read_once(tmp_path: Path) -> None:
    paths = [tmp_path / "mon" / "one.json", tmp_path / "tue" / "one.json"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(json.dumps(result("one")))
    assert [name for name, _ in read_results([*paths, paths[0], tmp_path / "tue" / ".." / "mon" / "one.json"])] == [
        "mon/one", "tue/one",
    ]  # fmt: skip
    assert [name for name, _ in read_results(paths[:1])] == ["one"]
    found = lines(read_results(paths), x="snr_db", y="psnr_db")
    assert [line.label for line in found] == ["one, mon/one", "one, tue/one"]


# Variants


def variants(key: str | None) -> list[tuple[str, dict[str, object]]]:
    both, other = result("one"), result("one")
    for row in other["rows"]:
        row["psnr_db"] += 3
    if key is not None:
        for rows, name in ((both["rows"], "full"), (other["rows"], "small")):
            for row in rows:
                row |= {key: name, "meaning": "either"}
    return [("file", {"meta": both["meta"], "rows": both["rows"] + other["rows"]})]


@pytest.mark.parametrize("x", ["snr_db", "payload_symbols", "psnr_db"])
def test_a_zigzag_over_variants_is_refused_with_its_remedy(x: str) -> None:
    with pytest.raises(ConfigError, match="file holds 2 rows of one at 1 dB and rate 1/24, .* with --by variant$"):
        lines(variants("variant"), x=x, y="psnr_db")
    with pytest.raises(ConfigError, match="give each variant a file of its own$"):
        lines(variants(None), x=x, y="psnr_db")


def test_each_variant_is_a_line_on_request() -> None:
    full, small = lines(variants("variant"), x="snr_db", y="psnr_db", by="variant")
    assert (full.label, full.y) == ("one, full", [21.0, 27.0])
    assert (small.label, small.y) == ("one, small", [24.0, 30.0])


def test_two_points_of_the_same_abscissa_are_no_variants() -> None:
    """Along a measured value two SNRs may agree by chance."""
    (line,) = lines([("a", result("one"))], x="ms_ssim", y="psnr_db")
    assert line.x == [0.9, 0.9] and sorted(line.y) == [21.0, 27.0]


# Lines that were not measured alike


def marked(*results: dict[str, object]) -> dict[str, list[str]]:
    return unequal(lines([(f"{i}", one) for i, one in enumerate(results)], x="snr_db", y="psnr_db"))


def test_lines_that_were_measured_alike_are_not_marked() -> None:
    kodak = data_set("kodak")
    assert marked(result("one", meta=kodak), result("two", meta=kodak)) == {}
    assert marked(result("one", meta=kodak), result("one", rate="1/48", meta=kodak)) == {}
    each = [result(c, channel=k, meta=kodak) for c in ("one", "two") for k in ("awgn", "rayleigh-block")]
    assert marked(*each) == {}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (result("two", meta=data_set("sod")), {"data set": ["kodak", "sod"]}),
        (result("two", meta=data_set("kodak", 2)), {"data set": ["3 pictures", "2 pictures"]}),
        (result("two", meta={**data_set("kodak"), "resize": None}), {"picture size": ["256x256", "full size"]}),
        (result("two", channel="rayleigh-block", meta=data_set("kodak")), {"channel": ["awgn", "rayleigh-block"]}),
        (result("two", rate="1/48", meta=data_set("kodak")), {"rate": ["rate 1/24", "rate 1/48"]}),
        (result("two", meta={**data_set("kodak"), "mask": "truth"}), {"mask": ["codec's mask", "true mask"]}),
        (
            result("two", meta={**data_set("kodak"), "erasure": 0.1}),
            {"lost symbols": ["no symbol lost", "0.1 of the symbols lost"]},
        ),
        (
            result("two", meta={**data_set("kodak"), "snr_error_db": -3}),
            {"SNR mismatch": ["no SNR mismatch", "SNR mismatch -3 dB"]},
        ),
        (
            result("two", meta={**data_set("kodak"), "captions": "none"}),
            {"captions": ["captions sent", "no captions"]},
        ),
    ],
    ids=["data", "pictures", "size", "channel", "rate", "mask", "erasure", "mismatch", "captions"],
)
def test_lines_that_were_not_measured_alike_are_marked_and_named(
    other: dict[str, object], expected: dict[str, list[str]]
) -> None:
    results = [("a", result("one", meta={**data_set("kodak"), "captions": "sent"})), ("b", other)]
    found = lines(results, x="snr_db", y="psnr_db")
    assert unequal(found) == expected
    for line, value in zip(found, next(iter(expected.values())), strict=True):
        assert value in line.label


def test_one_codec_on_two_sets_of_pictures_is_marked() -> None:
    sets = [result("one", meta=data_set(name)) for name in ("kodak", "sod")]
    assert marked(*sets) == {"data set": ["kodak", "sod"]}


def test_the_same_name_with_other_pictures_is_marked() -> None:
    sets = [result(c, meta=data_set("mine", sha256=h)) for c, h in (("one", "ab" * 32), ("two", "cd" * 32))]
    assert marked(*sets) == {"data set": ["files abababab", "files cdcdcdcd"]}
    assert marked(sets[0], result("two", meta=data_set("mine"))) == {}  # an older result does not say
