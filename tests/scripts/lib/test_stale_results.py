# SPDX-License-Identifier: GPL-3.0-or-later
"""Which published files are older than the code that they measure."""

from __future__ import annotations

import importlib.util
import json
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gened.errors import GenedError
from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.evaluation.run.fingerprint import evaluation_fingerprint

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = sorted(path.relative_to(ROOT / "results").as_posix() for path in (ROOT / "results").rglob("*.json"))


@pytest.fixture(scope="module")
def stale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stale_results", ROOT / "scripts" / "lib" / "stale_results.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stale_results"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """A result of `gened evaluate` by the present code."""
    codec = SoftCast()
    meta = {
        "codec_id": f"{codec.codec_id:08x}", "over": "channel", "codec_options": {},
        "fingerprint": evaluation_fingerprint(codec, Fraction(1, 24), "channel"),
    }  # fmt: skip
    return {"meta": meta, "rows": [{"codec": "softcast", "rate": "1/24"}]}


@pytest.mark.parametrize("file", PUBLISHED)
def test_every_published_file_has_code_that_exists(stale: ModuleType, file: str) -> None:
    code = stale.measured_code(file)
    assert code and all((ROOT / part).exists() for part in code)


def test_every_line_of_the_mapping_is_used(stale: ModuleType) -> None:
    used = {next(pattern for pattern, _ in stale.MEASURED if Path(file).match(pattern)) for file in PUBLISHED}
    assert used == {pattern for pattern, _ in stale.MEASURED}


def test_a_file_that_nothing_covers_is_named(stale: ModuleType) -> None:
    with pytest.raises(GenedError, match=r"results/new/figure\.json has no line in MEASURED"):
        stale.standing("new/figure.json", {})


def test_a_result_of_the_present_code_is_current(stale: ModuleType, measured: dict[str, Any]) -> None:
    assert stale.standing("codec/new.json", measured).state == "current"
    waveform = {"meta": {"fingerprint": waveform_fingerprint()}}
    assert stale.standing("link/new.json", waveform).state == "current"


def test_other_figures_and_another_codec_are_stale_with_the_difference(
    stale: ModuleType, measured: dict[str, Any]
) -> None:
    fingerprint = {**measured["meta"]["fingerprint"]}
    fingerprint["codec: PSNR, 10 dB"] += 0.5
    found = stale.standing("codec/new.json", {**measured, "meta": {**measured["meta"], "fingerprint": fingerprint}})
    assert found.state == "stale" and found.text.startswith("codec: PSNR, 10 dB: ") and "->" in found.text
    found = stale.standing("codec/new.json", {**measured, "meta": {**measured["meta"], "codec_id": "00000001"}})
    assert found.state == "stale" and "measured was 00000001" in found.text
    waveform = {"meta": {"fingerprint": {**waveform_fingerprint(), "waveform: PAPR": 1.0}}}
    assert stale.standing("link/new.json", waveform).state == "stale"


def test_without_a_fingerprint_the_commits_since_are_counted(
    stale: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def git(*arguments: str) -> str | None:
        asked.append(arguments)
        if arguments[0] == "cat-file":
            return "" if arguments[2] != "forgotten" else None
        return "0" if "settled..HEAD" in arguments else "3"

    monkeypatch.setattr(stale, "_git", git)
    stale._n_commits.cache_clear()
    changed = stale.standing("link/a.json", {"meta": {"commit": "moved+"}})
    assert changed.state == "unknown" and "3 commits since touch gr_blocks/phy, gened/bench" in changed.text
    assert asked[-1] == ("rev-list", "--count", "moved..HEAD", "--", "gr_blocks/phy", "gened/bench")
    assert stale.standing("link/b.json", {"meta": {"commit": "settled"}}).state == "current"
    old = {"meta": {"commit": "forgotten", "time": "2026-11-25T10:00:00+00:00"}}
    assert stale.standing("link/c.json", old).state == "unknown"
    assert asked[-1][2:4] == ("--since=2026-11-25T10:00:00+00:00", "HEAD")
    nothing = stale.standing("link/d.json", {"meta": {}})
    assert nothing.state == "unknown" and "neither a known commit nor a time" in nothing.text
    stale._n_commits.cache_clear()


def test_the_command_lists_files_and_fails_for_a_stale_one(
    stale: ModuleType, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "results" / "codec"
    folder.mkdir(parents=True)
    (folder / "good.json").write_text(json.dumps(measured))
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    assert stale.main([]) == 0
    assert capsys.readouterr().out == "current codec/good.json\n1 current, 0 stale, 0 unknown\n"
    bad = {**measured, "meta": {**measured["meta"], "codec_id": "00000001"}}
    (folder / "bad.json").write_text(json.dumps(bad))
    assert stale.main(["--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["state"]) for one in listed] == [
        ("codec/bad.json", "stale"),
        ("codec/good.json", "current"),
    ]
    (folder / "broken.json").write_text("{")
    assert stale.main([]) == 2
    assert "stale_results: " in capsys.readouterr().err
