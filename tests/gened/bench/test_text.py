# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of text packing: what texts cost before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gened.bench.text import main, measure, read_texts
from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.modes import n_symbols


def test_bits_are_those_of_the_mode() -> None:
    saved = measure(["a dog runs on the grass"], "qpsk-1/2")
    assert (saved.texts, saved.plain_bytes) == (1, 23)
    assert saved.plain_coded_bits == 2 * n_symbols(26, "qpsk-1/2")
    assert saved.packed_bytes < 16
    assert saved.packed_coded_bits < 0.85 * saved.plain_coded_bits


def test_both_kinds_of_lines_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text('{"caption": "a cat"}\n{"captions": ["two cats", "cats"]}\n')
    assert read_texts(path) == ["a cat", "two cats", "cats"]
    assert main([str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["texts"] == 3


@pytest.mark.parametrize("content", ["nothing", '{"words": 1}', "[]", "1"])
def test_a_damaged_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text(content)
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_text_and_no_such_mode_are_refused() -> None:
    with pytest.raises(ConfigError):
        measure([], "qpsk-1/2")
    with pytest.raises(ConfigError):
        measure(["a"], "morse")
