# SPDX-License-Identifier: GPL-3.0-or-later
"""The dictionary of captions is made of what its texts say often, the best last, and never overwrites one."""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import pytest

from gened.models.training.studies import caption_dictionary
from gened.models.training.studies.caption_dictionary import build, main

TEXTS = ["a dog runs on the grass"] * 5 + ["a cat sits on the sofa"] * 3 + ["once upon a time"]


def test_frequent_phrases_come_last_and_rare_ones_not_at_all() -> None:
    words = build(TEXTS, 1000)
    assert b"a dog runs on" in words and b"a cat sits" in words and b"upon" not in words
    assert words.index(b"dog runs") > words.index(b"cat sits")


def test_the_size_is_kept() -> None:
    assert len(build(TEXTS, 20)) <= 20


def test_the_file_holds_the_bytes_and_its_crc_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, out = tmp_path / "lines.jsonl", tmp_path / "words.bin"
    lines.write_text("".join(json.dumps({"caption": text}) + "\n" for text in TEXTS))
    monkeypatch.setattr(caption_dictionary, "list_shards", lambda folder: [])
    command = ["caption_dictionary", "--data", str(tmp_path), "--lines", str(lines), "--share", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 0
    assert out.read_bytes() == build(TEXTS, 32000)
    assert f"0x{zlib.crc32(out.read_bytes()):08X}" in capsys.readouterr().out
    assert main() == 1
    assert "never made anew" in capsys.readouterr().err
