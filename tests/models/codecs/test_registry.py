# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs are found by name or folder, and what is not one is named with the remedy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gened.commands.options import require_codec
from gened.errors import CodecError
from gened.models.codecs import registry
from gened.models.codecs.base import codec_id
from gened.models.codecs.softcast.codec import WEIGHTS


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = registry.codec_names()
    assert {"deepjscc", "gened", "hevc-ldpc", "softcast"} <= set(known) and known == sorted(known)
    with pytest.raises(CodecError, match=f"unknown codec 'jpeg'; known are {', '.join(known)}"):
        registry.load_codec("jpeg")


def test_a_name_is_a_codec_even_where_a_folder_is_so_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "softcast").mkdir()
    monkeypatch.chdir(tmp_path)
    assert registry.load_codec("softcast").name == "softcast"
    require_codec("softcast")
    with pytest.raises(CodecError, match="needs a config.json"):
        require_codec("./softcast")


def test_a_folder_is_the_codec_that_its_configuration_names(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "mine")
    assert registry.load_codec(str(tmp_path / "mine")).codec_id == registry.load_codec("softcast").codec_id


def test_other_weights_are_another_number(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["mean"][0, 0] += 0.01
    save_file(tensors, folder / "model.safetensors")
    assert registry.load_codec(str(folder)).codec_id != registry.load_codec("softcast").codec_id


@pytest.mark.parametrize("configuration", [None, "{", "[]", '{"codec": 3}', '{"network": {}}'])
def test_a_folder_that_is_no_codec_is_named(tmp_path: Path, configuration: str | None) -> None:
    if configuration is not None:
        (tmp_path / "config.json").write_text(configuration)
    with pytest.raises(CodecError, match=tmp_path.name):
        registry.load_codec(str(tmp_path))


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "mine")
    path = tmp_path / "mine" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CodecError, match="mine are not those of softcast"):
        registry.load_codec(str(tmp_path / "mine"))
    path.unlink()
    with pytest.raises(CodecError, match="model.safetensors is missing"):
        registry.load_codec(str(tmp_path / "mine"))


def test_weights_of_another_codec_are_refused(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "mine")
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config | {"codec": "deepjscc"}))
    with pytest.raises(CodecError, match="deepjscc"):
        registry.load_codec(str(tmp_path / "mine"))


def test_a_codec_that_needs_pytorch_says_which_do_without() -> None:
    with pytest.raises(CodecError, match="deepjscc needs PyTorch at the transmitter; softcast and gened do without"):
        registry.load_codec("deepjscc", device="numpy")
    default = registry.default_codec(device="numpy")
    assert registry.load_codec(default, device="numpy").name == default


def test_other_peoples_codecs_come_in_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", "gened.models.codecs.softcast.codec:SoftCast", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(
        "gened.models.plugins.entry_points", lambda group: [point] if group == registry.ENTRY_POINT_GROUP else []
    )
    assert "theirs" in registry.codec_names()
    assert registry.load_codec("theirs").name == "softcast"


def test_a_codecs_number_depends_on_all_that_both_ends_must_share() -> None:
    numbers = {
        codec_id("a", {}),
        codec_id("b", {}),
        codec_id("a", {"n": 1}),
        codec_id("a", {}, b"w"),
        codec_id("a", {}, b"v"),
    }
    assert len(numbers) == 5


def test_softcast_works_where_there_is_no_pytorch() -> None:
    """A transmitter needs NumPy and SciPy alone."""
    program = """
import sys
sys.modules["torch"] = None  # an import of it raises ImportError
import numpy as np
from fractions import Fraction
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.registry import load_codec
codec = load_codec("softcast")
x = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (3, 64, 1))
encoded = codec.encode(x, rate=Fraction(1, 24), snr_db=10.0)
noise_var = np.full(len(encoded.symbols), 1e-3, np.float32)
size, rate = ImageSize(64, 96), Fraction(1, 24)
decoded = codec.decode(Received(encoded.symbols, noise_var, encoded.side_info, size, rate, 10.0))
assert np.mean((decoded.x_hat - x) ** 2) < 1e-3
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
assert not loaded & {"torch", "gnuradio", "skimage", "av"}, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
