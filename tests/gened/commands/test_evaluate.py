# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened evaluate` and `gened plot` as a shell sees them."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.cli import main
from gened.commands.signals import SIGNALS
from gened.errors import GenedError
from gened.models.data import srgb
from gened.models.evaluation.metrics.registry import FIGURES, METRICS
from gened.models.evaluation.run import evaluate as running
from gened.models.evaluation.run.evaluate import ROW_KEYS
from gened.models.evaluation.run.workers import EditorPlan
from tests.support.evaluation_results import data_set, result
from tests.support.icc_profiles import DISPLAY_P3, rgb_profile


class Done(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


Runner = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Runner]:
    """Runs a command in this process; signal handlers are put back afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield lambda *arguments: Done(main([str(argument) for argument in arguments]), *capsys.readouterr())
    for number, handler in before.items():
        signal.signal(number, handler)


def assert_one_line(done: Done, code: int, *parts: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == code and len(lines) == 1, done.stderr
    assert lines[0].startswith("gened: ") and all(part in lines[0] for part in parts), lines[0]


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Two photographs; the first alone has a mask."""
    folder = tmp_path / "set"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).resize((96, 80)).save(folder / "images" / f"{name}.png")
    mask = np.zeros((80, 96), np.uint8)
    mask[:, 24:72] = 255
    Image.fromarray(mask).save(folder / "masks" / "chelsea.png")
    return folder


def test_evaluate_tells_how_it_was_asked_and_plot_draws_it(run: Runner, masked: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", "--data", masked, "--codec", "softcast", "--limit", "1", "--metrics", "masks", "--quiet")
    out = tmp_path / "new" / "truth.json"
    done = run(*evaluate, "--snr", "1,7", "--mask", "truth", "--focus", "6", "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads(out.read_text()) == result
    meta = result["meta"]
    assert meta["captions"] == "sent" and meta["fingerprint"]["codec: PSNR, 10 dB"] > 10
    assert (meta["mask"], meta["focus"], meta["over"], meta["workers"]) == ("truth", 6.0, "channel", 1)
    assert len(meta["data"].pop("sha256")) == 64
    assert meta["data"] == {"name": "set", "pictures": 1, "masks": 1, "captions": 0}
    assert meta["settings"]["encode"] == {"rate": "1/24", "focus": 6.0, "refine_steps": 0, "side_margin_db": 0.0}
    assert meta["settings"]["channel"]["kind"] == "awgn" and meta["settings"]["snrs_db"] == [1.0, 7.0]
    assert meta["machine"]["load"] >= 0 and meta["load_at_start"] >= 0 and meta["left_out"] == []
    assert "pictures" not in result
    assert set(meta["metrics"]) == {*FIGURES, "lpips", "kid"}
    assert meta["metrics"]["psnr_fg_db"] and meta["metrics"]["ms_ssim"] is None
    for row in result["rows"]:
        assert tuple(row) == ROW_KEYS
        assert row["psnr_fg_db"] > row["psnr_bg_db"] and row["st_lpips"] is None
    figure = tmp_path / "figure.png"
    drawn = run("plot", out, "--y", "psnr_fg_db", "--out", figure)
    assert (drawn.returncode, drawn.stdout.strip()) == (0, str(figure)), drawn.stderr
    with Image.open(figure) as picture:
        assert picture.width > 500


def test_a_sheet_shows_each_picture_at_each_snr(run: Runner, masked: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    options = ("--codec", "softcast", "--codec", "hevc-ldpc", "--snr", "4,10", "--quiet", "--out", sheet)
    done = run("plot", "--sheet", "--data", masked, *options)
    assert (done.returncode, done.stdout.strip()) == (0, str(sheet)), done.stderr
    with Image.open(sheet) as picture:
        width, height = picture.size
    assert width > 3 * 256 and height > 4 * 200


def test_wrong_options_are_one_line(run: Runner, masked: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", "--data", masked, "--codec", "softcast", "--quiet")
    assert_one_line(run(*evaluate, "--metrics", "sharpness"), 2, "'sharpness'", *METRICS)
    assert_one_line(run(*evaluate, "--metrics", "clip_score"), 2, "--clip NAME_OR_FOLDER")
    assert_one_line(run(*evaluate, "--mask", "truth"), 2, "coffee.png has none", "masks")
    assert_one_line(run(*evaluate, "--mask", "half"), 2, "--mask", "codec")
    assert_one_line(run(*evaluate, "--mask", "none", "--focus", "3"), 2, "--focus")
    assert_one_line(run(*evaluate, "--focus", "-1"), 2, "positive")
    assert_one_line(run(*evaluate, "--focus", "1000", "--mask", "truth", "--limit", "1"), 6, "focus")
    assert_one_line(run(*evaluate, "--workers", "0"), 2, "--workers")
    assert_one_line(run(*evaluate, "--out", tmp_path), 2, "is a folder")
    assert_one_line(run(*evaluate, "--cache", masked / "images" / "coffee.png"), 2, "no cache can be kept")
    assert_one_line(run("plot"), 2, "RESULT.json", "--sheet")
    assert_one_line(run("plot", "--sheet"), 2, "--data FOLDER")
    assert_one_line(run("plot", tmp_path / "absent.json"), 2, "cannot read", "absent.json")
    assert_one_line(run("plot", "--sheet", "--data", masked, "--codec", "nonsense", "-q"), 6, "'nonsense'")


def test_values_per_picture_are_in_the_json_and_in_a_table(run: Runner, masked: Path, tmp_path: Path) -> None:
    evaluate = ("evaluate", "--data", masked, "--codec", "softcast", "--metrics", "psnr", "--snr", "1,7", "--quiet")
    assert_one_line(run(*evaluate, "--per-picture"), 2, "--out", "--json")
    out = tmp_path / "values.json"
    done = run(*evaluate, "--per-picture", "--seeds", "2", "--seed", "5", "--out", out)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["meta"]["seed"] == 5 and len(result["pictures"]) == 8
    with (tmp_path / "values.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(one["picture"], float(one["psnr_db"])) for one in table] == [
        (one["picture"], one["psnr_db"]) for one in result["pictures"]
    ]


def test_a_bad_file_ends_the_run_in_one_line_or_is_left_out(run: Runner, masked: Path) -> None:
    Image.new("RGB", (20000, 1000)).save(masked / "images" / "a.png")
    evaluate = ("evaluate", "--data", masked, "--codec", "softcast", "--snr", "7", "--quiet", "--json")
    assert_one_line(run(*evaluate), 5, "a.png is 20000x1000", "--resize")
    done = run(*evaluate, "--skip-bad")
    assert done.returncode == 0 and "left out: " in done.stderr and "ms_ssim: 0 of 2 values" in done.stderr
    meta = json.loads(done.stdout)["meta"]
    assert [one["picture"] for one in meta["left_out"]] == ["a.png"] and meta["data"]["pictures"] == 2


def test_plot_has_help(run: Runner) -> None:
    done = run("plot", "--help")
    assert done.returncode == 0 and "--sheet" in done.stdout and "Exit codes" in done.stdout


def test_evaluate_passes_on_erasure_snr_error_and_refinement(run: Runner, masked: Path) -> None:
    evaluate = ("evaluate", "--data", masked, "--limit", "1", "--metrics", "psnr", "--snr", "10", "--quiet", "--json")
    done = run(*evaluate, "--codec", "gened", "--refine", "2", "--erasure", "0.1", "--snr-error", "3", "--focus", "1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    meta = result["meta"]
    assert (meta["refine"], meta["erasure"], meta["snr_error_db"]) == (2, 0.1, 3.0)
    assert_one_line(run(*evaluate, "--codec", "softcast", "--refine", "2"), 6, "refine")
    assert_one_line(run(*evaluate, "--codec", "softcast", "--erasure", "2"), 2, "erasure")


def test_the_captioner_gets_its_options(
    run: Runner, masked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plans: list[EditorPlan] = []

    def measure(*_: object, editor: EditorPlan, **__: object) -> list[dict[str, object]]:
        plans.append(editor)
        raise GenedError("seen enough")

    monkeypatch.setattr(running, "run_evaluation", measure)
    evaluate = ("evaluate", "--data", masked, "--codec", "softcast", "--editor", "realesrgan", "-q")
    options = ("--captioner", "transformers", "--captioner-option", "model=folder", "--captioner-option", "max_words=7")
    assert_one_line(run(*evaluate, *options), 1, "seen enough")
    (plan,) = plans
    assert (plan.captioner, plan.captioner_options) == ("transformers", {"model": "folder", "max_words": 7})
    address = ("evaluate", "--data", masked, "--codec", "softcast", "--editor", "tcp://127.0.0.1:5560", "-q")
    assert_one_line(run(*address, "--cache", tmp_path), 2, "--cache cannot know the weights of a service")
    run(*address, "--editor-keys", tmp_path, "--edit-timeout", "5")
    assert (plans[1].name, plans[1].keys, plans[1].timeout_s) == ("tcp://127.0.0.1:5560", str(tmp_path), 5.0)


def test_plot_says_what_lines_do_not_share_and_refuses_a_zigzag(run: Runner, tmp_path: Path) -> None:
    variants = result("one")
    variants["rows"] = [{**row, "variant": name} for name in ("full", "small") for row in variants["rows"]]
    contents = {
        "kodak": result("one", meta=data_set("kodak")),
        "sod": result("two", meta=data_set("sod")),
        "variants": variants,
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    out = tmp_path / "figure.svg"
    done = run("plot", tmp_path / "kodak.json", tmp_path / "sod.json", "--out", out)
    assert (done.returncode, done.stdout.strip()) == (0, str(out))
    assert done.stderr == "gened plot: the lines are not measured alike: data set (kodak, sod)\n"
    assert "Not measured alike: data set." in out.read_text()
    assert run("plot", tmp_path / "kodak.json", tmp_path / "kodak.json", "--out", out).stderr == ""
    assert_one_line(run("plot", tmp_path / "variants.json", "--out", out), 2, "variants holds 2 rows", "--by variant")
    done = run(
        "plot", tmp_path / "variants.json", "--by", "variant", "--out", out, "--size", "one-column", "--title", "Mine",
        "--label", "all of it", "--label", "less", "--x-limits=-1,10", "--y-limits", "0,40", "--no-bands",
        "--x-label", "SNR", "--y-label", "quality", "--legend", "below", "--font-size", "7",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    drawn = out.read_text()
    assert all(f">{text}</text>" in drawn for text in ("Mine", "all of it", "less", "SNR", "quality"))
    assert f'width="{72 * 3.5:g}pt"' in drawn
    assert_one_line(run("plot", tmp_path / "kodak.json", "--size", "a4"), 2, "'a4' is no size")


@pytest.mark.parametrize(
    "command",
    [("evaluate", "--snr", "10", "--metrics", "psnr"), ("plot", "--sheet", "--snr", "10"), ("data", "import")],
    ids=["evaluate", "sheet", "import"],
)
def test_what_is_converted_or_left_out_is_said_once(
    run: Runner,
    tmp_path: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "set"
    (folder / "more").mkdir(parents=True)
    picture = Image.fromarray(data.chelsea()).resize((96, 80))
    for name in ("a.png", "b.png", "more/c.png"):
        picture.save(folder / name, icc_profile=rgb_profile("Display P3", DISPLAY_P3, 2.2))
    (folder / "raw.dng").touch()
    monkeypatch.setattr(srgb, "_said", set())
    out = tmp_path / "out.png"
    if command[0] == "data":
        done = run(*command, "folder", folder, tmp_path / "shards", "-q")
        assert "left out: 1 file that is no picture by its name (raw.dng)\n" in done.stdout
        assert "3 pictures" in done.stdout
    else:
        done = run(*command, "--data", folder, "--codec", "softcast", "-q", "--out", out)
        assert "left out: 1 file that is no picture by its name (raw.dng)\n" in done.stderr
        assert done.stderr.count("left out: 1 picture in a folder below (more/c.png)\n") == 1
    assert done.returncode == 0, done.stderr
    # Warnings go to stderr by themselves; pytest takes them away.
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / 'a.png'} has the colour profile 'Display P3'; its colours are converted to sRGB"
    ]
