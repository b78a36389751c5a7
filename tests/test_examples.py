# SPDX-License-Identifier: GPL-3.0-or-later
"""The example packages are installed and run by the commands of docs/packages.md, in a fresh folder, offline."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
FEWER = {
    "gened train": "--steps 3 --threads 1",
    "gened check": "--json",
    "gened evaluate": "--resize 96 --json",
    "gened loopback": "--json --timeout 240",
}
"""Options for a test beside those of the page: few steps, small pictures, results to check."""


def commands_of_the_page() -> list[str]:
    page = (ROOT / "docs" / "packages.md").read_text()
    first = re.search(r"^## The shortest path$.*?^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert first is not None
    return first.group(1).splitlines()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, photographs, and nothing else."""
    from skimage.data import astronaut, chelsea, coffee

    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    (folder / "photos").mkdir()
    for name, make in (("a", astronaut), ("b", chelsea), ("c", coffee)):
        Image.fromarray(make()).resize((160, 128)).save(folder / "photos" / f"{name}.png")
    Image.fromarray(astronaut()).resize((96, 128)).save(folder / "photo.jpg")
    return folder


def run(line: str, place: Path) -> str:
    """The stdout of a command of the page; pip installs into `site`, which stands for the virtual environment."""
    words = shlex.split(line)
    program = [sys.executable, *(["-m", "gened"] if words[0] == "gened" else [])]
    path = os.pathsep.join([str(place / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {
        "PYTHONPATH": path, "PIP_TARGET": str(place / "site"), "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # fmt: skip
    done = subprocess.run(
        [*program, *words[1:]], cwd=place, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_page_install_the_examples_and_run_them(place: Path) -> None:
    lines = commands_of_the_page()
    assert [line.split()[0] for line in lines] == ["python", *["gened"] * 7]
    results = []
    for line in lines:
        extra = next((text for start, text in FEWER.items() if line.startswith(start)), "")
        results.append(run(f"{line} {extra}", place))
    _, checked, thumbnail, parts_link, trained, jscc_checked, jscc, jscc_link = results
    for rules in (json.loads(checked)["rules"], json.loads(jscc_checked)["rules"]):
        assert len(rules) > 8 and all(rule["is_kept"] for rule in rules), rules
    assert (place / "site" / "my_jscc" / "codec.py").is_file()

    low, high = json.loads(thumbnail)["rows"]
    assert high["psnr_db"] > low["psnr_db"] + 3 and high["psnr_db"] > 20
    assert low["codec"] == "my-thumbnail" and low["analog_symbols"] <= 96 * 96 // 8
    (frame,) = json.loads(parts_link)["frames"]
    assert frame["received"] and frame["edited"] and frame["crc_ok"]
    assert re.fullmatch(r"(bright|dark) \w+ above, (bright|dark) \w+ below", frame["caption"])

    assert trained.startswith("my-jscc over awgn, 3 steps") and "weights in runs/my-jscc" in trained
    assert json.loads((place / "runs" / "my-jscc" / "config.json").read_text())["training"]["steps"] == 3
    assert [row["codec"] for row in json.loads(jscc)["rows"]] == ["my-jscc"] * 2
    assert all(5 < row["psnr_db"] < 40 and row["lost_fraction"] == 0 for row in json.loads(jscc)["rows"])
    (frame,) = json.loads(jscc_link)["frames"]
    assert frame["received"] and frame["analog_symbols"] == 96 * 128 // 8


@pytest.mark.parametrize("example", ["jscc", "parts"])
def test_every_entry_point_of_an_example_names_an_object_of_its_source(example: str) -> None:
    project = tomllib.loads((EXAMPLES / example / "pyproject.toml").read_text())["project"]
    points = [target for group in project["entry-points"].values() for target in group.values()]
    assert points
    for target in points:
        module, _, name = target.partition(":")
        source = (EXAMPLES / example / f"{module.replace('.', '/')}.py").read_text()
        assert re.search(rf"^(class )?{name}\b", source, re.MULTILINE), target


SIZES = [(1, 1), (3, 2), (8, 8), (17, 63), (96, 64), (100, 7)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["my-thumbnail", "my-jscc"])
def test_the_codecs_keep_power_and_budget_at_any_size_and_decode_whatever_arrives(
    name: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fractions import Fraction

    from gened.gr_blocks.phy.framing.budget import budget
    from gened.gr_blocks.phy.types import ImageSize, Received

    for folder in EXAMPLES.iterdir():
        monkeypatch.syspath_prepend(folder)
    codec = untrained_jscc(tmp_path) if name == "my-jscc" else thumbnail()
    rate, shape = Fraction(1, 24), ImageSize(*size)
    rng = np.random.default_rng(1)
    for x in (rng.random((3, *size), np.float32), np.full((3, *size), 0.5, np.float32)):
        encoded = codec.encode(x, rate=rate, snr_db=5.0)
        symbols = encoded.symbols
        assert symbols.dtype == np.complex64 and len(symbols) <= budget(shape, rate, 5.0).symbols
        assert len(symbols) == 0 or np.mean(np.abs(symbols) ** 2) == pytest.approx(1.0, rel=1e-3)
        noise_var = np.full(len(symbols), 0.1, np.float32)
        bad = np.where(rng.random(len(symbols)) < 0.3, np.nan, symbols).astype(np.complex64)
        longer = np.ones(len(symbols) + 100, np.complex64)
        for sent, variances, side in [
            (symbols, noise_var, encoded.side_info), (bad, noise_var, encoded.side_info), (symbols, noise_var, None),
            (symbols[:0], noise_var[:0], encoded.side_info), (symbols, noise_var[:1], b"\xff" * 9),
            (longer, np.full(len(longer), np.nan, np.float32), encoded.side_info),
        ]:  # fmt: skip
            decoded = codec.decode(Received(sent, variances, side, shape, rate, 5.0))
            assert decoded.x_hat.shape == (3, *size) and decoded.x_hat.dtype == np.float32
            assert np.isfinite(decoded.x_hat).all() and 0 <= decoded.x_hat.min() <= decoded.x_hat.max() <= 1
        assert decoded.is_lost


def thumbnail() -> Any:
    from my_parts.codec import Thumbnail

    return Thumbnail()


def untrained_jscc(folder: Path) -> Any:
    import torch
    from my_jscc.codec import MyJscc, Network
    from safetensors.torch import save_file

    torch.manual_seed(1)
    save_file(Network().state_dict(), folder / "model.safetensors")
    return MyJscc(folder)
