# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of the link: what it sends, what it calls a loss, what it must not hear, and what stands in its results."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.bench import link_gnuradio
from gened.bench.link import CONDITIONS, Condition, Plan, main, measure, run
from gened.bench.link_conditions import chosen
from gened.bench.link_costs import measure_speed, overhead, peaks
from gened.bench.link_figures import draw_all
from gened.bench.link_figures import main as draw
from gened.bench.link_frames import random_frame
from gened.bench.link_gnuradio import Point
from gened.bench.link_rows import _beside, _figures, _on_air
from gened.bench.link_signals import SIGNALS, false_frames, pieces
from gened.bench.link_table import tables
from gened.errors import ConfigError, LinkError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.receiver import Receiver

FIXED_KEYS = {
    "condition", "snr_db", "snr_loss_db", "snr_loss_p95_db", "detection_rate", "header_error_rate",
    "caption_error_rate",
}  # fmt: skip
SMALL = Plan(conditions=tuple(chosen(["awgn"])), snrs_db=(10.0,), n_frames=1, noise_samples=0, has_costs=False)


def test_conditions_have_names_that_a_command_line_can_list() -> None:
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names)
    assert not any("," in name or " " in name for name in names)
    assert [condition.name for condition in chosen(["tdl-a-1", "awgn"])] == ["awgn", "tdl-a-1"]
    with pytest.raises(ConfigError, match="tdl-c-1.5"):
        chosen(["awgn", "fog"])


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_condition_makes_a_channel(condition: Condition) -> None:
    sent = _on_air(replace(condition, n_analog=100), 10.0, 0, np.random.default_rng(1))
    assert np.isfinite(sent.received).all()
    assert sent.power.shape[1] == 204


def test_a_row_is_the_same_again_and_has_the_keys_that_results_are_read_by() -> None:
    row = measure(CONDITIONS[1], 4.0, 2, seed=5)
    assert row == measure(CONDITIONS[1], 4.0, 2, seed=5)
    assert set(asdict(row)) >= FIXED_KEYS
    assert row.snr_loss_db is not None and -0.2 < row.snr_loss_db < 0.6
    assert row.snr_loss_symbol_db == pytest.approx(row.snr_loss_db, abs=1e-3)  # flat and still


def test_nothing_received_is_null_and_not_a_number_that_looks_well() -> None:
    row = measure(CONDITIONS[0], -30.0, 2, seed=6)
    assert row.detection_rate == 0
    assert row.snr_loss_db is None and row.noise_var_quartiles_db is None and row.cfo_error_rms_hz is None


def test_a_selective_channel_costs_all_symbols_alike_much_and_each_by_its_worth_little() -> None:
    row = measure(chosen(["tdl-a-1"])[0], 12.0, 6, seed=7)
    assert row.snr_loss_db is not None and row.snr_loss_symbol_db is not None
    assert row.snr_loss_db > 1
    assert -0.1 < row.snr_loss_symbol_db < 0.6


def test_a_receiver_that_claims_too_little_noise_is_found_out() -> None:
    sent, receiver = _on_air(CONDITIONS[0], 10.0, 0, np.random.default_rng(8)), Receiver()
    frame = [*receiver.push(sent.received), *receiver.flush()][0]
    honest = _figures(sent, frame)
    noise_var = frame.received.noise_var / 2
    noise_var[::4] *= 10  # and says of a quarter that it is bad
    lying = _figures(sent, replace(frame, received=replace(frame.received, noise_var=noise_var)))
    assert np.abs(honest.quartiles_db).max() < 0.7
    assert np.allclose(lying.quartiles_db - honest.bias_db, [-3, -3, -3, 7], atol=0.7)
    assert lying.loss_db == honest.loss_db


def test_what_is_beside_the_burst_is_as_strong_and_as_narrow_as_it_says() -> None:
    rng = np.random.default_rng(9)
    noise = _beside(Condition("x", beside="narrow-band"), 50_000, 100, 40_000, rng)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(0.1, rel=1e-3)
    power = np.sort(np.abs(np.fft.fft(noise)) ** 2)[::-1]
    assert power[:510].sum() > 0.999 * power.sum()
    other = _beside(Condition("x", beside="burst"), 50_000, 100, 40_000, rng)
    on = np.flatnonzero(other)
    assert 100 <= on[0] < 40_100
    assert np.mean(np.abs(other[on]) ** 2) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("name", SIGNALS)
def test_what_is_no_frame_gives_none(name: str) -> None:
    found = false_frames(name, 300_000, seed=10)
    assert (found.samples, found.frames) == (300_000, 0)


def test_a_frame_among_the_noise_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from gened.gr_blocks.phy.ofdm.modulator import modulate_frame

    burst = modulate_frame(random_frame(0, np.random.default_rng(11), n_analog=100))[0]
    monkeypatch.setitem(SIGNALS, "noise", lambda first, n, rng: np.resize(burst, n))
    assert false_frames("noise", len(burst) + 500, seed=12).frames == 1


@pytest.mark.parametrize("name", ["tone", "chirp", "ofdm", "noise"])
def test_signals_have_power_one_and_go_on_from_piece_to_piece(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(pieces(name, 40_000, seed=13)))
    assert np.mean(np.abs(whole) ** 2) == pytest.approx(1, abs=0.03)
    monkeypatch.setattr("gened.bench.link_signals.PIECE", 7777)
    again = np.concatenate(list(pieces(name, 40_000, seed=13)))
    assert len(again) == len(whole)
    if name in ("tone", "chirp"):
        assert np.mean(np.abs(again - whole) ** 2) < 0.01  # but for their noise


def test_the_other_ofdm_has_halves_that_a_detector_could_fall_for() -> None:
    samples = next(pieces("ofdm", 8000, seed=14))
    first, second = samples[16:48], samples[48:80]
    assert abs(np.vdot(first, second)) > 0.95 * np.linalg.norm(first) * np.linalg.norm(second)


def test_overhead_is_the_sum_of_its_parts() -> None:
    found = overhead(1)
    assert found["overhead"] == pytest.approx(sum(found[k] for k in ("preamble", "header", "pilots", "padding")))
    assert found["null_carriers"] == pytest.approx(52 / 256)
    assert found["cyclic_prefix"] == pytest.approx(16 / 272)


def test_peaks_are_lower_after_than_before() -> None:
    found = peaks(1, n_frames=2)
    assert found["papr_after_db_at_10_db"] < found["papr_before_db_at_10_db"] - 1.5


def test_speed_counts_what_it_sent() -> None:
    found = measure_speed(100_000, seed=2)
    assert found["burst_frames_received"] == found["burst_frames_sent"]
    assert all((found[key] or 0) > 0 for key in ("burst_msps", "moving_msps", "noise_msps", "transmit_msps"))


@pytest.mark.slow
def test_processes_that_share_the_rows_change_nothing() -> None:
    plan = replace(SMALL, n_frames=2, noise_samples=100_000)
    assert run(plan) == run(replace(plan, workers=2))


def test_a_result_is_json_and_fits_its_tables() -> None:
    done: list[tuple[int, int]] = []
    result = run(replace(SMALL, noise_samples=50_000), lambda *counts: done.append(counts))
    assert set(result) == {"rows", "speed", "overhead", "peaks", "false_frames", "gnuradio"}
    assert done[-1] == (6, 6)
    json.dumps(result, allow_nan=False)
    assert [table.row_count for table in tables(result)] == [1, 5]
    rates = [f"{who}_{what}" for who in ("gened", "gnuradio") for what in ("detection_rate", "packet_error_rate")]
    compared = dict.fromkeys(["cfo_cps", "snr_db", *rates], 0.5)
    assert len(tables({**result, "gnuradio": [{**compared, "packets": 3}], "speed": {"noise_msps": 1.0}})) == 4


@pytest.mark.parametrize("wrong", [
    {"n_frames": 0}, {"snrs_db": ()}, {"snrs_db": (float("nan"),)}, {"noise_samples": -1}, {"signals": ("whistle",)},
])  # fmt: skip
def test_impossible_plans_are_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **wrong)
    assert "\n" not in str(caught.value)


def test_the_module_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--conditions", "fog"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_both_links_are_told_one_snr_and_gnuradio_finds_its_packets_where_it_can() -> None:
    pytest.importorskip("gnuradio", reason="GNU Radio is not installed")
    rows = link_gnuradio.compare([Point(30.0, 0.0, 8, 1), Point(0.0, 0.0, 8, 1), Point(30.0, 0.125, 8, 1)])
    assert [row["gened_packet_error_rate"] for row in rows] == [0, 0, 0]
    assert [row["gnuradio_packet_error_rate"] for row in rows] == [0, 1, 1]
    assert [row["gnuradio_detection_rate"] for row in rows] == [1, 0, 1]


def test_noise_of_the_comparison_is_that_of_each_waveform() -> None:
    packet = complex_noise(np.random.default_rng(15), 100, 1.0)
    for ratio in (256 / 204, 64 / 52):
        received, starts = link_gnuradio._air([packet] * 5, Point(3.0, 0.0, 5, 2), ratio)
        quiet = np.concatenate([received[: starts[0]], received[starts[-1] + 100 :]])
        assert np.mean(np.abs(quiet) ** 2) == pytest.approx(ratio * 10**-0.3, rel=0.05)


def test_a_gnuradio_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(LinkError, match="--no-gnuradio"):
        link_gnuradio.compare([Point(30.0, 0.0, 1, 1)])


def test_figures_are_drawn_from_results_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = asdict(measure(replace(CONDITIONS[0], name="offsets-20ppm", n_analog=200), 10.0, 1, seed=3))
    lost = asdict(measure(replace(CONDITIONS[0], n_analog=200), -30.0, 1, seed=3))
    gnuradio = [{"cfo_cps": 0.0, "snr_db": 10.0, "gnuradio_packet_error_rate": 1.0}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"rows": [row, {**lost, "snr_db": 10.0}], "gnuradio": gnuradio}))
    other = tmp_path / "ldpc.json"
    other.write_text(json.dumps({"meta": {}, "rows": [{"mode": "qpsk-1/2"}]}))
    assert all(figure.stat().st_size > 5000 for figure in draw_all([path, other], tmp_path / "figures"))
    path.write_text("[]")
    assert draw([str(path), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
