# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of the digital path: both sides mean the same SNR, losses are counted where they belong, decoders agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.bench import ldpc_curves, ldpc_speed
from gened.bench.ldpc import LdpcPlan, describe, run
from gened.bench.ldpc_curves import Point, crossing_db, distances, measure_point
from gened.bench.ldpc_figures import main as draw
from gened.bench.ldpc_partial import measure_left
from gened.bench.ldpc_speed import alist, frames_of, gnuradio_outcome
from gened.bench.ldpc_table import tables
from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.ldpc_matrices import parity_check_matrix
from gened.gr_blocks.phy.coding.modes import MODES


def point(snr_db: float, lost: int, headers: int = 1000, path: ldpc_curves.Path = "direct") -> Point:
    return Point("qpsk-1/2", path, snr_db, headers, headers, lost)


def test_a_crossing_lies_on_the_line_between_logarithms() -> None:
    curve = [point(0.0, 1000), point(0.5, 100), point(1.0, 1), point(1.5, 0)]
    assert crossing_db(curve, 0.1) == pytest.approx(0.5)
    assert crossing_db(curve, 0.01) == pytest.approx(0.75)
    assert crossing_db(curve[:2], 0.01) is None
    assert crossing_db([point(0.0, 0, headers=0), point(0.5, 0)], 0.01) is None


def test_distances_are_null_where_a_curve_does_not_get_there() -> None:
    points = [point(0.0, 500), point(1.0, 1), point(0.5, 500, path="receiver"), point(1.5, 1, path="receiver")]
    ten, one = distances(points)
    assert [ten["loss_db"], one["loss_db"]] == pytest.approx([0.5, 0.5])
    assert ten["peaks_kept_db"] is None and ten["synchronisation_loss_db"] is None


@pytest.mark.parametrize("path", ["direct", "peaks-kept"])
def test_both_paths_hold_at_the_same_snr_and_break_at_the_same(path: ldpc_curves.Path) -> None:
    """Half a decibel below 10 % of losses nearly all are lost, half a decibel above hardly any: an Es/N0 that meant
    something else on one side would show.
    """
    assert measure_point("16qam-1/2", path, 5.75, 30, 500, seed=1).lost >= 20
    assert measure_point("16qam-1/2", path, 7.5, 40, 500, seed=1).lost <= 2


def test_bursts_whose_header_is_lost_are_no_lost_texts() -> None:
    found = measure_point("bpsk-1/2x2", "receiver", -12.0, 200, 100, seed=2)
    assert (found.headers, found.lost, found.fer) == (0, 0, None)
    assert found.frames == ldpc_curves.FIRST


def test_a_point_is_the_same_again_and_ends_when_enough_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldpc_curves, "ENOUGH_LOSSES", 5)
    found = measure_point("qpsk-3/4", "direct", 0.0, 100, 0, seed=3)
    assert (found.frames, found.lost) == (5, 5)
    assert found == measure_point("qpsk-3/4", "direct", 0.0, 100, 0, seed=3)


def test_the_alist_is_the_matrix() -> None:
    matrix = parity_check_matrix("3/4", 24).toarray()
    lines = [list(map(int, line.split())) for line in alist("3/4", 24).splitlines()]
    assert lines[0] == [576, 144] and lines[1] == [matrix.sum(0).max(), matrix.sum(1).max()]
    columns, rows = lines[4 : 4 + 576], lines[4 + 576 :]
    for given, axis in ((columns, matrix.T), (rows, matrix)):
        assert [[place - 1 for place in one if place] for one in given] == [np.flatnonzero(a).tolist() for a in axis]


def test_all_decoders_read_blocks_with_little_noise() -> None:
    frames = frames_of("1/2", 24, 3.0, 6, seed=4)
    assert ldpc_speed._ours(frames)[1] == ldpc_speed._ldpc_package(frames)[1] == 0
    assert ldpc_speed._commpy(ldpc_speed.Frames(frames.code, frames.bits[:2], frames.llr[:2]), "SPA")[1] == 0


def test_gnuradios_decoder_reads_them_too_and_breaks_where_there_is_too_much_noise() -> None:
    pytest.importorskip("gnuradio", reason="GNU Radio is not installed")
    assert gnuradio_outcome("1/2", 24, 2.0, 20, 5)[1] == 0
    assert gnuradio_outcome("1/2", 24, -3.0, 20, 5)[1] > 0.9


def test_a_result_is_json_and_fits_tables_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[tuple[int, int]] = []
    plan = LdpcPlan(modes=("64qam-1/2",), n_frames=8, n_analog=100, n_blocks=0, n_broken=1)
    result = run(plan, lambda *counts: done.append(counts))
    assert done[-1] == (15, 15)
    assert set(result) == {"rows", "distances", "modes", "speed", "partial"} and result["speed"] is None
    assert {row["path"] for row in result["rows"]} == {"direct", "peaks-kept", "receiver"}
    speed = [
        {"code_rate": "1/2", "n_coded": 576, "es_n0_db": 1.0, "decoder": "x", "frames": 1, "fer": 0.0, "kbps": 1e3}
    ]
    assert len(tables({**result, "speed": speed})) == 4
    path = tmp_path / "ldpc.json"
    path.write_text(json.dumps(result, allow_nan=False))
    assert draw([str(path), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "digital-fer.png").stat().st_size > 5000
    path.write_text("[]")
    capsys.readouterr()
    assert draw([str(path), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_of_long_texts_more_is_left_and_nearly_all_of_it_is_right() -> None:
    short, long_ = (measure_left(n_bytes, 1.25, 15, seed=6) for n_bytes in (30, 800))
    assert short.lost == long_.lost == 15
    assert long_.sure > 0.5 > short.sure
    assert long_.wrong < 0.01
    assert measure_left(30, 20.0, 2, seed=6).lost == 0


def test_a_mode_is_described_by_what_it_costs() -> None:
    assert describe("16qam-1/2")["symbols_20_bytes"] == 120
    assert [describe(name)["number"] for name in MODES] == [0, 1, 2, 4, 3, 5, 6, 7]


@pytest.mark.parametrize(
    "wrong", [{"modes": ("morse",)}, {"n_frames": 0}, {"n_analog": -1}, {"n_blocks": -1}, {"n_broken": -1}]
)
def test_impossible_plans_are_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        LdpcPlan(**wrong)
    assert "\n" not in str(caught.value)
