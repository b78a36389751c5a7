# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of symbols that are not white: every means is exact, and the table says what each costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.bench import whiteness
from gened.bench.whiteness import KINDS, MEANS, measure, symbols_of

PICTURE = np.full((3, 256, 256), 0.5, np.float32)
PICTURE[0, :128] = 0.9


@pytest.mark.parametrize("name", MEANS)
def test_each_means_is_undone(name: str) -> None:
    symbols = symbols_of("gaussian", PICTURE, 10.0, np.random.default_rng(1))
    means = MEANS[name]
    assert np.allclose(means.undo(means.apply(symbols)), symbols, atol=1e-5)
    assert np.mean(np.abs(means.apply(symbols)) ** 2) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_symbols_of_each_kind_have_mean_power_one(kind: str) -> None:
    symbols = symbols_of(kind, PICTURE, 10.0, np.random.default_rng(1))
    assert symbols.dtype == np.complex64
    assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1, rel=1e-4)


def test_the_phases_of_the_wire_lower_the_peaks_of_averages_and_spare_fading_channels() -> None:
    plain, turned, spread = (measure("averages", name, 10.0, [PICTURE]) for name in ("none", "quarters", "spread"))
    assert plain["papr_before_db"] > 15 > 9.5 > turned["papr_before_db"]
    assert turned["lost"] == 0 and turned["snr_loss_db"] < 0.7
    assert turned["capacity_snr_db"] > spread["capacity_snr_db"] + 0.2


def test_the_command_prints_a_table_and_writes_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.uint8(255 * PICTURE.transpose(1, 2, 0))).save(tmp_path / "a.png")
    out = tmp_path / "whiteness.json"
    options = ["--data", str(tmp_path), "--snr", "10", "--out", str(out)]
    whiteness.main([*options, "--symbols", "constant,softcast", "--means", "quarters"])
    rows = json.loads(out.read_text())["rows"]
    assert [(row["symbols"], row["frames"], row["lost"]) for row in rows] == [("constant", 1, 0), ("softcast", 1, 0)]
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(SystemExit):
        whiteness.main([*options, "--means", "hope"])
    assert "no means 'hope'" in capsys.readouterr().err
