# SPDX-License-Identifier: GPL-3.0-or-later
"""The thresholds of the 5G NR code: capacity by known values, the fit of a waterfall, the table's shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gened.bench import nr_thresholds
from gened.bench.nr_thresholds import MODULATIONS, capacity_snr_db, fit, main, measure, mutual_information, table
from gened.gr_blocks.phy.coding.digital_code import RATE_STEPS, UNUSABLE


def test_capacity_agrees_with_known_values() -> None:
    assert mutual_information(2, 30.0) == pytest.approx(2.0, abs=1e-3)
    assert capacity_snr_db(2, 1.0) == pytest.approx(0.19, abs=0.1)  # QPSK at rate 1/2: Eb/N0 = 0.19 dB
    assert capacity_snr_db(2, 0.5) == pytest.approx(-3.8, abs=0.1)  # rate 1/4: Eb/N0 = -0.79 dB


def test_a_straight_waterfall_is_fitted() -> None:
    snrs = np.arange(0.0, 1.3, 0.25)
    points = {f"{snr:.2f}": float(10 ** (-0.4 - snr / 0.5)) for snr in snrs}
    at_db, decade_db = fit({"points": points, "snr_db_1e2": 9.9, "db_per_decade": 9.9})
    assert at_db == pytest.approx(0.8, abs=0.01) and decade_db == pytest.approx(0.5, abs=0.01)


def test_a_row_lies_above_the_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nr_thresholds, "N_FRAMES", 60)
    row = measure(2, 0.5, 512)
    assert 1.0 < row["snr_db_1e2"] - row["capacity_snr_db"] < 2.2


def test_the_table_has_a_threshold_for_every_rate_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {
            "bits_per_symbol": m, "code_rate": rate, "n_bits": n_bits, "capacity_snr_db": capacity_snr_db(m, m * rate),
            "snr_db_1e2": capacity_snr_db(m, m * rate) + 1.0, "db_per_decade": 0.3, "points": {},
        }
        for m in MODULATIONS for rate in (0.1, 0.5, 0.9) for n_bits in (160, 4000)
    ]  # fmt: skip
    made = table({"meta": {"commit": "x"}, "rows": rows})
    assert made["block_bits"] == [160, 4000]
    for m in MODULATIONS:
        column = np.array(made["snr_cdb_1e2"][str(m)])[:, 0]
        assert len(column) == RATE_STEPS and column[-1] == UNUSABLE
        usable = column[column < UNUSABLE]
        assert (np.diff(usable[1:]) > 0).all() and len(usable) == 58
    assert made["snr_cdb_1e2"]["2"][32][0] == pytest.approx(100 * (0.19 + 1.0 + nr_thresholds.MARGIN_DB), abs=10)
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"meta": {}, "rows": rows}))
    monkeypatch.setattr(nr_thresholds, "TABLE", tmp_path / "table.json")
    assert main(["--out", str(file), "--write"]) == 0
    assert json.loads((tmp_path / "table.json").read_text())["block_bits"] == [160, 4000]
