# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened compare` as a shell sees it, on results of real evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from gened.cli import main


def test_two_evaluations_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("chelsea", "coffee", "astronaut"):
        Image.fromarray(getattr(data, name)()).resize((96, 80)).save(pictures / f"{name}.png")
    evaluate = ["evaluate", "--data", str(pictures), "--codec", "softcast", "--metrics", "psnr", "--quiet"]
    right, wrong, out = (str(tmp_path / f"{name}.json") for name in ("right", "wrong", "out"))
    for error, path in ((), right), (("--snr-error", "9"), wrong):
        assert main([*evaluate, *error, "--per-picture", "--out", path]) == 0
    capsys.readouterr()
    assert main(["compare", right, wrong, "--json", "--out", out]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads(Path(out).read_text()) == result and {"commit", "versions"} <= set(result["meta"])
    assert [row["n_pictures"] for row in result["rows"]] == [3] * 4 and len(result["bd"]) == 1
    means = [[row["psnr_db"] for row in json.loads(Path(path).read_text())["rows"]] for path in (right, wrong)]
    for row, before, after in zip(result["rows"], *means, strict=True):
        assert row["difference"] == pytest.approx(after - before, abs=2e-3) and row["difference"] != 0
    assert main(["compare", right, wrong]) == 0
    assert "softcast (wrong) against softcast (right)" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", right]) == 2 and "one system only" in capsys.readouterr().err
    assert main(["compare", right, str(tmp_path / "absent.json")]) == 2 and "absent.json" in capsys.readouterr().err
    assert main(["compare", right, wrong, "--metric", ","]) == 2 and "--metric" in capsys.readouterr().err
