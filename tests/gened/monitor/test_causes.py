# SPDX-License-Identifier: GPL-3.0-or-later
"""From counters to named causes: each is seen where it is, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.errors import CodecError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.ofdm import resource_grid
from gened.gr_blocks.phy.types import Received
from gened.models.serving.codec_service import CodecService
from gened.monitor.causes import (
    CAUSES,
    MAX_SFO_PPM,
    ReceiverCounters,
    SignalLevel,
    StreamClock,
    burst_causes,
    clipping,
    edit_causes,
    frame_causes,
    output_clipping,
)

ROOT = Path(__file__).resolve().parents[3]
NOTHING = ReceiverCounters()
NOISE = SignalLevel(mean_db=-50, floor_db=-50.2, loud_share=0.0, line_db=3.0, line_hz=1e5)
BURSTS = SignalLevel(mean_db=-30, floor_db=-50.0, loud_share=0.02, line_db=4.0, line_hz=1e5)
TONE = SignalLevel(mean_db=-30, floor_db=-30.1, loud_share=0.0, line_db=22.0, line_hz=-125e3)


def names(found: list[Any]) -> list[str]:
    return [one.name for one in found]


@pytest.mark.parametrize("name", list(CAUSES))
def test_each_cause_has_a_meaning_and_advice_and_an_item_in_the_documentation(name: str) -> None:
    cause = CAUSES[name]
    assert cause.meaning and cause.advice and str(cause).startswith(f"{name}: ")
    items = [line for line in (ROOT / "docs/radios.md").read_text().splitlines() if line.startswith("- ")]
    assert len([item for item in items if f"**{name}**: " in item]) == 1


@pytest.mark.parametrize(
    ("n_full_scale", "expected"), [(0, []), (7, []), (9, []), (11, ["input clipping"]), (5000, ["input clipping"])]
)
def test_clipping_is_more_than_a_peak_now_and_then(n_full_scale: int, expected: list[str]) -> None:
    now = ReceiverCounters(n_samples=1_000_000, n_full_scale=n_full_scale)
    assert names(clipping(NOTHING, now)) == expected


def test_clipping_counts_what_came_since_the_last_look() -> None:
    before = ReceiverCounters(n_samples=1_000_000, n_full_scale=5000)
    assert clipping(before, ReceiverCounters(n_samples=2_000_000, n_full_scale=5000)) == []
    (found,) = clipping(before, ReceiverCounters(n_samples=2_000_000, n_full_scale=5100))
    assert found.n == 100


@pytest.mark.parametrize(
    ("now", "level", "expected"),
    [
        (ReceiverCounters(), NOISE, []),
        (ReceiverCounters(), None, []),
        (ReceiverCounters(), BURSTS, ["no burst found"]),
        (ReceiverCounters(), TONE, ["no burst found"]),
        (ReceiverCounters(n_preambles=4, n_headers=4), BURSTS, []),
        (ReceiverCounters(n_preambles=4, n_bad_headers=4), BURSTS, ["header fails"]),
        (ReceiverCounters(n_preambles=4, n_headers=3, n_bad_headers=1), BURSTS, []),
        (ReceiverCounters(n_preambles=4, n_bad_headers=4, n_foreign=4), BURSTS, ["other format"]),
    ],
)
def test_what_stands_between_power_and_a_header(
    now: ReceiverCounters, level: SignalLevel | None, expected: list[str]
) -> None:
    assert names(burst_causes(NOTHING, now, level)) == expected


def test_a_line_in_the_spectrum_is_told_with_its_place() -> None:
    (found,) = burst_causes(NOTHING, NOTHING, TONE)
    assert "-125 kHz" in found.detail


@pytest.mark.parametrize(
    ("facts", "room_hz", "expected"),
    [
        ({"cfo_est_hz": 60e3, "sfo_est_ppm": 25.0}, None, []),
        ({"cfo_est_hz": -101e3}, None, ["carrier too far off"]),
        ({"cfo_est_hz": 60e3}, 70e3, ["carrier too far off"]),
        ({"cfo_est_hz": 60e3}, 400e3, []),
        ({"sfo_est_ppm": 170.0}, None, ["clock too far off"]),
        ({"cfo_est_hz": None, "sfo_est_ppm": None}, None, []),
        ({"error": "refused: the decoder's queue is full"}, None, []),
        ({"error": "FaultError: x", "error_code": "decoder-failed"}, None, ["decoder fails"]),
    ],
)
def test_a_frame_tells_what_is_near_its_limit(
    facts: dict[str, Any], room_hz: float | None, expected: list[str]
) -> None:
    assert names(frame_causes(FrameFacts(frame=0, **facts), 1e6, room_hz)) == expected


def test_an_editor_that_gives_no_result_is_not_one_that_leaves_the_picture() -> None:
    leaves = FrameFacts(frame=0, edited=False, edit_failed=False, edit_reason="too dark")
    (found,) = edit_causes(FrameFacts(frame=0, edited=False, edit_failed=True, edit_reason="it has gone"))
    assert (found.name, found.detail) == ("editor fails", "it has gone")
    assert edit_causes(leaves) == []


def test_limits_are_those_of_the_receiver() -> None:
    assert MAX_SFO_PPM == resource_grid.MAX_SFO_PPM


def test_other_weights_are_known_by_the_decoders_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gened.models.serving.codec_service.codec_names", list)
    received = Received(np.zeros(0, np.complex64), np.zeros(0, np.float32), None, None, None, 10.0)
    with pytest.raises(CodecError) as caught:
        CodecService().decode(0x12345678, received)
    facts = FrameFacts(frame=0, error=str(caught.value), error_code=caught.value.code)
    (found,) = frame_causes(facts, 1e6)
    assert found.name == "other weights" and "12345678" in found.detail


def test_the_text_of_an_error_decides_nothing() -> None:
    facts = FrameFacts(frame=0, error="no codec here has the sender's number 12345678")
    assert frame_causes(facts, 1e6) == []


def test_a_sender_that_cuts_peaks_is_told_so() -> None:
    assert output_clipping(3, 1_000_000) == []
    assert names(output_clipping(3000, 1_000_000)) == ["output clipping"]


# Samples that are missing


def lumps(clock: StreamClock, *, n_lumps: int, lost_at: int | None = None, rate: float = 1e6) -> list[int]:
    """Buffers of 33 ms, looked for each 0.2 s; at one of them `lost_at` others are lost."""
    found, n, buffer_len, next_look_s = [], 0, 32768, 0.0
    for index in range(n_lumps):
        now_s = (index + 1) * buffer_len / 1e6
        if lost_at is None or not lost_at <= index < lost_at + 3:
            n += round(buffer_len * rate / 1e6)
        if now_s >= next_look_s:
            next_look_s = now_s + 0.2
            found.append(clock.update(now_s + 0.01, n))
    return [lost for lost in found if lost]


def test_samples_that_come_in_lumps_are_not_missing() -> None:
    assert lumps(StreamClock(1e6), n_lumps=600) == []


def test_a_clock_that_differs_by_a_hundred_millionths_is_no_loss() -> None:
    assert lumps(StreamClock(1e6), n_lumps=2000, rate=1e6 * (1 - 100e-6)) == []


def test_three_lost_buffers_are_counted() -> None:
    assert sum(lumps(StreamClock(1e6), n_lumps=600, lost_at=300)) == pytest.approx(3 * 32768, abs=2000)


def test_a_radio_that_gives_less_than_it_should_is_found_again_and_again() -> None:
    assert len(lumps(StreamClock(1e6), n_lumps=600, rate=0.9e6)) > 5
