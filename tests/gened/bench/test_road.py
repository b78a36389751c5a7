# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the receiver's message blocks: every hop of a small frame is measured, and the table names it."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("gnuradio", reason="the blocks are GNU Radio's")

from gened.bench import road
from gened.gr_blocks.phy.types import ImageSize


def test_every_hop_of_a_frame_is_measured() -> None:
    row = road.measure(ImageSize(64, 96), 3)
    assert tuple(row["hops_ms"]) == road.HOPS
    assert all(0 <= hop_ms < 1000 for hop_ms in row["hops_ms"].values())
    assert row["total_ms"] == pytest.approx(row["blocks_ms"] + row["hops_ms"]["worker and back"])


def test_the_command_prints_a_table_or_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(road, "SIZES", (ImageSize(64, 96),))
    monkeypatch.setattr(road, "N_FRAMES", {ImageSize(64, 96): 2})
    road.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in lines[1:]] == [*road.HOPS, "blocks alone", "with the worker"]
    road.main(["--json"])
    assert json.loads(capsys.readouterr().out)["rows"][0]["width"] == 96
