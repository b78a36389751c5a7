# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of results: the differences that were put in come out, and unequal results are refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gened.errors import ConfigError
from gened.models.evaluation.comparison.compare import compare, report
from gened.models.evaluation.run.evaluate import ROW_KEYS

SNRS_DB = (1.0, 4.0, 7.0, 10.0)
PICTURES = tuple(f"{number}.png" for number in range(8))
HARDNESS_DB = dict(zip(PICTURES, np.random.default_rng(1).normal(0, 3, 8), strict=True))
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a result: PSNR = hardness of the picture + SNR / 2 + gain, symbols = 8192 times rate / (1/24)."""

    def _write(
        name: str, gain: float = 0.0, *, codec: str = "softcast", rate: int = 24, seeds: int = 1,
        snrs_db: Sequence[float] = SNRS_DB, editors: Sequence[str] = ("none",), has_ms_ssim: bool = True,
        spread_db: float = 0.0, **meta: Any,
    ) -> Path:  # fmt: skip
        rng = np.random.default_rng(2)
        own_gain = {picture: gain + spread_db * rng.normal() for picture in PICTURES}
        rows: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []
        for snr_db in snrs_db:
            for editor in editors:
                row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
                row |= {"codec": codec, "editor": editor, "channel": "awgn", "rate": f"1/{rate}", "snr_db": snr_db}
                rows.append(row)
                for picture in PICTURES:
                    for seed in range(seeds):
                        psnr_db = 20 + HARDNESS_DB[picture] + snr_db / 2 + own_gain[picture] + (editor != "none")
                        entry = {key: row[key] for key in ("codec", "editor", "channel", "rate", "snr_db")}
                        entry |= {"picture": picture, "seed": seed, "payload_symbols": 8192 * 24 // rate}
                        entry |= {"psnr_db": psnr_db + seed - (seeds - 1) / 2}
                        entry |= {"ms_ssim": 0.9 if has_ms_ssim and picture != "0.png" else None}
                        pictures.append(entry)
        about = {"data": {"sha256": "abc", "name": "set"}, "resize": 256, "metrics": {"psnr_db": "own"}} | meta
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"meta": about, "rows": rows, "pictures": pictures}))
        return path

    return _write


def test_a_gain_that_is_alike_for_all_pictures_is_certain(write: Write) -> None:
    result = compare([write("a"), write("b", 0.5, codec="gened", seeds=3)])
    assert result["reference"] == "softcast" and len(result["rows"]) == 4
    for row, snr_db in zip(result["rows"], SNRS_DB, strict=True):
        assert (row["system"], row["snr_db"], row["n_pictures"], row["n_seeds"]) == ("gened", snr_db, 8, [1, 3])
        assert row["difference"] == pytest.approx(0.5, abs=1e-4)
        assert row["difference_ci95"] == pytest.approx([0.5, 0.5], abs=1e-4)  # although the means are uncertain
        assert row["means"][1] - row["means"][0] == pytest.approx(0.5, abs=1e-3)
    (delta,) = result["bd"]
    assert (delta["rate"], delta["snr_db"], delta["bd_x_unit"], delta["n_points"]) == ("1/24", None, "dB", [4, 4])
    assert delta["bd"] == pytest.approx(0.5, abs=1e-4) and delta["bd_x"] == pytest.approx(-1, abs=1e-3)
    assert delta["bd_x_ci95"] == pytest.approx([-1, -1], abs=1e-3)


def test_a_gain_that_differs_between_pictures_has_an_interval(write: Write) -> None:
    result = compare([write("a"), write("b", 0.5, spread_db=1.0)])
    row = result["rows"][0]
    low, high = row["difference_ci95"]
    assert low < row["difference"] < high and 0.5 < high - low < 2.5
    assert result["reference"] == "softcast (a)" and row["system"] == "softcast (b)"


def test_an_editor_is_compared_with_what_it_edited(write: Write) -> None:
    result = compare([write("a", editors=("none", "embedded"))])
    assert {row["system"] for row in result["rows"]} == {"softcast edited by embedded"}
    assert [row["difference"] for row in result["rows"]] == pytest.approx([1.0] * 4)


def test_along_the_symbols_rates_make_a_curve(write: Write) -> None:
    rates = (48, 36, 24, 12)
    one = [write(f"a{rate}", 3 * np.log2(24 / rate), rate=rate, snrs_db=[10.0]) for rate in rates]
    two = [write(f"b{rate}", 3 * np.log2(24 / rate) + 1.5, codec="gened", rate=rate, snrs_db=[10.0]) for rate in rates]
    result = compare([*one, *two], axis="payload_symbols")
    assert len(result["rows"]) == 4 and {row["rate"] for row in result["rows"]} == {"1/48", "1/36", "1/24", "1/12"}
    (delta,) = result["bd"]
    assert (delta["snr_db"], delta["rate"], delta["bd_x_unit"]) == (10.0, None, "%")
    assert delta["bd"] == pytest.approx(1.5, abs=1e-3)
    assert delta["bd_x"] == pytest.approx(100 * (2**-0.5 - 1), abs=0.2)  # 3 dB per doubling
    with pytest.raises(ConfigError, match="once more"):
        compare([*one, *two, write("again", rate=24, snrs_db=[10.0])], axis="payload_symbols")


def test_pictures_without_a_figure_are_left_out_and_counted(write: Write) -> None:
    row = compare([write("a"), write("b")], metrics=("ms_ssim",))["rows"][0]
    assert (row["n_pictures"], row["n_left_out"], row["difference"]) == (7, 1, 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"sha256": "def"}}, "other pictures or masks"),
        ({"resize": 128}, "another size"),
        ({"metrics": {"psnr_db": "other"}}, "psnr_db was measured by 'own'"),
        ({"data": {"name": "set"}}, "--per-picture"),
        ({"rate": 12}, "no SNR, rate and channel in common"),
        ({"snrs_db": [2.0]}, "no SNR, rate and channel in common"),
    ],
    ids=str,
)
def test_unequal_results_are_refused_in_one_line(write: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        compare([write("a"), write("b", **changes)])
    assert "\n" not in str(refused.value)


def test_captions_that_are_counted_in_another_way_move_the_symbols(write: Write) -> None:
    one, two = write("a", captions="sent"), write("b", captions="paper", codec="gened")
    assert len(compare([one, two])["rows"]) == 4  # the pictures are the same all the same
    with pytest.raises(ConfigError, match="counts captions in another way"):
        compare([one, two], axis="payload_symbols")


def test_missing_values_and_foreign_files_are_refused(write: Write, tmp_path: Path) -> None:
    whole = write("a")
    with pytest.raises(ConfigError, match=r"b\.json holds no values of ms_ssim"):
        compare([whole, write("b", has_ms_ssim=False)], metrics=("ms_ssim",))
    for metric in ("kid", "sharpness"):
        with pytest.raises(ConfigError, match=f"'{metric}' is no figure of single pictures"):
            compare([whole, whole], metrics=(metric,))
    with pytest.raises(ConfigError, match="one system only"):
        compare([whole])
    result = json.loads(whole.read_text())
    means = tmp_path / "means.json"
    means.write_text(json.dumps({key: result[key] for key in ("meta", "rows")}))
    with pytest.raises(ConfigError, match=r"means\.json holds no values per picture"):
        compare([whole, means])
    for broken in ({**result, "pictures": [{"picture": "a.png"}]}, {**result, "pictures": [3]}, {"rows": []}, []):
        means.write_text(json.dumps(broken))
        with pytest.raises(ConfigError, match=r"means\.json is no result"):
            compare([whole, means])


def test_the_report_fits_a_terminal(write: Write) -> None:
    text = io.StringIO()
    for part in report(compare([write("a"), write("b", 0.5, codec="gened", spread_db=1.0)])):
        Console(width=80, file=text).print(part)
    assert "PSNR dB, awgn, rate 1/24: gened against softcast" in text.getvalue()
    assert "…" not in text.getvalue() and "Bjontegaard delta of psnr_db +0." in " ".join(text.getvalue().split())
